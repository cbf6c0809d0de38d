"""How long something takes, as people say it."""

from receiver.domain import Ms


def span(ms: Ms) -> str:
    """A time span: `97 h`, `3 min`, `58 s`, `312 ms`."""
    for unit, size, enough in (("h", 3_600_000, 2), ("min", 60_000, 2), ("s", 1000, 1)):
        if ms >= size * enough:
            return f"{round(ms / size)} {unit}"
    return f"{max(ms, 0)} ms"


def rough_span(ms: Ms) -> str:
    """The same in whole seconds at the finest."""
    return span(round(ms / 1000) * 1000) if ms >= 500 else "0 s"
