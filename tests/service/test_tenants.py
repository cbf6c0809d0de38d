"""Two tenants, every route: nothing of one is seen or touched by the other."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from receiver.ids import new_id
from tests.make import a_task
from tests.service.asking import Rows, complaint, everything, failures
from tests.service.consumer import Consumer, a_consumer
from tests.service.engines import makes_a_log
from tests.service.tenants import Holder, a_holder, doors
from tests.service.world import APIKLEY_MODEL, ON_POSTGRES, World, a_pair, created, record, scripted
from tests.sse import happen, streamed

pytestmark = pytest.mark.anyio

TASK = {
    "provider": "apikley",
    "model": APIKLEY_MODEL,
    "input": {"prompt": "a red panda"},
    "metadata": {"order": "42"},
}


@dataclass
class Things:
    """One of everything that a tenant may have, by the kind that the paths of the API name."""

    task: str = ""
    provider_task_id: str = ""
    event: str = ""
    destination: str = ""
    delivery: str = ""
    hook: str = ""
    hook_url: str = ""
    key: str = ""
    seq: int = 0
    secrets: list[str] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [self.task, self.provider_task_id, self.event, self.destination, self.delivery, self.hook, self.key]

    def of(self, path: str) -> list[str]:
        """What may stand in the place of the id in this path."""
        if path.startswith("/v1/tasks/"):
            return [self.task, f"apikley:{self.provider_task_id}"]
        kinds = {"events": self.event, "destinations": self.destination, "deliveries": self.delivery, "keys": self.key}
        kinds["hooks"] = self.hook
        return [kinds[path.split("/")[2]]]


@dataclass
class Two:
    """A tenant that has everything, and its rival."""

    world: World
    directory: Path
    owner: Holder
    rival: Holder
    theirs: Things
    consumer: Consumer

    def kept(self) -> Rows:
        """All that is kept; when a key was used last is its holder's doing."""
        rows = everything(self.directory)
        return {name: sorted(found, key=repr) for name, found in rows.items()}


async def filled(world: World, owner: Holder, consumer: Consumer, provider_task_id: str) -> Things:
    """A tenant with a task that waits at its provider, a destination that fails, and all that follows from it."""
    things = Things(provider_task_id=provider_task_id)
    made = await owner.post("/v1/destinations", {"type": "webhook", "url": consumer.url, "event_types": ["task.*"]})
    things.destination, things.hook_url = made["id"], f"{consumer.url}/abc"
    things.hook = (await owner.post("/v1/hooks", {"url": things.hook_url, "event": "task.finished"}))["id"]
    tenants = await owner.get("/v1/webhook-secret")
    things.secrets = [made["secret"], tenants["secret"]]
    if not ON_POSTGRES:
        await owner.post("/v1/destinations", {"type": "sqlite", "name": "results", "event_types": ["task.*"]})
    answer = await owner.ask("POST", "/v1/tasks", json=TASK, headers={"idempotency-key": "k-1"})
    things.task = answer.json()["id"]
    await world.turn()
    [event] = (await owner.get("/v1/events"))["items"]
    things.event, things.seq = event["id"], event["seq"]
    found = (await owner.get("/v1/deliveries", destination_id=things.destination))["items"]
    things.delivery = found[0]["id"]
    things.key = owner.key_id
    return things


@asynccontextmanager
async def two_tenants(directory: Path) -> AsyncIterator[Two]:
    async with (
        scripted(created("of-owner"), created("of-rival"), record("waiting", "of-rival")) as apikley,
        a_consumer(500) as consumer,
        a_pair(directory, apikley) as world,
    ):
        owner, rival = await a_holder(world, "acme", "admin"), await a_holder(world, "rival", "admin")
        theirs = await filled(world, owner, consumer, "of-owner")
        await rival.get("/v1/me")
        yield Two(world, directory, owner, rival, theirs, consumer)


# What a body must have for the door to look for the object at all.
BODIES: dict[str, Any] = {
    "POST /v1/destinations/{id}/replay": {"since": "2025-01-01T00:00:00Z", "only": "all"},
    "POST /v1/tasks/{id}/resolve": {"status": "failed"},
    "PATCH /v1/destinations/{id}": {"enabled": False},
}


