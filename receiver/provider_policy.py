"""Every decision about a provider's standing, pure: when it is paused, probed and resumed."""

from dataclasses import dataclass
from enum import StrEnum

from receiver.copying import replace
from receiver.domain import Ms

IN_A_ROW = 5
PROBE_PAUSES_S = (60, 120, 240, 480, 900)


class Pause(StrEnum):
    """Why a provider is paused."""

    UNREACHABLE = "unreachable"
    AUTH = "auth"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a provider stands with us.

    `doubtful` counts submits in a row of which nobody knows what became, `failed` polls in a row that told nothing;
    `probe_at` is when a paused one is tried next, `probes` how often it was; `probed` is true from an answered probe
    until the one submit that follows it. `error` is what was last heard of it.
    """

    provider: str
    paused: Pause | None = None
    since: Ms | None = None
    doubtful: int = 0
    failed: int = 0
    probe_at: Ms | None = None
    probes: int = 0
    probed: bool = False
    error: str | None = None

    @property
    def holds_polls(self) -> bool:
        """Whether polls wait, too: of a provider that is down, or refuses our key, but not of the operator's pause."""
        return self.paused in (Pause.UNREACHABLE, Pause.AUTH)


PAUSED_WORDS = {
    Pause.UNREACHABLE: "is paused, for it cannot be reached",
    Pause.AUTH: "is paused, for it refuses our key",
    Pause.OPERATOR: "is paused by an operator",
}


def holding(standing: Standing, *, polls: bool) -> str | None:
    """Why submits to a provider wait, or `polls` of it; None where they do not."""
    if standing.paused is None or (polls and not standing.holds_polls):
        return None
    return f"{standing.provider} {PAUSED_WORDS[standing.paused]}"


def paused(standing: Standing, reason: Pause, now: Ms, error: str | None = None) -> Standing:
    """Paused from now on; the operator's pause is never replaced by our own."""
    if standing.paused in (reason, Pause.OPERATOR):
        return standing
    probe_at = None if reason is Pause.OPERATOR else now + PROBE_PAUSES_S[0] * 1000
    return Standing(
        provider=standing.provider, paused=reason, since=now, probe_at=probe_at, error=error or standing.error
    )


def resumed(standing: Standing) -> Standing:
    """As at the beginning."""
    return Standing(provider=standing.provider)


def after_submit(standing: Standing, *, answered: bool, now: Ms, error: str | None = None) -> Standing:
    """A submit ended: answered in any way, or doubtful."""
    if answered:
        ended = resumed(standing) if standing.holds_polls and standing.probed else standing
        return replace(ended, doubtful=0) if ended.doubtful else ended
    counted = replace(standing, doubtful=standing.doubtful + 1, error=error)
    if standing.holds_polls:
        return _next_probe(replace(counted, probed=False), now) if standing.probed else counted
    return paused(counted, Pause.UNREACHABLE, now, error) if counted.doubtful >= IN_A_ROW else counted


def after_no_connection(standing: Standing, now: Ms) -> Standing:
    """A submit found nobody to talk to: polls will tell why, but the one that follows a probe has had its turn."""
    return _next_probe(replace(standing, probed=False), now) if standing.holds_polls and standing.probed else standing


def after_poll(
    standing: Standing, *, answered: bool, submits_wait: bool, now: Ms, error: str | None = None
) -> Standing:
    """A poll ended. The answered one of a paused provider lets one submit try; where none waits, all is well again."""
    if answered:
        if standing.holds_polls:
            return replace(standing, probed=True, failed=0) if submits_wait else resumed(standing)
        return replace(standing, failed=0) if standing.failed else standing
    counted = replace(standing, failed=standing.failed + 1, error=error)
    if standing.holds_polls:
        return counted
    return paused(counted, Pause.UNREACHABLE, now, error) if counted.failed >= IN_A_ROW else counted


def probe_due(standing: Standing, now: Ms) -> bool:
    """Whether a paused provider is to be tried now."""
    return standing.holds_polls and standing.probe_at is not None and now >= standing.probe_at


def probing(standing: Standing, now: Ms) -> Standing:
    """A probe begins: the next one comes later, 1 to 15 minutes."""
    return _next_probe(standing, now)


def _next_probe(standing: Standing, now: Ms) -> Standing:
    probes = standing.probes + 1
    pause_s = PROBE_PAUSES_S[min(probes, len(PROBE_PAUSES_S) - 1)]
    return replace(standing, probes=probes, probe_at=now + pause_s * 1000)


def may_submit(standing: Standing) -> int | None:
    """How many submits may begin: None is no limit, 1 the one that follows an answered probe."""
    if standing.paused is None:
        return None
    return 1 if standing.probed and standing.holds_polls else 0
