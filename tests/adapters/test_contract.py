"""What every adapter promises, whoever wrote it: one suite over all that are installed."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.base import Adapter
from receiver import json_text
from receiver.domain import Kind, Provider, Status
from receiver.errors import Fault, Malformed, NotVerified
from receiver.wire import Callback
from tests.adapters import hostile
from tests.adapters.plain import HERE, MOUTHS, NOW, Sample, adapter_of, entries, said, samples

_KEY = "sk-0123456789abcdef-not-for-anyone-else"
_HOST = "https://provider.example/base"
_ANSWERS = {
    "submit": {"Accepted", "Refused", "NotCreated", "Ambiguous"},
    "poll": {"Update", "PollFailed"},
    "callback": {"Updates", "Malformed"},
}
_WRONG_ENDS = {"failed", "expired", "canceled"}

every_adapter = pytest.mark.parametrize("name", [entry.name for entry in entries()])
every_mouth = pytest.mark.parametrize("mouth", MOUTHS)


def _provider(name: str, base_url: str = _HOST) -> Provider:
    return Provider(name="any", adapter=name, base_url=base_url, api_key=_KEY)


def _updates(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    ((kind, value),) = given.items()
    if kind == "Updates":
        return list(value)
    return {"Update": [value], "Accepted": [value.get("update", {})] if value else []}.get(kind, [])


def _succeeded(given: Mapping[str, Any]) -> bool:
    return any(update.get("status") == "succeeded" for update in _updates(given))


def _hold(mouth: str, given: dict[str, Any]) -> None:
    """What is true of everything that an adapter gives."""
    ((kind, value),) = given.items()
    assert kind in _ANSWERS[mouth]
    json_text.write(value).encode()
    for update in _updates(given):
        status = update.get("status")
        assert ("error" in update) == (status in _WRONG_ENDS)
        assert status == "succeeded" or "outputs" not in update
        assert 0 <= update.get("progress", 0) <= 100
        assert update.get("usage", {}).get("amount", 0) >= 0
        assert all(output["url"].startswith("http") for output in update.get("outputs", ()))


def _bodies(name: str, mouth: str) -> list[tuple[Sample, Any]]:
    """The recorded samples of one mouth that are JSON objects."""
    spoken = (sample for sample in samples(name) if sample.mouth == mouth and sample.body.startswith(b"{"))
    return [(sample, json.loads(sample.body)) for sample in spoken]


def _requests(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(HERE.glob(f"seeds/{name}/*.json")):
        request = json.loads(path.read_text("utf-8"))["request"]
        yield request["model"], request["input"]


@every_adapter
def test_poll_and_callback_of_one_outcome_give_equal_updates(name: str) -> None:
    """Nobody can tell from an update who spoke: samples named alike are one outcome, seen at different times."""
    adapter = adapter_of(name)
    polls = {sample.outcome: sample for sample in samples(name) if sample.mouth == "poll"}
    called = {sample.outcome: sample for sample in samples(name) if sample.mouth == "callback"}
    told = set()
    for outcome in polls.keys() & called.keys():
        poll, callback = polls[outcome], called[outcome]
        polled = said(adapter, "poll", poll.body, poll.status, media=poll.media, now=NOW + 90_000)
        rung = said(adapter, "callback", callback.body, media=callback.media)
        assert rung == {"Updates": [polled["Update"]]}, outcome
        told.add(polled["Update"].get("status"))

    assert told >= ({"succeeded", "failed"} if adapter.profile.takes_callback else set())


@every_adapter
def test_a_status_word_from_tomorrow_is_not_final(name: str) -> None:
    """A word that the provider never used before keeps the task where it is, and is kept for people to see."""
    adapter, tried = adapter_of(name), set()
    for sample in samples(name):
        for update in _updates(sample.gives):
            word = update.get("provider_status")
            if word is None or update.get("status") is None:
                continue
            body = hostile.with_word(json.loads(sample.body), word, "levitating")
            given = said(adapter, sample.mouth, json.dumps(body).encode(), sample.status, sample.headers, sample.media)
            statuses = {Status(said["status"]) for said in _updates(given) if "status" in said}
            assert not any(status.final for status in statuses), sample.id
            assert {said.get("provider_status") for said in _updates(given)} <= {"levitating"}, sample.id
            tried.add(word)

    assert len(tried) >= 3


@every_adapter
@every_mouth
def test_hostile_bodies_never_crash_and_never_succeed(name: str, mouth: str) -> None:
    """Whatever the bytes, an adapter answers with one of its values; a callback may be `Malformed`, no more."""
    adapter = adapter_of(name)
    assert len(hostile.BODIES) >= 60
    for what, body in hostile.BODIES.items():
        for status in (200, 204, 302, 401, 404, 429, 500, 599):
            given = said(adapter, mouth, body, status)
            _hold(mouth, given)
            assert not _succeeded(given), what


@every_adapter
@every_mouth
def test_hostile_headers_never_crash(name: str, mouth: str) -> None:
    """`Retry-After` is the sender's text like any other."""
    adapter = adapter_of(name)
    for headers in hostile.HEADERS:
        for status in (200, 429, 503):
            given = said(adapter, mouth, b'{"code":429}', status, headers)
            _hold(mouth, given)
            waits = [value["retry_after_s"] for value in given.values() if value and "retry_after_s" in value]
            assert all(0 <= wait <= 86_400 for wait in waits)


