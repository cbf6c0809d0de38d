"""Every recorded answer of every provider means what its file says."""

import pytest

from tests.adapters.plain import MOUTHS, Sample, adapter_of, entries, read, samples, trimmed


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.id)
def test_a_sample_means_what_its_file_says(sample: Sample) -> None:
    """An adapter reads a recorded answer as the sample's `gives`, no field more, no field less."""
    assert read(adapter_of(sample.provider), sample) == trimmed(sample.gives)


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.id)
def test_a_file_name_begins_with_the_mouth_that_spoke(sample: Sample) -> None:
    """The name of a sample says what it is: submit, poll or callback first."""
    assert sample.mouth in MOUTHS
    assert sample.name.startswith(f"{sample.mouth}_")


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_every_adapter_has_samples_of_all_its_mouths(name: str) -> None:
    """What an adapter can be told stands recorded: a success and a failure from each mouth that tells of one."""
    mouths = ("poll", "callback") if adapter_of(name).profile.takes_callback else ("poll",)
    told = {(sample.mouth, update.get("status")) for sample in samples(name) for update in _updates(sample)}
    answers = {answer for sample in samples(name) for answer in sample.gives}

    assert {(mouth, status) for mouth in mouths for status in ("succeeded", "failed")} <= told
    assert {"Accepted", "Refused", "Ambiguous", "NotCreated", "PollFailed"} <= answers


def _updates(sample: Sample) -> list[dict[str, str]]:
    given = [sample.gives[name] for name in ("Update", "Updates") if name in sample.gives]
    return [update for value in given for update in (value if isinstance(value, list) else [value])]
