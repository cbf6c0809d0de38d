"""How these tests send."""

import asyncio

from receiver.outbound import Audience, Outbound
from receiver.wire import Call, NoReply, Reply

CANARY = "s3cr3t"
SUBMIT, POLL, WEBHOOK = Audience.PROVIDER_SUBMIT, Audience.PROVIDER_POLL, Audience.WEBHOOK
Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


async def send(
    outbound: Outbound,
    url: str,
    *,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    body: bytes | None = b'{"a":1}',
    deadline_s: float = 2.0,
    cap: int = 64 * 1024,
    kind: Audience = SUBMIT,
) -> Reply | NoReply:
    """Send with a canary in path, query and headers, and look for it in whatever is said about a failure."""
    mark = "&" if "?" in url else "?"
    call = Call(
        method=method,
        url=f"{url}{mark}key={CANARY}",
        headers={"Authorization": f"Bearer {CANARY}"} if headers is None else headers,
        body=body,
    )
    outcome = await outbound.send(call, deadline_s=deadline_s, cap=cap, kind=kind)
    if isinstance(outcome, NoReply):
        assert CANARY not in outcome.reason
        assert 5 < len(outcome.reason) < 120
    return outcome
