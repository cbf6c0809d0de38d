"""Which delivery is to blame where a process died with many under way, pure: the one that it dies with alone."""

from enum import StrEnum

SUSPECT_AFTER = 3  # attempts in a row that were begun, and never heard of again
GIVEN_UP_AFTER = 10
FIRST_PAUSE_S = 30.0


class Verdict(StrEnum):
    """What happens to a delivery that was claimed: `try` it like any other, or alone, put it `off`, or it is `dead`."""

    TRY = "try"
    ALONE = "alone"
    OFF = "off"
    DEAD = "dead"


def judge(lost: int, *, just_lost: bool, free: bool) -> Verdict:
    """What to do with one whose last `lost` attempts were lost, the very last one of all if `just_lost`.

    Three may be anybody's fault: all that was under way when a process died has lost one. From then on it is a suspect:
    after each loss it waits, and then is tried while no other suspect is (`free`), so that each crash counts against
    one of them at most. Innocent ones arrive, and are cleared; what ends its process every time is dead after ten.
    """
    if lost < SUSPECT_AFTER:
        return Verdict.TRY
    if lost >= GIVEN_UP_AFTER:
        return Verdict.DEAD
    return Verdict.ALONE if free and not just_lost else Verdict.OFF


def pause_s(lost: int, *, just_lost: bool, spread: float, first_s: float = FIRST_PAUSE_S) -> float:
    """How long a suspect is put off: after each loss twice as long as before, half a minute at first; else briefly.

    Whatever killed the process may go on doing so for a while. Between half and one and a half times that, by `spread`
    (0 to 1), so that suspects do not come all at once.
    """
    pause = first_s * 2 ** (lost - SUSPECT_AFTER) if just_lost else first_s / 6
    return pause * (0.5 + spread)
