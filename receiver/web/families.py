"""Every metric of ours, by its name, and what it says.

Counters and histograms are of this process: add them up over all of them. Gauges of the store are the same from
whichever process they are asked, those of a process its own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import accumulate
from platform import python_version
from typing import TypeVar

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from receiver.counts import CommitCounts, Counts, KindCounts, ProviderCounts, Spread
from receiver.domain import DeliveryState, Ms, Work
from receiver.health import Report
from receiver.loops import Loop
from receiver.store.records import Gauges

_HERE = "Of this process, since it began."
_SHARED = "Of the store: the same from every process."
_Of = TypeVar("_Of")
_STATES = ("healthy", "failing", "disabled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """All that there is to tell at one moment; `gauges` is None where the store did not answer."""

    report: Report
    loops: Sequence[Loop]
    counts: Counts
    commits: CommitCounts
    gauges: Gauges | None
    engine: str
    role: str
    now: Ms


def families(looked: Looked) -> Iterator[Metric]:
    """Each metric with all its series; none is left out because nothing happened yet."""
    yield from _process(looked)
    yield from _providers(looked.counts.providers)
    yield from _callbacks(looked.counts.providers)
    yield from _destinations(looked.counts.kinds)
    yield from _store(looked)
    if looked.gauges is not None:
        yield from _waiting(looked.gauges, looked.counts.providers, looked.counts.kinds, looked.now)


def _process(looked: Looked) -> Iterator[Metric]:
    built = GaugeMetricFamily(
        "taskweir_build_info",
        "1, with what runs in this process as labels.",
        labels=["version", "python", "engine", "role"],
    )
    built.add_metric([version("taskweir"), python_version(), looked.engine, looked.role], 1)
    yield built
    yield GaugeMetricFamily(
        "taskweir_ready", "Whether this process is fit for work.", value=looked.report.reason is None
    )
    loops, told = looked.loops, looked.report.loops
    yield _gauge(
        "taskweir_loop_moved_seconds_ago",
        "How long ago a loop of this process last came round.",
        ("loop",),
        {(each.name,): each.moved_s_ago for each in loops},
    )
    yield _gauge(
        "taskweir_loop_oldest_due_seconds",
        f"How long the oldest thing that a loop should have done is due, but what is held back on purpose. {_SHARED}",
        ("loop",),
        {(each.name,): each.oldest_due_s for each in told},
    )
    yield _counter(
        "taskweir_loop_rounds_total",
        f"Rounds that a loop ended. {_HERE}",
        ("loop",),
        {(each.name,): each.rounds for each in loops},
    )
    yield _counter(
        "taskweir_loop_failures_total",
        f"Rounds that an error of ours ended. {_HERE}",
        ("loop",),
        {(each.name,): each.failures for each in loops},
    )


def _providers(providers: Mapping[str, ProviderCounts]) -> Iterator[Metric]:
    yield _counter(
        "taskweir_submits_total",
        f"Handovers by what became of them; an ambiguous one leaves its task unconfirmed. {_HERE}",
        ("provider", "outcome"),
        _each(providers, lambda counts: counts.submits),
    )
    yield _counter(
        "taskweir_task_outcomes_total",
        f"Final events of tasks; a late verdict after ours is one more. {_HERE}",
        ("provider", "outcome"),
        _each(providers, lambda counts: counts.outcomes),
    )
    yield _histogram(
        "taskweir_task_duration_seconds",
        f"From when a task was asked for to its final event. {_HERE}",
        "provider",
        {name: counts.took for name, counts in providers.items()},
    )
    yield _counter(
        "taskweir_polls_total",
        f"Polls by their answer: answered, or the kind of the failure. {_HERE}",
        ("provider", "answer"),
        _each(providers, lambda counts: counts.polls),
    )
    yield _histogram(
        "taskweir_poll_lag_seconds",
        f"From when a poll was due until the provider was asked. {_HERE}",
        "provider",
        {name: counts.poll_lag for name, counts in providers.items()},
    )
    yield _counter(
        "taskweir_unknown_words_total",
        f"Answers and callbacks with a status that no adapter knows; the task stays where it is. {_HERE}",
        ("provider", "source"),
        _each(providers, lambda counts: counts.unknown_words),
    )


def _callbacks(providers: Mapping[str, ProviderCounts]) -> Iterator[Metric]:
    yield _counter(
        "taskweir_callbacks_promised_total",
        f"Tasks that a provider took with a callback URL. {_HERE}",
        ("provider",),
        {(name,): counts.promised for name, counts in providers.items()},
    )
    yield _counter(
        "taskweir_callbacks_total",
        "Callbacks: the first of a task, a further one, a body that was there already; one with a token that is not"
        f" ours, one of a task that is kept no longer. {_HERE}",
        ("provider", "result"),
        _each(providers, lambda counts: counts.callbacks),
    )
    yield _counter(
        "taskweir_callbacks_unreadable_total",
        f"Callbacks whose body no adapter can read; they count above as well. {_HERE}",
        ("provider",),
        {(name,): counts.unreadable for name, counts in providers.items()},
    )
    yield _histogram(
        "taskweir_callback_lag_seconds",
        f"From when a task was handed over to its first callback. {_HERE}",
        "provider",
        {name: counts.callback_lag for name, counts in providers.items()},
    )


def _destinations(kinds: Mapping[str, KindCounts]) -> Iterator[Metric]:
    yield _counter(
        "taskweir_delivery_attempts_total",
        f"Attempts at destinations, by how they ended. {_HERE}",
        ("kind", "result"),
        _each(kinds, lambda counts: counts.attempts),
    )
    yield _histogram(
        "taskweir_delivery_attempt_duration_seconds",
        f"How long an attempt took. {_HERE}",
        "kind",
        {name: counts.took for name, counts in kinds.items()},
    )
    yield _counter(
        "taskweir_deliveries_ended_total",
        f"Deliveries that ended with an attempt: delivered, or given up as dead. {_HERE}",
        ("kind", "state"),
        _each(kinds, lambda counts: counts.ended),
    )


def _store(looked: Looked) -> Iterator[Metric]:
    yield _counter(
        "taskweir_events_total",
        f"Events of tasks that were recorded. {_HERE}",
        ("type",),
        {(name,): count for name, count in looked.counts.events.items()},
    )
    yield GaugeMetricFamily(
        "taskweir_store_queue_length",
        "Writes that wait for their transaction in this process, or are in the one that is open.",
        value=looked.commits.waiting(),
    )
    yield _counter(
        "taskweir_store_writes_total",
        f"Writes that were committed, or failed. {_HERE}",
        (),
        {(): looked.commits.writes},
    )
    yield _counter(
        "taskweir_store_write_failures_total", f"Writes that failed. {_HERE}", (), {(): looked.commits.failed}
    )
    yield _histogram(
        "taskweir_store_commit_duration_seconds",
        f"How long a transaction's commit took, with what of it ran beside the event loop. {_HERE}",
        None,
        {"": looked.commits.took},
    )


def _waiting(
    gauges: Gauges, providers: Mapping[str, ProviderCounts], kinds: Iterable[str], now: Ms
) -> Iterator[Metric]:
    yield GaugeMetricFamily("taskweir_event_seq", f"Where the newest event stands. {_SHARED}", value=gauges.seq)
    yield _gauge(
        "taskweir_tasks_waiting",
        f"Tasks to be handed over (submit), or asked about (poll); counted up to 20,000. {_SHARED}",
        ("provider", "work"),
        {(name, work.value): gauges.tasks.get((name, work), 0) for name in providers for work in Work},
    )
    yield _gauge(
        "taskweir_tasks_unconfirmed",
        f"Tasks of which nobody knows whether the provider took them; counted up to 20,000 in all. {_SHARED}",
        ("provider",),
        {(name,): gauges.doubts.get(name, 0) for name in providers},
    )
    yield _gauge(
        "taskweir_provider_paused",
        f"1 where a provider gets no submits now. {_SHARED}",
        ("provider",),
        {(name,): name in gauges.paused for name in providers},
    )
    yield _gauge(
        "taskweir_destinations",
        f"Destinations by how they fare; webhook_urls of tasks are among them. {_SHARED}",
        ("kind", "state"),
        {(kind, state): gauges.destinations.get((kind, state), 0) for kind in kinds for state in _STATES},
    )
    for name, text, state in (
        ("taskweir_deliveries_owed", "Deliveries that are pending", DeliveryState.PENDING),
        ("taskweir_deliveries_dead", "Deliveries that were given up, and are kept", DeliveryState.DEAD),
    ):
        counted: dict[tuple[str, ...], float] = {(kind,): gauges.deliveries.get((kind, state), 0) for kind in kinds}
        yield _gauge(name, f"{text}; counted up to 20,000. {_SHARED}", ("kind",), counted)
    yield _gauge(
        "taskweir_deliveries_oldest_owed_seconds",
        f"How long ago the oldest delivery was recorded that is owed to an enabled destination. {_SHARED}",
        ("kind",),
        {(kind,): max(now - gauges.oldest.get(kind, now), 0) / 1000 for kind in kinds},
    )


def _each(named: Mapping[str, _Of], get: Callable[[_Of], Mapping[str, int]]) -> dict[tuple[str, ...], float]:
    """Series by the name, and by the word behind the last dot of each count's."""
    return {(name, word.rpartition(".")[2]): count for name, of in named.items() for word, count in get(of).items()}


def _counter(name: str, text: str, labels: Sequence[str], series: Mapping[tuple[str, ...], float]) -> Metric:
    return _filled(CounterMetricFamily(name, text, labels=labels), series)


def _gauge(name: str, text: str, labels: Sequence[str], series: Mapping[tuple[str, ...], float]) -> Metric:
    return _filled(GaugeMetricFamily(name, text, labels=labels), series)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, series: Mapping[tuple[str, ...], float]) -> Metric:
    for values, number in series.items():
        family.add_metric(values, number)
    return family


def _histogram(name: str, text: str, label: str | None, series: Mapping[str, Spread]) -> Metric:
    """One series of buckets per value of the label; milliseconds are told as seconds."""
    family = HistogramMetricFamily(name, text, labels=[label] if label else [])
    for value, spread in series.items():
        bounds = [*(str(bound / 1000) for bound in spread.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(spread.counts), strict=True))
        family.add_metric([value] if label else [], buckets, spread.total / 1000)
    return family