@every_adapter
@every_mouth
def test_a_success_that_arrives_damaged_as_a_whole_is_none(name: str, mouth: str) -> None:
    """Cut, wrapped, compressed or with a wrong byte in it, a recorded success proves nothing."""
    adapter = adapter_of(name)
    for sample, _ in _bodies(name, mouth):
        if _succeeded(sample.gives):
            for what, body in hostile.wrappings(sample.body).items():
                given = said(adapter, mouth, body, sample.status, sample.headers, sample.media)
                _hold(mouth, given)
                assert not _updates(given), f"{sample.id} {what}"


@every_adapter
@every_mouth
def test_a_damaged_field_never_crashes_and_never_makes_a_success(name: str, mouth: str) -> None:
    """Each field of each sample deleted, renamed, null or of a wrong type: no error; success only where its word is."""
    adapter, tried = adapter_of(name), 0
    for sample, value in _bodies(name, mouth):
        words = {update.get("provider_status") for update in _updates(sample.gives)} - {None}
        may_succeed = _succeeded(sample.gives)
        for body in hostile.damaged(value):
            given = said(adapter, mouth, json.dumps(body).encode(), sample.status, sample.headers, sample.media)
            _hold(mouth, given)
            said_so = may_succeed and words <= hostile.texts(body)
            assert said_so or not _succeeded(given), f"{sample.id}: {body!r:.400}"
            tried += 1

    assert tried > 100 or (mouth == "callback" and not adapter.profile.takes_callback)


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)


@cache
def _keys(name: str) -> list[str]:
    found: set[str] = set()

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            found.update(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(item)

    for sample in samples(name):
        if sample.body.startswith(b"{"):
            walk(json.loads(sample.body))
    return sorted(found)


@cache
def _objects(name: str) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(_keys(name))
    values = st.recursive(
        _SCALARS | st.sampled_from([0, 200, 501, "200", "fail", "failed"]),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6) | inner.map(json.dumps),
        max_leaves=12,
    )
    return st.dictionaries(keys, values, max_size=8)


@every_adapter
@every_mouth
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_any_json_in_the_provider_s_own_words_is_read(name: str, mouth: str, data: st.DataObject) -> None:
    """Objects made of the provider's own field names and any values give a value, or `Malformed` from a callback."""
    body = json.dumps(data.draw(_objects(name))).encode()
    status = data.draw(st.sampled_from([200, 400, 404, 429, 500]))

    _hold(mouth, said(adapter_of(name), mouth, body, status))


@every_adapter
@settings(max_examples=40, deadline=None, database=None, derandomize=True)
@given(body=st.binary(max_size=64))
def test_any_bytes_are_read(name: str, body: bytes) -> None:
    """No byte string is an error of ours."""
    for mouth in MOUTHS:
        _hold(mouth, said(adapter_of(name), mouth, body))


@every_adapter
def test_only_who_takes_a_callback_url_reads_callbacks(name: str) -> None:
    """A provider that sends no callbacks has none read, whatever it says; one that does names the ack it wants."""
    adapter = adapter_of(name)
    json.loads(adapter.profile.ack)
    if not adapter.profile.takes_callback:
        for sample, _ in _bodies(name, "poll"):
            with pytest.raises(Malformed):
                adapter.read_callback(Callback(headers={}, body=sample.body), media=Kind.VIDEO, now=NOW)


