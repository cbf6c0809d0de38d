"""Writes an event in its destination's format, signs it and posts it to a user's URL."""

from collections.abc import Awaitable, Callable, Sequence

from adapters.base import retry_after_seconds
from receiver import formats
from receiver.clock import Clock
from receiver.domain import Attempt, Destination, Format, Ms
from receiver.errors import NotVerified
from receiver.outbound import Audience, Outbound
from receiver.rendering import Rendered, rendered
from receiver.sealing import Seal
from receiver.senders.answers import KEPT_BYTES, kept_text
from receiver.senders.base import Sent
from receiver.signing import sign
from receiver.store.records import Parcel
from receiver.traces import NO_TRACES, Traces
from receiver.unsealing import blocked_reason, own_headers, secrets_of
from receiver.wire import Call, NoReply

DEADLINE_S = 15.0
_UNNEEDED = "not sent: the answer to the submit itself was the provider's refusal"

AsCallback = Callable[[Destination, Parcel], Awaitable[Rendered | None]]


class WebhookSender:
    """Standard Webhooks 1.0.0: the event's id on every attempt, the attempt's own time, 2xx is success."""

    batch = 1

    def __init__(
        self,
        outbound: Outbound,
        seal: Seal,
        clock: Clock,
        *,
        as_callback: AsCallback,
        deadline_s: float = DEADLINE_S,
        traces: Traces = NO_TRACES,
    ) -> None:
        self._outbound = outbound
        self._seal = seal
        self._clock = clock
        self.longest_attempt_s = deadline_s
        self._as_callback = as_callback
        self._traces = traces

    def blocked_reason(self, destination: Destination) -> str | None:
        return blocked_reason(self._seal, destination)

    async def send(self, destination: Destination, parcels: Sequence[Parcel]) -> Sequence[Sent]:
        [parcel] = parcels
        return [await self._post(destination, parcel)]

    async def _post(self, destination: Destination, parcel: Parcel) -> Sent:
        at, number = self._clock.now(), parcel.delivery.attempts
        try:
            secrets, own = secrets_of(self._seal, destination, at), own_headers(self._seal, destination)
        except NotVerified as error:
            return Sent(attempt=Attempt(number=number, at=at, duration_ms=0, error=str(error)))
        if destination.format is Format.PROVIDER:
            message = await self._as_callback(destination, parcel)
        else:
            prompt = formats.prompt_of(parcel.input) if destination.format is Format.FLAT else None
            message = rendered(destination.format, parcel.body, seq=parcel.seq, prompt=prompt)
        if message is None:
            return Sent(attempt=Attempt(number=number, at=at, duration_ms=0, response=_UNNEEDED))
        headers = _with(self._traces.headers(parcel.delivery), own)
        call = _call(destination, parcel, message, headers, secrets, at)
        reply = await self._outbound.send(
            call, deadline_s=self.longest_attempt_s, cap=KEPT_BYTES, kind=Audience.WEBHOOK
        )
        now = self._clock.now()
        duration_ms = max(now - at, 0)
        if isinstance(reply, NoReply):
            return Sent(attempt=Attempt(number=number, at=at, duration_ms=duration_ms, error=reply.reason))
        text = kept_text(reply.body, reply.headers, [*secrets, *own.values()])
        attempt = Attempt(number=number, at=at, duration_ms=duration_ms, status=reply.status, response=text)
        return Sent(attempt=attempt, retry_after_s=retry_after_seconds(reply.headers, now))


def _with(traced: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """The destination's own headers, and of ours what they do not name."""
    if not traced:
        return own
    named = {name.lower() for name in own}
    return {**{name: value for name, value in traced.items() if name not in named}, **own}


def _call(
    destination: Destination, parcel: Parcel, message: Rendered, own: dict[str, str], secrets: Sequence[str], at: Ms
) -> Call:
    signed = sign(secrets, message_id=parcel.delivery.event_id, at=at, body=message.body)
    headers = {**own, **message.headers, **signed}
    return Call(method="POST", url=destination.target, headers=headers, body=message.body)