async def test_what_a_path_names_is_another_tenants(tmp_path: Path) -> None:
    """404, as if there were none, for every route with an id; and nothing is changed. Its owner finds it there."""
    async with two_tenants(tmp_path) as two:
        before, wrong, found = two.kept(), {}, 0
        named = [(method, path) for method, path in doors() if "{id}" in path]
        for method, path in named:
            body = BODIES.get(f"{method} {path}")
            for each in two.theirs.of(path):
                answer = await two.rival.ask(method, path.replace("{id}", each), json=body)
                wrong[f"{method} {path} {each}"] = complaint(answer, 404)
                if method == "GET":
                    found += (await two.owner.ask("GET", path.replace("{id}", each))).status_code == 200
        assert failures(wrong) == {}
        assert two.kept() == before
        assert found == sum(len(two.theirs.of(path)) for method, path in named if method == "GET") > 5


Case = Callable[[Two], Awaitable[str | None]]


def sees_nothing(path: str, *queries: str) -> Case:
    """A list in which nothing of another's stands, however it is asked for; its owner sees it."""

    async def case(two: Two) -> str | None:
        values = vars(two.theirs)
        for query in ("", *queries):
            asked = f"{path}?{query.format(**values)}"
            answer = await two.rival.ask("GET", asked)
            text = answer.text
            if answer.status_code != 200 or any(each in text for each in two.theirs.ids):
                return f"{asked}: {answer.status_code} {text}"
            text = (await two.owner.ask("GET", asked)).text
            if not any(each in text for each in two.theirs.ids):
                return f"{asked} shows its owner nothing"
        return None

    return case


async def own_secret(two: Two) -> str | None:
    mine = (await two.rival.get("/v1/webhook-secret"))["secret"]
    return "another's secret" if mine in two.theirs.secrets else None


async def new_secret(two: Two) -> str | None:
    await two.rival.post("/v1/webhook-secret/rotate")
    kept = (await two.owner.get("/v1/webhook-secret"))["secret"]
    return None if kept in two.theirs.secrets else "another's secret was changed"


async def own_task(two: Two) -> str | None:
    """The same body under the same Idempotency-Key is a task of its own."""
    answer = await two.rival.ask("POST", "/v1/tasks", json=TASK, headers={"idempotency-key": "k-1"})
    task = answer.json()
    replayed = "idempotent-replayed" in answer.headers
    return "another's task" if replayed or task["id"] == two.theirs.task or task["tenant"] != "rival" else None


async def adopts(two: Two) -> str | None:
    """A task of the provider's is one of ours, whoever has it: 409, which does not say whose, nor as what."""
    body = {"provider": "apikley", "provider_task_id": two.theirs.provider_task_id}
    answer = await two.rival.ask("POST", "/v1/tasks/adopt", json=body)
    told = [each for each in (two.theirs.task, "acme") if each in answer.text]
    return complaint(answer, 409) or (f"tells {told}" if told else None)


async def many(two: Two) -> str | None:
    """All of a tenant's tasks are its own; another's are chosen by no filter."""
    ours = {"provider_task_id": two.theirs.provider_task_id}
    for action in ("cancel", "refresh", "resolve", "resubmit"):
        for filters in (ours, ours | {"provider": "apikley"}):
            done = await two.rival.post("/v1/tasks/bulk", {"action": action, "filter": filters})
            if done != {"count": 0}:
                return f"{action} {filters}: {done}"
    return None


async def own_destination(two: Two) -> str | None:
    """The same URL, or the same log, is another destination; it gets nothing of others."""
    body = {"type": "webhook", "url": two.consumer.url, "event_types": ["task.*"]}
    made = [await two.rival.post("/v1/destinations", body)]
    if not ON_POSTGRES:
        made.append(await two.rival.post("/v1/destinations", {"type": "sqlite", "name": "results"}))
    if any(each["id"] in two.theirs.ids or each.get("secret") in two.theirs.secrets for each in made):
        return "another's destination"
    for each in made:
        replay = {"since": "2025-01-01T00:00:00Z", "only": "all"}
        if await two.rival.post(f"/v1/destinations/{each['id']}/replay", replay) != {"count": 0}:
            return "another's events"
    return None


async def own_hook(two: Two) -> str | None:
    """The same URL and event is another hook; deleting by URL deletes one's own."""
    body = {"url": two.theirs.hook_url, "event": "task.finished"}
    if (await two.rival.post("/v1/hooks", body))["id"] == two.theirs.hook:
        return "another's hook"
    return await unsubscribes(two)


