"""Tells what became of a handover, a poll and a callback: one plain sentence each, and the facts in it.

Pure: what is told goes into a `Notebook`, which every store is. No body, key or token is ever told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from adapters.base import Accepted, Ambiguous, NotCreated, PollAnswer, PollFailed, Refused, SubmitAnswer
from receiver import formats
from receiver.domain import Failure, FailureKind, Ms, Status, Task, Timer, Update, Verified
from receiver.signing import redact
from receiver.spans import span

_LONGEST_WORDS = 300
_MOST_UPDATES = 10
REFRESH = "action_refresh"  # only counted: some callers ask every few seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One thing that happened; without a text it is only counted, among others of its kind."""

    kind: str
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Notebook(Protocol):
    """Where lines are kept."""

    def note(self, task_id: str, *, at: Ms, sequence: int, kind: str, text: str, data: Mapping[str, Any]) -> None: ...

    def tally(self, task_id: str, kind: str, *, at: Ms) -> None: ...


def tell(notebook: Notebook, before: Task, line: Line, now: Ms) -> None:
    """Keep a line about a task; `before` is the task as it was before what the line tells."""
    if line.text:
        notebook.note(before.id, at=now, sequence=before.sequence, kind=line.kind, text=line.text, data=line.data)
    else:
        notebook.tally(before.id, line.kind, at=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer: the HTTP status (None: no answer), how long it took (None: nobody knows)."""

    status: int | None = None
    ms: int | None = None

    def told(self, code: str | None = None) -> str:
        answered = [f"HTTP {self.status}"] if self.status else []
        if self.ms is not None:
            answered.append(f"after {span(self.ms)}")
        coded = [f"code {_safe(code)}"] if code and code != str(self.status) else []
        said = ", ".join([*coded, *([" ".join(answered)] if answered else [])])
        return f" ({said})" if said else ""


UNHEARD = Exchange()


def submitted(answer: SubmitAnswer, after: Task, exchange: Exchange, *, next_at: Ms | None, now: Ms) -> Line:
    """What became of handing a task over; `after` is the task as it stands by that, `next_at` the next try."""
    data: dict[str, Any] = {"answer": WORD_OF[type(answer)], "http_status": exchange.status, "ms": exchange.ms}
    if isinstance(answer, Accepted):
        text = f"{_accepted(answer.update, after)}{exchange.told()}."
        data["provider_task_id"] = _safe(answer.update.provider_task_id) or None
        return Line(kind="submit", text=text, data=data)
    data |= {"error_kind": answer.failure.kind.value, "code": _safe(answer.failure.code) or None}
    told, why = exchange.told(answer.failure.code), _words(answer.failure)
    match answer:
        case Refused():
            text = f"Sent to {after.provider}, which refused it: {why}{told}."
        case NotCreated():
            if exchange.status is None:
                text = f"Nothing was sent to {after.provider}: {why}{told}"
            else:
                text = f"Sent to {after.provider}, which created nothing: {why}{told}"
            next_at = next_at if after.status is Status.QUEUED else None
            text += f"; it is {again_in('tried', next_at, now)}."
            data["next_at"] = _time(next_at)
        case _:
            text = f"{_ambiguous(after, exchange, why + told)}."
    return Line(kind="submit", text=text, data=data)


WORD_OF: Mapping[type, str] = {
    Accepted: "accepted",
    Refused: "refused",
    NotCreated: "not_created",
    Ambiguous: "ambiguous",
}


def _accepted(update: Update, after: Task) -> str:
    sent = f"Sent to {after.provider}, which"
    named = update.provider_task_id
    if after.status is Status.UNCONFIRMED:
        return f"{sent} named {_safe(named)}, the id of another task: nobody knows what became of this one"
    if update.status is not None and update.status.final:
        return f"{sent} answered with the outcome at once, {update.status.value}"
    taken = f"{sent} took it{f' as {_safe(named)}' if named else ''}"
    return f"{taken}, but it is {after.status.value} here meanwhile" if after.status.final else taken


def _ambiguous(after: Task, exchange: Exchange, why: str) -> str:
    if after.provider_task_id is not None:
        return (
            f"Sent to {after.provider}, where it is known as {after.provider_task_id}, without a usable answer: {why}"
        )
    doubt = f"nobody knows whether {after.provider} took it: {why}; it is not sent again by itself"
    return f"Sent, and {doubt}" if exchange.ms is not None else f"The handover broke off: {doubt}"


TOLD_OURS = "told_ours"


def told_ours(task: Task) -> Line:
    """A caller in drop-in mode was answered before the provider had named the task."""
    text = (
        f"Its caller, who speaks the wire of {task.provider}, was told our own id: {task.provider} had named none yet."
    )
    return Line(kind=TOLD_OURS, text=text, data={})


def put_off(why: str) -> Line:
    """A handover that did not begin."""
    return Line(kind="submit", text=f"Not handed over yet: {why}.", data={"answer": None})


def polled(answer: PollAnswer, before: Task, after: Task, timer: Timer, *, next_at: Ms, now: Ms) -> Line:
    """What a poll told; `timer` as it was before it. One that changed and decided nothing is only counted."""
    if isinstance(answer, PollFailed):
        return _unanswered(answer.failure, before, after, timer, next_at=next_at, now=now)
    text = None
    if not _as_expected(answer, before, after, timer):
        text = _answered(answer, before, after, timer, again_in("asked", next_at, now))
    if text is None:
        grown = answer.progress is not None and answer.progress != before.progress
        return Line(kind="poll_progress" if grown else "poll")
    waits = not after.status.final or after.ours
    told = {"provider_status": _safe(answer.provider_status) or None, "status": after.status.value}
    data = told | {"outputs": len(after.outputs), "next_at": _time(next_at) if waits else None}
    return Line(kind="poll", text=f"{text}.", data=data)


def _as_expected(update: Update, before: Task, after: Task, timer: Timer) -> bool:
    """What most polls tell: nothing, of a task that is at work and that nobody claimed anything else of."""
    ended = before.status.final or (update.status is not None and update.status.final)
    return after is before and not (ended or timer.tries or timer.claimed)


def _answered(update: Update, before: Task, after: Task, timer: Timer, again: str) -> str | None:
    says = f"{_asked(timer)}, {before.provider} says {_word(update)}"
    if before.status.final:
        return _answered_after_the_end(update, before, after, says)
    claimed = timer.claimed.value if timer.claimed is not None else ""
    if after.status.final:
        belied = claimed and not after.ours and timer.claimed is not after.status
        but = f", though a callback claimed {claimed}" if belied else ""
        return f"{says}: the task is {_ending(after)}{but}"
    if update.status is not None and update.status.final:
        return None if timer.empty_since is not None else f"{says}, but shows no result: it is {again}"
    if claimed and timer.rings == 0 and timer.claimed_at == timer.rung_at:
        return f"{says}: the callback's claim, {claimed}, is not believed; it is {again}"
    if after.status is not before.status:
        return f"{says}: the task is {after.status.value}"
    if timer.tries or after.provider_status != before.provider_status:
        unknown = "" if update.status is not None else ", a word that we do not know"
        return f"{says}{unknown}: the task stays {after.status.value}"
    return None


def _asked(timer: Timer) -> str:
    if timer.rings == 0:
        return "Asked because a callback came"
    if timer.tries:
        return f"Asked again after {f'{timer.tries} polls in a row' if timer.tries > 1 else 'a poll'} that failed"
    return "Asked"


def _answered_after_the_end(update: Update, before: Task, after: Task, says: str) -> str | None:
    if before.ours and not after.ours:
        verb = "stays" if after.status is before.status else "is now"
        return f"{says}, after our own verdict {before.status.value}: the task {verb} {_ending(after)}"
    if not before.ours and update.status is not None and update.status.final and update.status is not before.status:
        return f"{says}, which contradicts its verdict {before.status.value}: that stays"
    return None


def _ending(after: Task) -> str:
    if after.status is Status.EXPIRED and after.ours:
        return "expired, for its time is over"
    if after.status is not Status.SUCCEEDED:
        return f"{after.status.value}{f' ({_words(after.error)})' if after.error else ''}"
    many = len(after.outputs)
    return f"succeeded, with {many or 'no'} output{'' if many == 1 else 's'}"


def _unanswered(failure: Failure, before: Task, after: Task, timer: Timer, *, next_at: Ms, now: Ms) -> Line:
    missing, again = failure.kind is FailureKind.NOT_FOUND, again_in("asked", next_at, now)
    asked = _asked(timer)
    why = f"({_words(failure)})"
    if after.status is not before.status:
        if missing and after.ours and after.status is Status.FAILED:
            since = span(now - (timer.missing_since or now))
            text = f"{asked}, {after.provider} still does not know the task {why}, after {since}: it is failed"
        else:
            text = _unasked(after, why)
    elif missing and timer.missing_since is None:
        text = f"{asked}, {after.provider} does not know the task {why}: it is {again}"
    elif timer.tries == 0:
        text = f"{asked}, and learnt nothing {why}: it is {again}"
    else:
        return Line(kind="poll_failed")
    data = {"error_kind": failure.kind.value, "code": _safe(failure.code) or None, "status": after.status.value}
    return Line(kind="poll", text=f"{text}.", data=data | {"next_at": None if after.status.final else _time(next_at)})


def ended_unasked(after: Task, why: str) -> Line:
    """A task ended that was not asked about, and why it was not."""
    return Line(kind="poll", text=f"{_unasked(after, f'({why})')}.", data={"status": after.status.value})


def _unasked(after: Task, why: str) -> str:
    if after.ours:
        return f"Asked in vain to the end {why}: the task is expired"
    return f"Nobody could be asked by the deadline {why}: what a callback claimed is taken, {_ending(after)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One update in a callback and what it did: the task before and after, whether its id was refused."""

    update: Update
    before: Task
    after: Task
    refused: bool = False


def kept_unread(task: Task) -> Line:
    """A callback whose provider is not configured."""
    return Line(
        kind="callback", text=f"A callback came while {task.provider} was not configured here: it is kept, unread."
    )


def called_back(
    heard: Sequence[Heard], after: Task, *, odd: str | None, proof: Verified | None, rang: bool, kept: bool
) -> Line:
    """A callback; `odd` says why it cannot be read. One that is not kept and changed nothing is only counted."""
    if not kept and all(each.after is each.before for each in heard):
        return Line(kind="callback_again")
    came = "A signed callback came" if proof is Verified.SIGNATURE else "A callback came"
    told = heard[:_MOST_UPDATES]
    claims = [_word(each.update) for each in told]
    if odd is not None:
        odd = _safe(odd)
        came += f" that cannot be read ({odd})"
    elif claims:
        came += f", claiming {', then '.join(claims)}"
    parts = [came, *(words for each in told if (words := _effect(each)))]
    if rang:
        parts.append(_who_is_asked(after))
    data = {"claims": claims, "odd": odd, "verified_by": proof.value if proof else None, "status": after.status.value}
    return Line(kind="callback", text=f"{'; '.join(parts)}.", data=data)


def _effect(heard: Heard) -> str:
    before, after, named = heard.before, heard.after, heard.update.provider_task_id
    if heard.refused:
        return f"it names {_safe(named)}, the id of another task, and is not believed"
    if before.provider_task_id is not None and named not in (None, before.provider_task_id):
        return f"it is about {_safe(named)}, not about {before.provider_task_id}, and changes nothing"
    if before.provider_task_id is None and after.provider_task_id is not None:
        known = f"the task is known at {after.provider} as {_safe(named)}"
        return f"{known}, and {_ending(after)}" if after.status.final else known
    if after.status is not before.status:
        return f"the task is {_ending(after) if after.status.final else after.status.value}"
    if before.status.final and heard.update.status is not None and heard.update.status.final:
        if heard.update.status is before.status:
            return "that is known already"
        return f"that contradicts the verdict {before.status.value}" + ("" if before.ours else ", which stays")
    return ""


def _who_is_asked(task: Task) -> str:
    if task.status is Status.SUBMITTING:
        return f"{task.provider} is asked as soon as it is handed over"
    if task.provider_task_id is None:
        return "nobody can be asked about it"
    return f"{task.provider} is asked"


def again_in(verb: str, next_at: Ms | None, now: Ms) -> str:
    """When something is done again, or that it is not."""
    return f"not {verb} again" if next_at is None else f"{verb} again in {span(next_at - now)}"


def _time(at: Ms | None) -> str | None:
    return None if at is None else formats.timestamp(at)


def _word(update: Update) -> str:
    return _safe(update.provider_status or (update.status.value if update.status else "nothing"))


def _words(failure: Failure) -> str:
    return _safe(failure.message).rstrip(". ")


def _safe(text: str | None) -> str:
    """Somebody else's words as they may be told: not too many, and no token of ours, whoever echoes it."""
    return redact((text or "").encode("utf-8", "replace")).decode()[:_LONGEST_WORDS]
