"""Traces, as a collector gets them: one of each task, from submit to delivery, tied to the caller's own."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from receiver import tracing
from receiver.collector import open_traces
from receiver.domain import EventType
from tests.make import an_event
from tests.processes import environment
from tests.raw_servers import RawServer, answer, raw_server, raw_server_beside
from tests.service.consumer import a_consumer
from tests.service.world import World, a_world, created, poll, record, ring, scripted, soon

pytestmark = pytest.mark.anyio
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@dataclass
class Collector:
    """An OTLP/HTTP receiver: the spans that came, by OpenTelemetry's own classes, and everything as it came."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    service: str = ""
    raw: bytes = b""

    async def serve(self, server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, body = await server.read(reader)
            assert head.startswith(b"POST /v1/traces HTTP/1.1")
            self.raw += body
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.service = {each.key: each.value.string_value for each in resource.resource.attributes}[
                    "service.name"
                ]
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            writer.write(answer(b"", headers="content-type: application/x-protobuf\r\n"))
            await writer.drain()

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@asynccontextmanager
async def a_collector(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    """The one that the environment names, in OpenTelemetry's own words."""
    collector = Collector()
    async with raw_server(collector.serve) as server:
        collector.url = server.url("").rstrip("/")
        monkeypatch.setenv(ENDPOINT, collector.url)
        yield collector


def facts(span: Span) -> dict[str, Any]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


def place(span: Span) -> tracing.Place:
    return tracing.Place(int.from_bytes(span.trace_id), int.from_bytes(span.span_id))


async def _one_task(world: World, hook: str) -> str:
    """Submitted by a caller who traces, called back with a secret's look-alike, polled, delivered."""
    asked = {"provider": "apikley", "model": "bytedance/v1-pro-text-to-video", "input": {"prompt": "a red panda"}}
    made = await world.api.post("/v1/tasks", json={**asked, "webhook_url": hook}, headers={"traceparent": CALLER})
    assert made.status_code in (201, 202), made.text
    task_id: str = made.json()["id"]
    await ring(world, task_id, record("success")[1])
    await poll(world)
    await world.turn()
    return task_id


async def test_one_task_is_one_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its root from asked for to final, below it handover, callback, poll, attempts; no secret in it."""
    async with (
        a_collector(monkeypatch) as collector,
        a_consumer(500, 204) as consumer,
        scripted(created(), record("success")) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}, TASKWEIR_OTEL="1") as world,
    ):
        task_id = await _one_task(world, f"{consumer.url}?token=of-the-url")
        await world.turn(60)
        task = await world.task(task_id)
        callback = await world.callback_url(task_id)
    assert (task["status"], collector.service) == ("succeeded", "taskweir")
    root = tracing.root_of(task_id)
    [whole] = collector.named("task")
    assert (place(whole), whole.parent_span_id, whole.status.code) == (root, b"", Status.STATUS_CODE_UNSET)
    assert facts(whole) == {
        "taskweir.task.id": task_id,
        "taskweir.provider": "apikley",
        "taskweir.model": "bytedance/v1-pro-text-to-video",
        "taskweir.status": "succeeded",
        "taskweir.event.type": "task.succeeded",
    }
    inner = [span for span in collector.spans if span.name not in ("task", "accept")]
    assert sorted(span.name for span in inner) == ["callback", "delivery", "delivery", "poll", "submit"]
    assert {(int.from_bytes(span.trace_id), int.from_bytes(span.parent_span_id)) for span in inner} == {
        (root.trace_id, root.span_id)
    }
    assert len({span.span_id for span in collector.spans}) == len(collector.spans)
    [submit], [poll_span], [callback_span] = map(collector.named, ("submit", "poll", "callback"))
    assert (facts(submit)["taskweir.outcome"], facts(submit)["http.response.status_code"]) == ("accepted", 200)
    assert (facts(poll_span)["taskweir.outcome"], facts(callback_span)["taskweir.outcome"]) == ("answered", "first")
    attempts = [
        (facts(span)["taskweir.attempt"], facts(span)["http.response.status_code"], span.status.code)
        for span in collector.named("delivery")
    ]
    assert attempts == [(1, 500, Status.STATUS_CODE_ERROR), (2, 204, Status.STATUS_CODE_UNSET)]
    # Each webhook names the span of its own attempt; the provider is told nothing.
    assert [headers["traceparent"] for headers in consumer.headers] == [
        tracing.header_of(place(span)) for span in collector.named("delivery")
    ]
    assert not any(b"traceparent" in head.lower() for head, _ in apikley.seen.requests)
    hidden = (b"red panda", b"provider-key", b"root-key", b"of-the-url", b"whsec", b"http://", callback[-30:].encode())
    assert [secret for secret in hidden if secret in collector.raw] == []


async def test_the_callers_trace_gets_a_span_that_leads_to_the_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the caller's span, with a link; not where he does not keep his trace, or sends what is no `traceparent`."""
    async with (
        a_collector(monkeypatch) as collector,
        scripted(created(), created("p2"), created("p3")) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}, TASKWEIR_OTEL="1") as world,
    ):
        ids = []
        fields = {"provider": "apikley", "model": "bytedance/v1-pro-text-to-video", "input": {"prompt": "x"}}
        for header in (CALLER, CALLER[:-1] + "0", "00-none"):
            made = await world.api.post("/v1/tasks", json=fields, headers={"traceparent": header})
            ids.append(made.json()["id"])
        adopted = await world.api.post(
            "/v1/tasks/adopt",
            json={"provider": "apikley", "provider_task_id": "theirs"},
            headers={"traceparent": CALLER},
        )
        dropped = await world.api.post(
            "/apikley/api/v1/jobs/createTask",
            json={"model": fields["model"], "input": fields["input"]},
            headers={"traceparent": CALLER},
        )
        assert (adopted.status_code, dropped.status_code) == (201, 200), dropped.text
    accepts = collector.named("accept")
    linked = {int.from_bytes(link.trace_id) for span in accepts for link in span.links}
    assert len(accepts) == len(linked) == 3
    assert {tracing.root_of(task_id).trace_id for task_id in (ids[0], adopted.json()["id"])} <= linked
    assert {tracing.root_of(task_id).trace_id for task_id in ids[1:]}.isdisjoint(linked)
    caller = tracing.read_header(CALLER)
    assert caller is not None
    assert {(int.from_bytes(span.trace_id), int.from_bytes(span.parent_span_id)) for span in accepts} == {
        (caller.trace_id, caller.span_id)
    }


