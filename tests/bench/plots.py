"""The curves of a run as pictures."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

Curve = Sequence[Mapping[str, float]]


def draw(curves: Mapping[str, Curve], out: Path) -> list[Path]:
    """A PNG for each curve that was measured; where they are."""
    drawn = []
    for name, curve in curves.items():
        figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
        _DRAWN[name](axes, curve)
        axes.grid(visible=True, alpha=0.3)
        path = out / f"{name}.png"
        figure.savefig(path, dpi=120)
        plt.close(figure)
        drawn.append(path)
    return drawn


def _values(curve: Curve, name: str) -> list[float]:
    return [point[name] for point in curve]


def _latency(axes: Axes, curve: Curve) -> None:
    for name, label in (("p50_ms", "p50"), ("p99_ms", "p99")):
        axes.plot(_values(curve, "per_s"), _values(curve, name), marker="o", label=label)
    axes.set(
        yscale="log",
        xlabel="callbacks per second, open loop (the last is nine tenths of what is sustained)",
        ylabel="from callback to webhook, ms",
        title="Latency against load, one core",
    )
    axes.legend()


def _memory(axes: Axes, curve: Curve) -> None:
    axes.plot(_values(curve, "tasks"), _values(curve, "mb"), marker="o")
    axes.set(
        xscale="log",
        ylim=(0, None),
        xlabel="tasks in flight",
        ylabel="resident memory, MB",
        title="Memory against tasks",
    )


def _hour(axes: Axes, curve: Curve) -> None:
    minutes = _values(curve, "minute")
    axes.plot(minutes, _values(curve, "mb"), label="memory, MB")
    axes.plot(minutes, _values(curve, "files"), label="open files")
    axes.plot(minutes, _values(curve, "p50_ms"), label="callback to webhook, p50, ms")
    axes.plot(minutes, _values(curve, "p99_ms"), label="callback to webhook, p99, ms")
    axes.set(yscale="log", xlabel="minutes", title="At half the sustained rate")
    axes.legend()


_DRAWN: Mapping[str, Callable[[Axes, Curve], None]] = {"latency": _latency, "memory": _memory, "hour": _hour}
