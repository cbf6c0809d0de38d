"""The providers: whether what answers is theirs, takes our key, and goes by the same clock."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from adapters.base import Adapter, PollFailed
from receiver.cli.checkup.findings import Finding, ok, warning, wrong
from receiver.domain import FailureKind, Kind, Provider
from receiver.providers import NO_TASK, Served, serve_providers
from receiver.wire import NoReply, Reply

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_LIMIT_S = 10.0
_OFF_S = 60.0
_ANSWERS_US = frozenset({FailureKind.NOT_FOUND, FailureKind.INVALID_REQUEST})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One provider, asked about a task that nobody has; `ahead_s` is how much our clock is ahead of its own."""

    finding: Finding
    ahead_s: float | None = None


def look(providers: Mapping[str, Provider], adapters: Mapping[str, Adapter]) -> tuple[list[Finding], list[float]]:
    """What was found of each, and by how many seconds our clock is ahead of each that told its own."""
    if not providers:
        remedy = (
            "Set the key of one, as TASKWEIR_APIKLEY_API_KEY; to try things out, `taskweir sandbox` plays all four."
        )
        return [warning("providers", "none is configured", remedy)], []
    served = list(serve_providers(providers, adapters).values())
    with ThreadPoolExecutor(max_workers=8) as crew:
        asked = list(crew.map(_ask, served))
    return [each.finding for each in asked], [each.ahead_s for each in asked if each.ahead_s is not None]


def clock(ahead: Sequence[float]) -> Finding:
    """What to say of a clock that is so many seconds ahead of each of the others."""
    if not ahead:
        return ok("clock", "nobody told us theirs")
    least = min(ahead, key=abs)  # one other clock may be wrong; all of them are not
    if abs(least) <= _OFF_S:
        return ok("clock", f"within {max(abs(least), 1):.0f} s of others'")
    told = f"{abs(least) / 60:.0f} min {'ahead of' if least > 0 else 'behind'} every other that we asked"
    return wrong(
        "clock", f"this machine's is {told}: webhooks are refused as too old", "Set it: let NTP keep it right."
    )


def _ask(served: Served) -> Asked:
    name, host = served.provider.name, urlsplit(served.provider.base_url).netloc
    call = served.poll(NO_TASK)
    if isinstance(call, NoReply):
        return Asked(finding=wrong(name, call.reason, "Look at the adapter."))
    trust = urlsplit(call.url).hostname not in LOOPBACK
    try:
        with httpx.Client(timeout=_LIMIT_S, trust_env=trust) as client:
            reply = client.request(call.method, call.url, headers=dict(call.headers), content=call.body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        told = f"{host} does not answer ({type(error).__name__})"
        return Asked(finding=wrong(name, told, f"Look at {_variable(name, 'BASE_URL')}, and whether we get out there."))
    return Asked(finding=_judged(served, reply, host), ahead_s=_ahead(reply))


def _judged(served: Served, reply: httpx.Response, host: str) -> Finding:
    """What an answer about no task says of the account."""
    name, adapter = served.provider.name, served.provider.adapter
    told = Reply(status=reply.status_code, headers=dict(reply.headers), body=reply.content)
    answer = served.read_poll(told, Kind.VIDEO, round(time.time() * 1000))
    if not isinstance(answer, PollFailed) or answer.failure.kind in _ANSWERS_US:
        return ok(name, f"{host} answers, and takes our key")
    failure = answer.failure
    if failure.kind is FailureKind.AUTH:
        remedy = f"Set {_variable(name, 'API_KEY')} to a key that is valid there."
        return wrong(name, f"{host} refuses our key: {failure.message}", remedy)
    if failure.kind is FailureKind.RATE_LIMITED:
        return warning(name, f"{host} answers that we ask too often", f"Lower {_variable(name, 'RATE')}.")
    if reply.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        remedy = f"It is down, or {_variable(name, 'BASE_URL')} leads elsewhere: see its status page."
        return wrong(name, f"{host} fails: {failure.message}", remedy)
    remedy = f"Set {_variable(name, 'BASE_URL')} to its API's address, or leave it out for {adapter}'s own."
    return wrong(name, f"what answers at {host} is not {adapter}: {failure.message}", remedy)


def _variable(name: str, field: str) -> str:
    return f"TASKWEIR_{name.upper()}_{field} (or {field.lower()} in TASKWEIR_PROVIDERS)"


def _ahead(reply: httpx.Response) -> float | None:
    try:
        return time.time() - parsedate_to_datetime(reply.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