async def test_a_destinations_own_header_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However it is written; and a ping, which is of no task, carries none of ours."""
    async with (
        a_collector(monkeypatch),
        a_consumer() as consumer,
        scripted(created(), record("success")) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}, TASKWEIR_OTEL="1") as world,
    ):
        made = await world.destination(consumer.url, event_types=["task.*"], headers={"TraceParent": "mine"})
        await _one_task(world, f"{consumer.url}/own")
        plain = await world.destination(f"{consumer.url}/plain", event_types=["task.failed"])
        assert (await world.api.post(f"/v1/destinations/{plain['id']}/test")).json()["status"] == 204
    own = [headers["traceparent"] for headers in consumer.headers if headers.get("traceparent") == "mine"]
    assert own
    assert made["id"]
    assert "traceparent" not in consumer.headers[-1]


async def test_without_the_setting_nothing_is_told(tmp_path: Path) -> None:
    """No header, though the caller sends one."""
    async with (
        a_consumer() as consumer,
        scripted(created(), record("success")) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}) as world,
    ):
        await _one_task(world, consumer.url)
    assert consumer.headers
    assert not any("traceparent" in headers for headers in consumer.headers)


async def test_a_collector_that_is_away_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The task goes its way, one line tells of it however often it fails, and the stop waits no longer than 2 s."""
    for name, value in {ENDPOINT: "http://127.0.0.1:9/key-in-path", "OTEL_BSP_SCHEDULE_DELAY": "50"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    said = ""

    def told_of_it() -> bool:
        nonlocal said
        said += capfd.readouterr().err
        return "traces.not_sent" in said

    async with (
        a_consumer() as consumer,
        scripted(created(), record("success")) as apikley,
        a_world(tmp_path, base_urls={"apikley": apikley.base_url}, TASKWEIR_OTEL="1") as world,
    ):
        task_id = await _one_task(world, consumer.url)
        assert (await world.task(task_id))["status"] == "succeeded"
        await soon(told_of_it)
        stopping_at = time.monotonic()
        assert time.monotonic() - stopping_at < 4
    assert consumer.headers
    said += capfd.readouterr().err
    assert said.count("traces.not_sent") == 1
    assert "key-in-path" not in said


def test_a_collector_that_never_answers_holds_up_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What could not be sent in time is let go."""

    async def deaf(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await server.read(reader)
        await asyncio.Event().wait()

    with raw_server_beside(deaf) as (server, _):
        monkeypatch.setenv(ENDPOINT, server.url(""))
        traces = open_traces(flush_s=0.2)
        traces.recorded([an_event(type=EventType.SUCCEEDED)])
        assert traces.close is not None
        began = time.monotonic()
        traces.close()
        took = time.monotonic() - began
        assert 0.2 <= took < 1.5
        assert len(server.requests) == 1


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    """Status 2 before anything is served."""
    program = "import sys; sys.modules['opentelemetry'] = None; from receiver.__main__ import main; main()"
    env = environment(tmp_path, 0, "http://127.0.0.1:9") | {"TASKWEIR_OTEL": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, "serve"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "pip install 'taskweir[otel]'" in done.stderr


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        CALLER.upper(),
        CALLER + "-more",
        "ff" + CALLER[2:],
        CALLER.replace("b7ad6b7169203331", "0" * 16),
        CALLER.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
    ],
)
async def test_what_is_no_traceparent_is_none(header: str | None) -> None:
    """W3C Trace Context 1: small letters, no zeros, nothing after version 00; a later version may have more."""
    assert tracing.read_header(header) is None
    read = tracing.read_header(f" {CALLER} ")
    assert read == tracing.read_header(f"01{CALLER[2:]}-more")
    assert read is not None
    assert tracing.header_of(read) == CALLER
