"""What each scope opens: every route by every kind of key."""

import asyncio
from pathlib import Path

import pytest

from tests.service.asking import complaint, counts, failures
from tests.service.tenants import Holder, a_holder, doors
from tests.service.world import a_world

pytestmark = pytest.mark.anyio

CRON = "the-secret-of-the-clock"
ORDER = ("read", "submit", "admin", "root")

# Contract, section 5: read is every GET but secrets, submit also tasks, admin everything of its own tenant.
NEEDS = {
    "GET /metrics": "root",
    "GET /v1/me": "read",
    "GET /v1/usage": "read",
    "GET /v1/keys": "read",
    "POST /v1/keys": "admin",
    "GET /v1/keys/{id}": "read",
    "DELETE /v1/keys/{id}": "admin",
    "GET /v1/providers": "read",
    "POST /v1/providers/{name}/pause": "root",
    "POST /v1/providers/{name}/resume": "root",
    "GET /v1/tasks": "read",
    "POST /v1/tasks": "submit",
    "POST /v1/tasks/adopt": "submit",
    "POST /v1/tasks/bulk": "submit",
    "GET /v1/tasks/{id}": "read",
    "POST /v1/tasks/{id}/cancel": "submit",
    "POST /v1/tasks/{id}/refresh": "submit",
    "POST /v1/tasks/{id}/resolve": "submit",
    "POST /v1/tasks/{id}/resubmit": "submit",
    "GET /v1/tasks/{id}/timeline": "read",
    "GET /v1/events": "read",
    "GET /v1/events/stream": "read",
    "GET /v1/events/{id}": "read",
    "POST /v1/events/{id}/replay": "admin",
    "GET /v1/destinations": "read",
    "POST /v1/destinations": "admin",
    "GET /v1/destinations/{id}": "read",
    "PATCH /v1/destinations/{id}": "admin",
    "DELETE /v1/destinations/{id}": "admin",
    "GET /v1/destinations/{id}/secret": "admin",
    "POST /v1/destinations/{id}/rotate-secret": "admin",
    "POST /v1/destinations/{id}/test": "admin",
    "POST /v1/destinations/{id}/replay": "admin",
    "POST /v1/destinations/{id}/enable": "admin",
    "POST /v1/destinations/{id}/disable": "admin",
    "GET /v1/hooks": "read",
    "POST /v1/hooks": "admin",
    "DELETE /v1/hooks": "admin",
    "GET /v1/hooks/sample": "read",
    "DELETE /v1/hooks/{id}": "admin",
    "GET /v1/webhook-secret": "admin",
    "POST /v1/webhook-secret/rotate": "admin",
    "GET /v1/deliveries": "read",
    "GET /v1/deliveries/{id}": "read",
    "POST /v1/deliveries/{id}/retry": "admin",
    "POST /v1/deliveries/{id}/cancel": "admin",
    "GET /internal/tick": "root",
    "POST /internal/tick": "root",
    "POST /internal/rotate-secrets": "root",
}


def test_every_route_says_what_it_needs() -> None:
    """A new one is caught here."""
    assert sorted(f"{method} {path}" for method, path in doors()) == sorted(NEEDS)


async def wrongs(holder: Holder, scope: str) -> dict[str, str | None]:
    """What this key opens though it should not, or does not though it should."""
    found: dict[str, str | None] = {}
    for door, needs in NEEDS.items():
        method, path = door.split()
        path = path.replace("{id}", "x").replace("{name}", "nobody")
        asked = "HEAD" if path.endswith("/stream") else method  # what never ends is not waited for
        answer = await holder.ask(asked, path, content=b"{")
        if ORDER.index(scope) < ORDER.index(needs):
            found[f"{scope}: {door}"] = complaint(answer, 403)
            head = await holder.ask("HEAD", path) if method == "GET" else answer
            found[f"{scope}: HEAD of {door}"] = complaint(head, 403)
        else:
            open_ = answer.status_code in (200, 400, 404, 422)
            found[f"{scope}: {door}"] = None if open_ else f"{answer.status_code} {answer.text}"
    return found


async def test_a_key_opens_what_its_scope_says_and_nothing_else(tmp_path: Path) -> None:
    """403 for all else, before anything is read or looked up; a HEAD is a GET, and root opens everything."""
    async with a_world(tmp_path) as world:
        holders = {scope: await a_holder(world, "acme", scope) for scope in ORDER[:-1]}
        holders["root"] = Holder(world, "default", world.service.settings.api_key, "")
        tables = await asyncio.gather(*(wrongs(holder, scope) for scope, holder in holders.items()))
        assert failures({name: what for table in tables for name, what in table.items()}) == {}
        assert counts(tmp_path) == {}


@pytest.mark.parametrize(
    ("scopes", "path", "detail"),
    [
        (("read",), "/v1/tasks", "this takes a key with the scope `submit`; this one has read"),
        (("submit", "read"), "/v1/destinations", "this takes a key with the scope `admin`; this one has read, submit"),
        (("admin",), "/internal/rotate-secrets", "this takes the root key, TASKWEIR_API_KEY"),
    ],
)
async def test_a_refusal_says_what_is_missing(tmp_path: Path, scopes: tuple[str, ...], path: str, detail: str) -> None:
    """The scope that would do, and those that the key has; or that root alone may."""
    async with a_world(tmp_path) as world:
        answer = await (await a_holder(world, "acme", *scopes)).ask("POST", path, json={})
        assert complaint(answer, 403) is None
        assert answer.json()["detail"] == detail


async def test_the_clock_may_call_without_a_key(tmp_path: Path) -> None:
    """Its own secret makes us work, and opens nothing else; what is no key is still told how to call."""
    async with a_world(tmp_path, TASKWEIR_CRON_SECRET=CRON) as world:
        clock = Holder(world, "", CRON, "")
        assert (await clock.ask("POST", "/internal/tick")).status_code == 200
        assert complaint(await clock.ask("GET", "/v1/me"), 401) is None
        nobody = await Holder(world, "", "nobody", "").ask("GET", "/internal/tick")
        assert complaint(nobody, 401) is None
        assert nobody.json()["detail"] == "this takes the root key, or TASKWEIR_CRON_SECRET"


async def test_open_metrics_take_no_key(tmp_path: Path) -> None:
    """Where they are not, a tenant's key does not do: they are about everybody."""
    async with a_world(tmp_path, TASKWEIR_METRICS_OPEN="1") as world:
        assert (await Holder(world, "", "nobody", "").ask("GET", "/metrics")).status_code == 200