async def unsubscribes(two: Two) -> str | None:
    deleted = await two.rival.ask("DELETE", "/v1/hooks", params={"url": two.theirs.hook_url})
    left = [[each["id"] for each in (await who.get("/v1/hooks"))["items"]] for who in (two.owner, two.rival)]
    return None if (deleted.status_code, left) == (204, [[two.theirs.hook], []]) else f"{left}"


async def own_key(two: Two) -> str | None:
    body = {"label": "x", "scopes": ["admin"]}
    made = await two.rival.post("/v1/keys", body)
    foreign = await two.rival.ask("POST", "/v1/keys", json=body | {"tenant": "acme"})
    return complaint(foreign, 403) or (None if made["tenant"] == "rival" else "another's key")


async def own_usage(two: Two) -> str | None:
    mine, theirs = [(await each.get("/v1/usage"))["total"]["tasks"] for each in (two.rival, two.owner)]
    return None if (mine, theirs) == (0, 1) else f"{mine} and {theirs} tasks"


async def own_stream(two: Two) -> str | None:
    """From the very beginning: of another's events there are none."""
    async with streamed(two.world) as reached:
        heard = {}
        for holder in (two.owner, two.rival):
            key = {"authorization": f"Bearer {holder.key}"}
            async with reached.listening("/v1/events/stream?after=0", headers=key) as listener:
                [seq] = await happen(two.world, 1, task=a_task(id=new_id("task", 0), tenant=holder.tenant))
                reached.look()
                await listener.until(lambda each, last=seq: last in each.seqs)
                heard[holder.tenant] = {each.data["data"]["task"]["tenant"] for each in listener.messages}
    return None if heard == {"acme": {"acme"}, "rival": {"rival"}} else f"{heard}"


async def own_name(two: Two) -> str | None:
    me = await two.rival.get("/v1/me")
    return None if me["tenant"] == "rival" else f"{me}"


async def providers_without_others(two: Two) -> str | None:
    """They are shared; how many tasks all tenants have there, and what was said of one, is not."""
    items = (await two.rival.get("/v1/providers"))["items"]
    told = [each[name] for each in items for name in ("in_flight", "waiting", "last_error")]
    return None if items and set(told) == {None} else f"{items}"


def for_root(method: str, path: str) -> Case:
    async def case(two: Two) -> str | None:
        return complaint(await two.rival.ask(method, path), 403)

    return case


# Every route whose path names no object, with what shows that it keeps tenants apart. What makes something comes last.
CASES: dict[str, Case] = {
    "GET /v1/me": own_name,
    "GET /v1/usage": own_usage,
    "GET /v1/providers": providers_without_others,
    "GET /v1/tasks": sees_nothing(
        "/v1/tasks",
        "status=submitted",
        "provider=apikley",
        "provider_task_id={provider_task_id}",
        "provider=apikley&provider_task_id={provider_task_id}",
        "metadata.order=42",
        "created_after=2025-01-01T00:00:00Z",
    ),
    "GET /v1/events": sees_nothing(
        "/v1/events", "order=desc", "task_id={task}", "type=task.submitted", "provider=apikley", "after=0&limit=1"
    ),
    "GET /v1/destinations": sees_nothing("/v1/destinations", "limit=200"),
    "GET /v1/deliveries": sees_nothing(
        "/v1/deliveries",
        "task_id={task}",
        "event_id={event}",
        "destination_id={destination}",
        "state=pending",
        "destination_id={destination}&state=pending",
        "task_id={task}&event_id={event}",
    ),
    "GET /v1/hooks": sees_nothing("/v1/hooks", "event=task.finished", "url={hook_url}"),
    "GET /v1/hooks/sample": sees_nothing("/v1/hooks/sample", "event=task.submitted"),
    "DELETE /v1/hooks": unsubscribes,
    "GET /v1/keys": sees_nothing("/v1/keys"),
    "GET /v1/webhook-secret": own_secret,
    "POST /v1/tasks/adopt": adopts,
    "POST /v1/tasks/bulk": many,
    "POST /v1/webhook-secret/rotate": new_secret,
    "POST /v1/keys": own_key,
    "POST /v1/destinations": own_destination,
    "POST /v1/hooks": own_hook,
    "POST /v1/tasks": own_task,
    "GET /v1/events/stream": own_stream,
    **{
        f"{method} {path}": for_root(method, path.replace("{name}", "apikley"))
        for method, path in (
            ("GET", "/metrics"),
            ("POST", "/v1/providers/{name}/pause"),
            ("POST", "/v1/providers/{name}/resume"),
            ("GET", "/internal/tick"),
            ("POST", "/internal/tick"),
            ("POST", "/internal/rotate-secrets"),
        )
    },
}


