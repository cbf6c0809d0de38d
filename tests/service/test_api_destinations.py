"""The door for destinations answers as the contract says: secrets are shown where they must be, and nowhere else."""

from pathlib import Path

import pytest

from receiver.store.protocol import Store
from tests.make import NOW, a_delivery, a_destination
from tests.service.asking import complaint, everything, holds
from tests.service.engines import makes_a_log
from tests.service.tenants import a_holder
from tests.service.world import a_world

pytestmark = pytest.mark.anyio

DEFAULTS = {
    "event_types": ["task.finished", "task.unconfirmed"],
    "providers": None,
    "models": None,
    "metadata": None,
    "format": "standard",
    "description": "",
    "ordered": False,
    "max_in_flight": 32,
    "enabled": True,
    "state": "healthy",
    "disabled_reason": None,
    "blocked_reason": None,
    "failing": None,
    "created_at": "2025-12-08T09:40:00.000Z",
}
OF_A_WEBHOOK = {"headers": {}, "signature": "v1", "rate_per_second": None, "hook": None}
SECRET = "whsec_" + "c2VjcmV0" * 5


async def test_a_webhook_destination(tmp_path: Path) -> None:
    """Its secret is in the answer to the POST and behind `…/secret`, nowhere else; gone is gone."""
    async with a_world(tmp_path) as world:
        url = "http://127.0.0.1:9/hook?team=1"
        made = await world.api.post("/v1/destinations", json={"type": "webhook", "url": url, "secret": SECRET})
        body = made.json()
        assert (made.status_code, body.pop("secret")) == (201, SECRET)
        assert body == DEFAULTS | OF_A_WEBHOOK | {"id": body["id"], "type": "webhook", "url": url}
        path = f"/v1/destinations/{body['id']}"
        for answer in (await world.api.get(path), await world.api.get("/v1/destinations")):
            assert SECRET.removeprefix("whsec_") not in answer.text
        assert (await world.api.get(path)).json() == body
        assert (await world.api.get("/v1/destinations")).json() == {"items": [body], "next_cursor": None}
        assert (await world.api.get(f"{path}/secret")).json() == {"secret": SECRET}
        assert holds(everything(tmp_path), SECRET.removeprefix("whsec_")) == []
        deleted = await world.api.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        for gone in (path, f"{path}/secret"):
            assert complaint(await world.api.get(gone), 404) is None
        assert complaint(await world.api.delete(path), 404) is None
        assert (await world.api.get("/v1/destinations")).json()["items"] == []


async def test_every_field_of_a_destination(tmp_path: Path) -> None:
    """Kept and shown as given; a secret is made where none is."""
    fields = {
        "event_types": ["task.*", "task.progress"],
        "providers": ["apikley", "reapi"],
        "models": ["m"],
        "metadata": {"order": "42"},
        "format": "cloudevents-binary",
        "description": "for the team 😀",
        "ordered": True,
        "max_in_flight": 1000,
        "rate_per_second": 0.5,
    }
    async with a_world(tmp_path) as world:
        made = await world.destination("http://127.0.0.1:9/", **fields)
        secret = made.pop("secret")
        assert secret.startswith("whsec_")
        shown = DEFAULTS | OF_A_WEBHOOK | fields
        assert made == shown | {"id": made["id"], "type": "webhook", "url": "http://127.0.0.1:9/"}
        assert (await world.api.get(f"/v1/destinations/{made['id']}/secret")).json() == {"secret": secret}
        assert (await world.destination("http://127.0.0.1:9/"))["secret"] != secret
        nullable = ("event_types", "providers", "models", "metadata", "headers", "rate_per_second", "secret", "name")
        nulls = dict.fromkeys((*nullable, "retention_days"))
        plain = await world.destination("http://127.0.0.1:9/", **nulls)
        assert plain | DEFAULTS | OF_A_WEBHOOK == plain


@makes_a_log
async def test_a_log_destination(tmp_path: Path) -> None:
    """A name, no secret, and no file before the first event."""
    async with a_world(tmp_path) as world:
        made = await world.api.post(
            "/v1/destinations", json={"type": "sqlite", "name": "Results_2-x", "retention_days": 90}
        )
        assert made.status_code == 201
        body = made.json()
        named = {"id": body["id"], "type": "sqlite", "name": "Results_2-x", "retention_days": 90}
        assert body == DEFAULTS | named
        assert complaint(await world.api.get(f"/v1/destinations/{body['id']}/secret"), 404) is None
        assert (await world.api.get(f"/v1/destinations/{body['id']}")).json() == body


async def test_a_secret_that_cannot_be_opened_is_not_the_callers_fault(tmp_path: Path) -> None:
    """Sealed under a key that the operator took away: 503, not 401, for the caller's own key is good."""
    async with a_world(tmp_path) as world:
        made = await world.destination("http://127.0.0.1:9/")
    async with a_world(tmp_path, TASKWEIR_SECRET_KEY="n" * 32) as world:
        answer = await world.api.get(f"/v1/destinations/{made['id']}/secret")
        assert complaint(answer, 503) is None
        assert "TASKWEIR_SECRET_KEY" in answer.json()["detail"]
        assert (await world.api.get("/v1/destinations")).status_code == 200


async def test_lists_have_pages(tmp_path: Path) -> None:
    """Destinations and deliveries, newest first, each once; another tenant's are not there, nor can be touched."""
    numbers = range(5)

    def fill(store: Store) -> None:
        for tenant, count in (("default", 5), ("other", 2)):
            for number in range(count):
                destination = a_destination(id=f"dst_{tenant[0]}{number:025}", tenant=tenant)
                store.record_destination(destination)
                delivery = a_delivery(id=f"dlv_{tenant[0]}{number:025}", tenant=tenant, destination_id=destination.id)
                store.record_delivery(delivery, 1)

    async with a_world(tmp_path) as world:
        await world.service.storage.write(fill)
        for kind in ("destinations", "deliveries"):
            seen: list[int] = []
            cursor: str | None = ""
            while cursor is not None:
                page = (await world.api.get(f"/v1/{kind}?limit=2&cursor={cursor}")).json()
                seen += [int(item["id"][5:]) for item in page["items"]]
                cursor = page["next_cursor"]
            assert seen == [*reversed(numbers)]
        holder = await a_holder(world, "default", "admin")
        for path in (f"/v1/destinations/dst_o{0:025}", f"/v1/deliveries/dlv_o{0:025}"):
            assert complaint(await holder.ask("GET", path), 404) is None
        assert complaint(await holder.ask("DELETE", f"/v1/destinations/dst_o{0:025}"), 404) is None
        assert len(everything(tmp_path)["destinations"]) == 7


async def test_deleting_a_destination_cancels_what_it_is_owed(tmp_path: Path) -> None:
    """Canceled, with no next attempt, and still there to be looked at."""
    async with a_world(tmp_path) as world:
        made = await world.destination("http://127.0.0.1:9/")
        owed = a_delivery(destination_id=made["id"], due_at=NOW + 1000)
        await world.service.storage.write(lambda store: store.record_delivery(owed, 1))
        assert (await world.api.delete(f"/v1/destinations/{made['id']}")).status_code == 204
        delivery = (await world.api.get("/v1/deliveries/dlv_1")).json()
        assert (delivery["state"], delivery["next_attempt_at"], delivery["attempt_log"]) == ("canceled", None, [])