@every_adapter
def test_signatures_and_challenges_are_read_in_anything(name: str) -> None:
    """No bytes and no header prove anything, nor are they an error; only who takes callbacks may sign them."""
    adapter = adapter_of(name)
    assert adapter.profile.takes_callback or not adapter.profile.signs_callbacks
    for headers in ({}, *hostile.HEADERS):
        for body in hostile.BODIES.values():
            callback = Callback(headers=headers, body=body)
            assert adapter.answer_challenge(callback) is None
            with pytest.raises(NotVerified):
                adapter.verify_callback(callback, "whsec_" + "A" * 32, now=NOW)


@every_adapter
def test_the_key_travels_in_headers_only(name: str) -> None:
    """The API key is in no URL, no body and no repr of a request."""
    adapter = adapter_of(name)
    calls = [adapter.submit(_provider(name), *request, None) for request in _requests(name)]
    for call in [*calls, adapter.poll(_provider(name), "task-1")]:
        assert any(_KEY in value for value in call.headers.values())
        assert _KEY not in call.url
        assert _KEY.encode() not in (call.body or b"")
        assert _KEY not in repr(call)
        assert all(header == header.lower() for header in call.headers)


@every_adapter
def test_a_base_url_may_end_in_a_slash(name: str) -> None:
    """Both spellings of a base URL give the same calls, below its path."""
    adapter = adapter_of(name)
    model, parameters = next(_requests(name))
    for base in (_HOST, f"{_HOST}/"):
        calls = [
            adapter.submit(_provider(name, base), model, parameters, None),
            adapter.poll(_provider(name, base), "task-1"),
        ]
        assert [call.url.startswith(f"{_HOST}/") and "//" not in call.url[8:] for call in calls] == [True, True]


@every_adapter
@pytest.mark.parametrize("task_id", ["a/b", "a?b=c&taskId=d", "a#b", "a b", "%2e", "ü\u2028", "../../admin"])
def test_a_task_id_never_changes_where_a_poll_goes(name: str, task_id: str) -> None:
    """An id goes into the URL percent-encoded, or into the body; path and query keep their shape."""
    adapter = adapter_of(name)
    plain, odd = (urlsplit(adapter.poll(_provider(name), given).url) for given in ("task-1", task_id))
    body = adapter.poll(_provider(name), task_id).body

    assert odd.path.count("/") == plain.path.count("/")
    assert odd.query.count("&") == plain.query.count("&")
    assert odd.fragment == ""
    assert quote(task_id, safe="") in odd.geturl() or task_id in json.loads(body or b"{}").values()


@every_adapter
def test_shapes_that_nothing_could_accept_are_refused(name: str) -> None:
    """A model is text of 1 to 200 characters, `input` an object; the faults name which of the two is wrong."""
    adapter = adapter_of(name)
    model, parameters = next(_requests(name))
    wrong_models: list[Any] = ["", "   ", "m" * 201, None, 5, [], {}]
    wrong_inputs: list[Any] = [None, [], "text", 5, True, [["a", "b"]]]

    assert list(adapter.check_shape("m" * 200, parameters)) == []
    for wrong in wrong_models:
        assert [fault.path for fault in adapter.check_shape(wrong, parameters)] == ["model"]
    for wrong in wrong_inputs:
        assert [fault.path for fault in adapter.check_shape(model, wrong)] == ["input"]


@every_adapter
def test_checks_judge_any_parameters_without_crashing(name: str) -> None:
    """Each field of each example of the provider's, damaged: faults are values that say where and what."""
    adapter, found = adapter_of(name), 0
    for model, parameters in _requests(name):
        for damaged in hostile.damaged(parameters):
            for fault in [*adapter.check_shape(model, damaged), *adapter.check(model, damaged)]:
                assert isinstance(fault, Fault)
                assert fault.path.startswith(("model", "input."))
                assert fault.message
                found += 1

    assert found > 0


@every_adapter
def test_a_profile_is_usable(name: str) -> None:
    """The pace starts at once and slows down, deadlines and media hold for every example."""
    adapter: Adapter = adapter_of(name)
    profile = adapter.profile
    ages, waits = [pace.from_s for pace in profile.pace], [pace.every_s for pace in profile.pace]

    assert ages[0] == 0
    assert ages == sorted(set(ages))
    assert waits == sorted(waits)
    assert waits[0] >= 1
    assert urlsplit(profile.base_url).scheme == "https"
    assert not profile.base_url.endswith("/")
    assert 60 <= profile.grace_s <= 600
    for model, parameters in _requests(name):
        assert 0 < adapter.deadline_seconds(model, parameters) <= profile.deadline_s
        assert isinstance(adapter.media(model, parameters), Kind)
