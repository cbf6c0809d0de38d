"""Signs an event and posts it to a user's URL."""

from collections.abc import Sequence

from adapters.base import retry_after_seconds
from receiver.clock import Clock
from receiver.domain import Attempt, Call, Destination, Ms, NoReply, Reply
from receiver.outbound import Audience, Outbound
from receiver.sealing import Seal, tenant_row
from receiver.senders.base import Sent
from receiver.signing import sign
from receiver.store.protocol import Parcel

DEADLINE_S = 15.0
KEPT_RESPONSE = 4096


class WebhookSender:
    """Standard Webhooks 1.0.0: the event's id on every attempt, the attempt's own time, 2xx is success."""

    batch = 1

    def __init__(self, outbound: Outbound, seal: Seal, clock: Clock, *, deadline_s: float = DEADLINE_S) -> None:
        self._outbound = outbound
        self._seal = seal
        self._clock = clock
        self.longest_attempt_s = deadline_s

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        return [await self._post(destination, parcel) for parcel in parcels]

    async def _post(self, destination: Destination, parcel: Parcel) -> Sent:
        at = self._clock.now()
        body = parcel.body.encode()
        signed = sign(self._secrets(destination, at), message_id=parcel.delivery.event_id, at=at, body=body)
        headers = {"content-type": "application/json", "user-agent": "Taskweir/0.1", **signed}
        call = Call(method="POST", url=destination.target, headers=headers, body=body)
        reply = await self._outbound.send(
            call, deadline_s=self.longest_attempt_s, cap=KEPT_RESPONSE, kind=Audience.WEBHOOK
        )
        return _sent(reply, parcel, at=at, now=self._clock.now())

    def _secrets(self, destination: Destination, at: Ms) -> list[str]:
        """What signs for a destination now: the secret, and while a rotation overlaps those before it."""
        row = tenant_row(destination.tenant) if destination.hidden else destination.id
        sealed = [destination.sealed_secret, *(each.sealed for each in destination.retired if at < each.until)]
        return [self._seal.open(secret, row=row) for secret in sealed]


def _sent(reply: Reply | NoReply, parcel: Parcel, *, at: int, now: int) -> Sent:
    number, duration_ms = parcel.delivery.attempts, max(now - at, 0)
    if isinstance(reply, NoReply):
        return Sent(attempt=Attempt(number=number, at=at, duration_ms=duration_ms, error=reply.reason))
    text = reply.body.decode("utf-8", "replace").replace("\x00", "\ufffd")
    attempt = Attempt(number=number, at=at, duration_ms=duration_ms, status=reply.status, response=text)
    return Sent(attempt=attempt, retry_after_s=retry_after_seconds(reply.headers, now))
