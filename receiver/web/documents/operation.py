"""One operation of the API as it is documented: who may ask, with what, and what is answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

JSON = "application/json"
# What may be answered to anything, before a door sees it: the limits of a connection, or a server that is stopping.
ANYWHERE = (400, 408, 413, 414, 431, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A parameter of the query or a header; `schema` is JSON Schema. Where it `may_be_empty` it is then left out."""

    name: str
    schema: Mapping[str, Any]
    text: str
    place: str = "query"
    may_be_empty: bool = False
    needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is answered with one status: a model, or text of another type; `headers` are told beside it."""

    text: str
    model: type[BaseModel] | None = None
    example: Any = None
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`scope` is what a key must have: read, submit, admin or root; `clock` root or the cron secret; None nothing.

    `problems` are the statuses of refusals that do not follow from the rest of it (`refusals`). A body that is not
    `needed` may be left out; one with no `body` is not read.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    scope: str | None
    answers: Mapping[int, Answer]
    text: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    needed: bool = True
    examples: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[int, ...] = ()

    @property
    def asked(self) -> tuple[Parameter, ...]:
        """Its parameters, and the one that whoever has the root key may add to nearly everything."""
        return (*self.parameters, TENANT) if self.scope and self.path.startswith("/v1/") else self.parameters

    @property
    def refusals(self) -> list[int]:
        """Every status that a problem may have here."""
        found = {*ANYWHERE, *self.problems}
        found |= {401, 403} if self.scope else set()
        found |= {404} if self.ids else set()
        found |= {422} if self.body or any(each.place == "query" for each in self.asked) else set()
        return sorted(found - self.answers.keys())


def text(name: str, told: str, **schema: Any) -> Parameter:
    """A parameter that is a text."""
    return Parameter(name=name, schema={"type": "string", "minLength": 1} | schema, text=told)


def moment(name: str, told: str) -> Parameter:
    """A parameter that is a time."""
    schema = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "pattern": "^[0-9]{1,11}$"}]}
    return Parameter(name=name, schema=schema, text=f"{told} As 2026-11-20T19:48:00Z, or seconds since 1970.")


LIMIT = Parameter(
    name="limit",
    schema={"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    text="How many items a page has at most.",
    may_be_empty=True,
)
TENANT = Parameter(
    name="tenant",
    schema={"type": "string", "pattern": "^[A-Za-z0-9_-]{0,64}$"},
    text="Act for this tenant: the root key only.",
    may_be_empty=True,
)


def cursor(of: str) -> Parameter:
    """Where a page of a list begins; `of` is how the ids of its items begin."""
    pattern = f"^({of}_[0-9a-z]{{26}})?$"
    told = "The `next_cursor` of the page before."
    return Parameter(name="cursor", schema={"type": "string", "pattern": pattern}, text=told, may_be_empty=True)


WAIT = Parameter(
    name="wait",
    schema={"type": "integer", "minimum": 0, "maximum": 60, "default": 0},
    text="Answer when the task is final, or after so many seconds.",
    may_be_empty=True,
)
