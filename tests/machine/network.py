"""The machine's network: Taskweir's one way out, with the provider and the consumer at its other end."""

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime

from standardwebhooks import Webhook

from receiver.guard import Guard
from receiver.outbound import DEFAULT_CAP, Audience, Outbound
from receiver.wire import Call, NoReply, Reply
from tests.machine.provider import LOST, REFUSED, Parking, Provider

CONSUMER_MODES = ("up", "500", "hangs up", "takes it and hangs up", "busy", "unreachable", "held")


@dataclass
class Consumer:
    """A user's endpoint: `taken` are the events it has by URL, `acknowledged` those it said so of."""

    parking: Parking
    mode: str = "up"
    secrets: dict[str, str] = field(default_factory=dict)
    taken: dict[tuple[str, str], bytes] = field(default_factory=dict)
    acknowledged: set[tuple[str, str]] = field(default_factory=set)

    async def receive(self, call: Call) -> Reply | NoReply:
        headers, body, event = call.headers, call.body or b"", call.headers["webhook-id"]
        expected = Webhook(self.secrets[call.url]).sign(
            event, datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC), body.decode()
        )
        assert expected in headers["webhook-signature"].split(" "), "the signature is wrong"
        mode = self.mode
        if mode in ("up", "takes it and hangs up", "held"):
            known = self.taken.setdefault((call.url, event), body)
            assert known == body, "one event id, two contents"
        if mode == "held":
            await self.parking.wait()
        if mode in ("up", "held"):
            self.acknowledged.add((call.url, event))
        answers: dict[str, Reply | NoReply] = {
            "up": Reply(status=204, headers={}, body=b""),
            "held": Reply(status=200, headers={}, body=b"ok"),
            "500": Reply(status=500, headers={}, body=b"oops"),
            "busy": Reply(status=429, headers={"retry-after": "900"}, body=b""),
            "unreachable": REFUSED,
        }
        return answers.get(mode, LOST)


class Network(Outbound):
    """What the port `Outbound` promises, without sockets; once `cut`, nothing is ever answered."""

    def __init__(self, provider: Provider, consumer: Consumer) -> None:
        super().__init__(Guard("loopback"))
        self._provider = provider
        self._consumer = consumer
        self.cut = False

    async def start(self) -> None:
        self.cut = False

    async def close(self) -> None:
        self.cut = True

    async def resolve(self, host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async def send(self, call: Call, *, deadline_s: float, cap: int = DEFAULT_CAP, kind: Audience) -> Reply | NoReply:
        if self.cut:
            await asyncio.Event().wait()
        return await (self._consumer.receive(call) if kind is Audience.WEBHOOK else self._provider.answer(call))
