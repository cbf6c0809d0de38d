"""Destinations and deliveries: where events go, and what is owed there."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from receiver.calling.answers import Attempt, Delivery, Destination
from receiver.calling.http import Http, given, path_of

_REPLAY_S = 3600.0  # a long history takes its time


class DestinationFields(TypedDict, total=False):
    """What may be said of a destination; which of it is for which type, the server knows."""

    event_types: Sequence[str] | None
    providers: Sequence[str] | None
    models: Sequence[str] | None
    metadata: Mapping[str, str] | None
    format: str | None
    description: str | None
    headers: Mapping[str, str | None] | None
    signature: str | None
    ordered: bool | None
    max_in_flight: int | None
    rate_per_second: float | None
    retention_days: int | None
    enabled: bool | None
    secret: str | None


class Destinations:
    """What the API does with destinations and deliveries."""

    _http: Http

    def add_webhook(self, url: str, **fields: Unpack[DestinationFields]) -> Destination:
        """A webhook; its signing `secret` is in the answer."""
        return self.add_destination("webhook", url=url, **fields)

    def add_log(self, name: str, **fields: Unpack[DestinationFields]) -> Destination:
        """A SQLite log, kept by the server."""
        return self.add_destination("sqlite", name=name, **fields)

    def add_destination(
        self, type: str, *, url: str | None = None, name: str | None = None, **fields: Unpack[DestinationFields]
    ) -> Destination:
        """A destination of any type: webhook, sqlite, nats, redis, postgres."""
        body = {"type": type, **given(url=url, name=name), **fields}
        return Destination(self._http.post("/v1/destinations", body))

    def destinations(self, *, tenant: str | None = None, limit: int | None = None) -> Iterator[Destination]:
        """All of them, newest first."""
        return map(Destination, self._http.listed("/v1/destinations", given(tenant=tenant), limit=limit))

    def destination(self, id: str) -> Destination:
        """One of them."""
        return Destination(self._http.get(path_of("destinations", id)))

    def update_destination(
        self, id: str, *, url: str | None = None, **fields: Unpack[DestinationFields]
    ) -> Destination:
        """Change what is named; None gives a field its default back."""
        return Destination(self._http.patch(path_of("destinations", id), given(url=url) | fields))

    def delete_destination(self, id: str) -> None:
        """Delete it; what is still owed to it is canceled."""
        self._http.delete(path_of("destinations", id))

    def enable_destination(self, id: str) -> Destination:
        """Deliver to it again; what waited goes out now."""
        return Destination(self._http.post(path_of("destinations", id, "enable")))

    def disable_destination(self, id: str) -> Destination:
        """Deliver nothing to it until it is enabled."""
        return Destination(self._http.post(path_of("destinations", id, "disable")))

    def destination_secret(self, id: str) -> dict[str, Any]:
        """`{"secret"}`, and `public_key` where it signs with a key pair."""
        return self._http.get(path_of("destinations", id, "secret"), holds="secret")

    def rotate_secret(self, id: str, *, overlap_seconds: int = 86_400, secret: str | None = None) -> dict[str, Any]:
        """A new secret, this one or one made there; the old one signs along for so long."""
        body = {"overlap_seconds": overlap_seconds, **given(secret=secret)}
        return self._http.post(path_of("destinations", id, "rotate-secret"), body, holds="secret")

    def test_destination(self, id: str) -> Attempt:
        """Send a `ping` now; what came of that."""
        return Attempt(self._http.post(path_of("destinations", id, "test"), holds="duration_ms"))

    def replay(
        self,
        id: str,
        *,
        since: str,
        until: str | None = None,
        event_types: Sequence[str] | None = None,
        only: str = "missing",
        dry_run: bool = False,
    ) -> int:
        """Deliver past events to it: what is `missing`, what is `dead`, or `all`; how many those are."""
        body = {"since": since, "only": only, "dry_run": dry_run, **given(until=until, event_types=event_types)}
        path = path_of("destinations", id, "replay")
        return int(self._http.post(path, body, holds="count", waits_s=_REPLAY_S)["count"])

    def deliveries(
        self,
        *,
        state: str | None = None,
        destination_id: str | None = None,
        task_id: str | None = None,
        event_id: str | None = None,
        tenant: str | None = None,
        limit: int | None = None,
    ) -> Iterator[Delivery]:
        """What is or was owed, newest first: `pending`, `delivered`, `dead` or `canceled`."""
        query = given(state=state, destination_id=destination_id, task_id=task_id, event_id=event_id, tenant=tenant)
        return map(Delivery, self._http.listed("/v1/deliveries", query, limit=limit))

    def delivery(self, id: str) -> Delivery:
        """One of them, with every attempt at it."""
        return Delivery(self._http.get(path_of("deliveries", id), holds="attempt_log"))

    def retry_delivery(self, id: str) -> Delivery:
        """Try it now: beside its schedule where it is pending, anew where it is dead or canceled."""
        return Delivery(self._http.post(path_of("deliveries", id, "retry"), holds="state"))

    def cancel_delivery(self, id: str) -> Delivery:
        """Try it no longer."""
        return Delivery(self._http.post(path_of("deliveries", id, "cancel"), holds="state"))

    def webhook_secret(self) -> str:
        """What signs for the `webhook_url`s of tasks."""
        return str(self._http.get("/v1/webhook-secret", holds="secret")["secret"])

    def rotate_webhook_secret(self, *, overlap_seconds: int = 86_400) -> str:
        """A new one; the old one signs along for so long."""
        body = {"overlap_seconds": overlap_seconds}
        return str(self._http.post("/v1/webhook-secret/rotate", body, holds="secret")["secret"])