def test_every_route_has_a_case() -> None:
    """Those whose path names an object have theirs above; a new one is caught here."""
    assert sorted(f"{method} {path}" for method, path in doors() if "{id}" not in path) == sorted(CASES)


async def test_what_no_path_names_is_each_tenants_own(tmp_path: Path) -> None:
    """Lists, filters, what is made under a name that another has: each tenant is alone."""
    async with two_tenants(tmp_path) as two:
        before = [row for row in two.kept()["tasks"] if two.theirs.task in row]
        wrong = {door: await case(two) for door, case in CASES.items()}
        assert failures(wrong) == {}
        assert [row for row in two.kept()["tasks"] if two.theirs.task in row] == before


async def test_a_place_in_anothers_list_is_none(tmp_path: Path) -> None:
    """A cursor is compared with, never looked up: it shows one's own beyond it, and tells not even that it is there."""
    async with two_tenants(tmp_path) as two:
        lists = {"tasks": two.theirs.task, "destinations": two.theirs.destination, "deliveries": two.theirs.delivery}
        for name, cursor in (lists | {"keys": two.theirs.key}).items():
            for made_up in (cursor, cursor[:-1] + ("0" if cursor[-1] != "0" else "1")):
                page = await two.rival.get(f"/v1/{name}", cursor=made_up)
                assert page["items"] == [] or name == "keys"
                assert not any(each in f"{page}" for each in two.theirs.ids)
        page = await two.rival.get("/v1/events", after=two.theirs.seq)
        assert page["items"] == []


async def test_an_event_goes_to_its_own_tenants_destinations(tmp_path: Path) -> None:
    """Also where both have the same URL: each is signed with its own secret; nor is it replayed to another's."""
    async with two_tenants(tmp_path) as two:
        made = await two.rival.post(
            "/v1/destinations", {"type": "webhook", "url": two.consumer.url, "event_types": ["task.*"]}
        )
        replay = {"destination_id": made["id"]}
        answer = await two.owner.ask("POST", f"/v1/events/{two.theirs.event}/replay", json=replay)
        assert complaint(answer, 404) is None
        again = await two.owner.post(f"/v1/events/{two.theirs.event}/replay")
        assert all(each["destination_id"] != made["id"] for each in again["deliveries"])
        await two.world.turn(600)
        assert (await two.rival.get("/v1/deliveries"))["items"] == []
        two.consumer.verify(two.theirs.secrets[0])


async def test_a_tasks_own_webhook_is_signed_by_its_tenant(tmp_path: Path) -> None:
    """Two tenants with one `webhook_url`: two hidden destinations, each with its tenant's secret."""
    async with (
        scripted(
            created("of-owner"), created("of-rival"), record("success", "of-owner"), record("success", "of-rival")
        ) as apikley,
        a_consumer(204) as consumer,
        a_pair(tmp_path, apikley) as world,
    ):
        for name in ("acme", "rival"):
            holder = await a_holder(world, name, "admin")
            secret = (await holder.get("/v1/webhook-secret"))["secret"]
            await holder.post("/v1/tasks", TASK | {"webhook_url": consumer.url, "webhook_events": ["task.submitted"]})
            await world.turn()
            consumer.verify(secret)
            assert [body["data"]["task"]["tenant"] for body in consumer.events] == [name]
            consumer.bodies.clear()
            consumer.headers.clear()


async def test_a_provider_id_that_another_tenant_has_cannot_be_bound(tmp_path: Path) -> None:
    """409 for whoever resolves a task of his with it, and nothing is said of the other."""
    async with (
        scripted(created("of-owner"), (500, {"odd": True}), record("waiting", "of-owner")) as apikley,
        a_pair(tmp_path, apikley) as world,
    ):
        owner, rival = await a_holder(world, "acme", "submit"), await a_holder(world, "rival", "submit")
        theirs = await owner.post("/v1/tasks", TASK)
        mine = await rival.post("/v1/tasks", TASK)
        assert (theirs["status"], mine["status"]) == ("submitted", "unconfirmed")
        answer = await rival.ask("POST", f"/v1/tasks/{mine['id']}/resolve", json={"provider_task_id": "of-owner"})
        assert complaint(answer, 409) is None
        assert theirs["id"] not in answer.text
        assert "acme" not in answer.text


