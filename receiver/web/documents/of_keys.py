"""The operations on API keys, and on what a tenant's tasks cost."""

from pydantic import BaseModel, Field

from receiver.api_keys import Scope
from receiver.web.api_keys import KeyIn
from receiver.web.documents.examples import NOW, page
from receiver.web.documents.kinds import Count, Time, absent
from receiver.web.documents.operation import LIMIT, Answer, Operation, Parameter, cursor, moment

TAG, USAGE = "Keys", "Usage"
_WORD = r"(provider|model|metadata\.[^,]+)"
_ID = {"id": "The key's id."}


class Key(BaseModel):
    """An API key, without the key itself: that is kept as a digest only."""

    id: str
    tenant: str
    label: str
    scopes: list[Scope]
    hint: str
    created_at: Time
    last_used_at: Time | None


class NewKey(Key):
    """A new API key, shown by this answer only."""

    key: str


class Keys(BaseModel):
    """A page of API keys, newest first."""

    items: list[Key]
    next_cursor: str | None


class Phases(BaseModel):
    """What was paid, by how final that is."""

    reserved: float
    charged: float
    refunded: float


class Outcomes(BaseModel):
    """How many tasks came to what."""

    succeeded: Count
    failed: Count
    canceled: Count
    expired: Count


class AtRisk(BaseModel):
    """Tasks of which nobody knows whether their provider took them, and what they may have cost."""

    tasks: Count
    credits: float | None
    unpriced: Count


class Figures(BaseModel):
    """What tasks came to, and what they cost in each unit that was paid with."""

    tasks: Count
    open: Count
    outcomes: Outcomes
    credits: Phases
    usd: Phases = absent()
    tokens: Phases = absent()
    seconds: Phases = absent()
    at_risk: AtRisk


class Group(Figures):
    """The figures of the tasks that have these values in common; null where they have none."""

    group: dict[str, str | None]


class UsageReport(BaseModel):
    """What a tenant's tasks came to in a time, in groups and together."""

    since: Time = Field(alias="from")
    to: Time
    group_by: list[str]
    items: list[Group]
    total: Figures


_KEY = {
    "id": "key_01kbyna2c0mzfr9xx2tc8tc2vz",
    "tenant": "default",
    "label": "the shop",
    "scopes": ["submit"],
    "hint": "tw_a1B2…",
    "created_at": NOW,
    "last_used_at": None,
}
_PHASES = {"reserved": 0, "charged": 24, "refunded": 0}
_FIGURES = {
    "tasks": 3,
    "open": 1,
    "outcomes": {"succeeded": 2, "failed": 0, "canceled": 0, "expired": 0},
    "credits": _PHASES,
    "at_risk": {"tasks": 1, "credits": 12, "unpriced": 0},
}
_USAGE = {
    "from": "2026-11-01T00:00:00.000Z",
    "to": NOW,
    "group_by": ["provider"],
    "items": [{"group": {"provider": "apikley"}, **_FIGURES}],
    "total": _FIGURES,
}

OPERATIONS = (
    Operation(
        method="POST",
        path="/v1/keys",
        name="createKey",
        tag=TAG,
        summary="Make an API key",
        text="`read` opens every GET but secrets, `submit` also tasks, `admin` everything of its tenant. Keys of other "
        "tenants take the root key.",
        scope="admin",
        body=KeyIn,
        examples={"for a shop": {"label": "the shop", "scopes": ["submit"]}},
        answers={201: Answer(text="The key, shown once.", model=NewKey, example=_KEY | {"key": "tw_a1B2c3D4"})},
    ),
    Operation(
        method="GET",
        path="/v1/keys",
        name="listKeys",
        tag=TAG,
        summary="List API keys",
        scope="read",
        parameters=(LIMIT, cursor("key")),
        answers={200: Answer(text="Newest first.", model=Keys, example=page(_KEY))},
    ),
    Operation(
        method="GET",
        path="/v1/keys/{id}",
        name="getKey",
        tag=TAG,
        summary="Look at an API key",
        scope="read",
        ids=_ID,
        answers={200: Answer(text="The key.", model=Key, example=_KEY)},
    ),
    Operation(
        method="DELETE",
        path="/v1/keys/{id}",
        name="revokeKey",
        tag=TAG,
        summary="Revoke an API key",
        scope="admin",
        ids=_ID,
        answers={204: Answer(text="It is refused from now on.")},
    ),
    Operation(
        method="GET",
        path="/v1/usage",
        name="getUsage",
        tag=USAGE,
        summary="What tasks came to, and cost",
        scope="read",
        parameters=(
            moment("from", "Tasks made from then on; 30 days before `to` if left out."),
            moment("to", "Tasks made before then; now if left out."),
            Parameter(
                name="group_by",
                schema={"type": "string", "pattern": f"^{_WORD}(,{_WORD}){{0,4}}$"},
                text="`provider`, `model`, `metadata.<key>`: up to five of them, with commas between.",
            ),
        ),
        answers={200: Answer(text="In groups, the largest first, and together.", model=UsageReport, example=_USAGE)},
    ),
)
