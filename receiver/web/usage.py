"""The door for usage: what a tenant's tasks came to, what they cost, and what is at risk."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from receiver import formats
from receiver.domain import DAY, FINAL, Ms, Status
from receiver.errors import Fault, Invalid
from receiver.usage import METADATA, MOST, PLAIN, Figures, Question, TooManyGroups, TooManyTasks, Usage
from receiver.web.answers import json_answer
from receiver.web.doors import Caller, check_query, doors_of

MOST_WORDS = 5
DEFAULT_TIME: Ms = 30 * DAY
_PHASES = ("reserved", "charged", "refunded")


async def get_usage(request: Request, caller: Caller) -> Response:
    """`GET /v1/usage?from=&to=&group_by=`: of tasks made from then on and before `to`; the last 30 days."""
    check_query(request, "from", "to", "group_by", several=("group_by",), pages=False)
    doors = doors_of(request)
    question = _question(request, caller.tenant, doors.clock.now())
    return json_answer(_fields(question, counted(await doors.counting.answer(question))))


def counted(answer: Usage | TooManyTasks | TooManyGroups) -> Usage:
    """What was counted; raises `Invalid` where that would have been too much, and says what would not."""
    if isinstance(answer, TooManyTasks):
        shorter = formats.timestamp(answer.since)
        message = f"more than {MOST.tasks:,} tasks were made in this time: from {shorter} on there are fewer"
        raise Invalid([Fault(path="from", message=message)])
    if isinstance(answer, TooManyGroups):
        message = f"gives more than {MOST.groups:,} groups: choose a shorter time, or other words"
        raise Invalid([Fault(path="group_by", message=message)])
    return answer


def _question(request: Request, tenant: str, now: Ms) -> Question:
    """What is asked; raises `Invalid`."""
    until = _time(request, "to", now + 1)
    since = _time(request, "from", until - DEFAULT_TIME)
    if since >= until:
        raise Invalid([Fault(path="from", message="must be earlier than `to`")])
    return Question(tenant=tenant, since=since, until=until, group_by=_words(request))


def _time(request: Request, name: str, default: Ms) -> Ms:
    text = request.query_params.get(name)
    try:
        return formats.time_of(text) if text else default
    except ValueError:
        message = "must be a time as 2026-11-20T19:48:00Z, or seconds since 1970"
        raise Invalid([Fault(path=name, message=message)]) from None


def _words(request: Request) -> tuple[str, ...]:
    asked = [word for text in request.query_params.getlist("group_by") for word in text.split(",")]
    for word in asked:
        if word not in PLAIN and (not word.startswith(METADATA) or word == METADATA):
            known = ", ".join((*PLAIN, f"{METADATA}<key>"))
            raise Invalid([Fault(path="group_by", message=f"no group {word!r}; there are {known}")])
    if len(set(asked)) != len(asked) or len(asked) > MOST_WORDS:
        raise Invalid([Fault(path="group_by", message=f"must be at most {MOST_WORDS} words, each of them once")])
    return tuple(asked)


def _fields(question: Question, usage: Usage) -> dict[str, Any]:
    words = question.group_by
    groups = sorted(usage.groups.items(), key=lambda each: (-each[1].tasks, [value or "" for value in each[0]]))
    items = [{"group": dict(zip(words, group, strict=True)), **_figures(each, usage)} for group, each in groups]
    return {
        "from": formats.timestamp(question.since),
        "to": formats.timestamp(question.until),
        "group_by": list(words),
        "items": items if words else [],
        "total": _figures(usage.total, usage),
    }


def _figures(figures: Figures, usage: Usage) -> dict[str, Any]:
    lost, unpriced = usage.at_risk(figures)
    sums = {
        unit: {phase: _plain(figures.amounts.get((unit, phase), 0)) for phase in _PHASES} for unit in _units(figures)
    }
    return {
        "tasks": figures.tasks,
        "open": figures.open,
        "outcomes": {status.value: figures.by_status.get(status, 0) for status in Status if status in FINAL},
        **sums,
        "at_risk": {
            "tasks": sum(figures.in_doubt.values()),
            "credits": None if lost is None else _plain(lost),
            "unpriced": unpriced,
        },
    }


def _units(figures: Figures) -> list[str]:
    """Credits, and whatever else was paid with."""
    return ["credits", *sorted({unit for unit, _ in figures.amounts} - {"credits"})]


def _plain(amount: float) -> float:
    """As little of a number as says it: sums of decimal fractions end in dust."""
    rounded = round(float(amount), 6)
    return int(rounded) if rounded.is_integer() else rounded