def logs(directory: Path) -> list[str]:
    return [f"{path.relative_to(directory / 'logs')}" for path in directory.glob("logs/*/*.db")]


@makes_a_log
async def test_logs_of_one_name_are_files_of_their_tenants(tmp_path: Path) -> None:
    """`logs/<tenant>/<name>.db`: the rival's is not written to."""
    async with two_tenants(tmp_path) as two:
        await two.rival.post("/v1/destinations", {"type": "sqlite", "name": "results", "event_types": ["task.*"]})
        await two.world.turn()
        assert logs(tmp_path) == ["acme/results.db"]


async def test_root_is_every_tenant(tmp_path: Path) -> None:
    """A list is of the tenant that it names, its own `default` without; a single object is found whosever it is."""
    async with two_tenants(tmp_path) as two:
        root = Holder(two.world, "default", two.world.service.settings.api_key, "")
        for name in ("tasks", "events", "destinations", "deliveries", "keys"):
            assert (await root.get(f"/v1/{name}"))["items"] == []
            assert len((await root.get(f"/v1/{name}", tenant="acme"))["items"]) >= 1
        for method, path in doors():
            if method != "GET" or "{id}" not in path:
                continue
            for each in two.theirs.of(path):
                named = path.replace("{id}", each)
                assert (await root.ask("GET", named)).status_code == 200, named
                assert (await root.ask("GET", f"{named}?tenant=acme")).status_code == 200, named
                assert complaint(await root.ask("GET", f"{named}?tenant=rival"), 404) is None, named
        assert (await root.post(f"/v1/deliveries/{two.theirs.delivery}/retry"))["state"] == "pending"
        assert (await root.post(f"/v1/tasks/{two.theirs.task}/cancel"))["tenant"] == "acme"
        assert (await root.ask("DELETE", f"/v1/keys/{two.theirs.key}")).status_code == 204
        items = (await root.get("/v1/providers"))["items"]
        assert all(isinstance(each["in_flight"], int) for each in items)


async def test_what_root_makes_is_of_its_own_tenant_unless_it_says_another(tmp_path: Path) -> None:
    """`?tenant=` is who it acts for."""
    async with two_tenants(tmp_path) as two:
        root = Holder(two.world, "default", two.world.service.settings.api_key, "")
        body = {"type": "webhook", "url": two.consumer.url}
        for query, tenant in (("", "default"), ("?tenant=acme", "acme"), ("?tenant=default", "default")):
            made = await root.post(f"/v1/destinations{query}", body)
            assert made["id"] in f"{await root.get('/v1/destinations', tenant=tenant)}"
        assert (await root.get("/v1/webhook-secret", tenant="acme"))["secret"] in two.theirs.secrets
        assert (await root.get("/v1/usage", tenant="acme"))["total"]["tasks"] == 1


async def test_a_key_names_no_tenant_but_its_own(tmp_path: Path) -> None:
    """403 for another's, on whatever route; its own is a matter of course. Root's must be a tenant's name, and one."""
    async with two_tenants(tmp_path) as two:
        for path in ("/v1/tasks", "/v1/usage", "/v1/me", f"/v1/tasks/{two.theirs.task}", "/v1/webhook-secret"):
            assert complaint(await two.rival.ask("GET", f"{path}?tenant=acme"), 403) is None, path
            for query in ("tenant=rival&tenant=acme", "tenant=acme&tenant=rival", "tenant=%00", "t%65nant=acme"):
                assert complaint(await two.rival.ask("GET", f"{path}?{query}"), 403) is None, (path, query)
        assert (await two.rival.ask("GET", "/v1/tasks?tenant=rival&tenant=rival")).status_code == 200
        for query in ("tenant=..", "tenant=a/b", "tenant=%00", "tenant=acme&tenant=rival", f"tenant={'x' * 65}"):
            assert complaint(await two.world.api.get(f"/v1/webhook-secret?{query}"), 422, "tenant") is None, query
