"""The two sides of each wire agree: what the sandbox says is what the adapter of that provider reads."""

from importlib.metadata import entry_points

import httpx
import pytest

from adapters.base import Accepted, Adapter, Ambiguous, NotCreated, PollFailed, Refused, SubmitAnswer
from receiver.domain import FailureKind, Kind, Provider, Status, Update
from receiver.wire import Call, Reply
from tests.sandbox.wires import WIRES, Wire, eventually

pytestmark = pytest.mark.anyio
ADAPTERS: dict[str, Adapter] = {point.name: point.load()() for point in entry_points(group="taskweir.adapters")}
each_wire = pytest.mark.parametrize("wire", WIRES, ids=lambda wire: wire.name)


class Caller:
    """Submits and polls with the calls that the adapter builds, and reads the answers with it."""

    def __init__(self, client: httpx.AsyncClient, wire: Wire) -> None:
        self._client = client
        self._wire = wire
        self.adapter = ADAPTERS[wire.name]
        base_url = f"{str(client.base_url).rstrip('/')}/{wire.name}"
        self.provider = Provider(name=wire.name, adapter=wire.name, base_url=base_url, api_key="a-key")

    async def submit(self, prompt: str) -> SubmitAnswer:
        order = self._wire.order(prompt)
        model = order.pop("model")
        given = order.get("input", order)
        assert not [*self.adapter.check_shape(model, given), *self.adapter.check(model, given)]
        call = self.adapter.submit(self.provider, model, given, None)
        return self.adapter.read_submit(await self._send(call), media=Kind.VIDEO, now=0)

    async def poll(self, task_id: str) -> Update | PollFailed:
        call = self.adapter.poll(self.provider, task_id)
        return self.adapter.read_poll(await self._send(call), media=Kind.VIDEO, now=0)

    async def outcome(self, prompt: str) -> Update:
        answer = await self.submit(prompt)
        assert isinstance(answer, Accepted)
        task_id = answer.update.provider_task_id
        assert task_id is not None

        async def final() -> Update | None:
            update = await self.poll(task_id)
            assert isinstance(update, Update)
            return update if update.status is not None and update.status.final else None

        update: Update = await eventually(final)
        return update

    async def _send(self, call: Call) -> Reply:
        answer = await self._client.request(call.method, call.url, headers=call.headers, content=call.body)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(status=answer.status_code, headers=headers, body=answer.content)


@each_wire
async def test_a_result_is_read_as_one(client: httpx.AsyncClient, wire: Wire) -> None:
    """A finished task is `succeeded`, with one video that the sandbox serves."""
    update = await Caller(client, wire).outcome("a heron")
    assert update.status is Status.SUCCEEDED
    [output] = update.outputs
    assert output.kind is Kind.VIDEO
    assert (await client.get(output.url)).status_code == 200


@each_wire
async def test_a_failure_is_read_as_one(client: httpx.AsyncClient, wire: Wire) -> None:
    """A failed task is `failed`, with a reason and no result."""
    update = await Caller(client, wire).outcome("a heron [fail]")
    assert update.status is Status.FAILED
    assert update.error is not None
    assert update.outputs == ()


@each_wire
async def test_refusals_are_read_as_what_they_are(client: httpx.AsyncClient, wire: Wire) -> None:
    """Refused for good, put off, or impossible to tell: the three kinds of a submit without a task."""
    caller = Caller(client, wire)
    assert isinstance(await caller.submit("a heron [reject]"), Refused)
    put_off = await caller.submit("a heron [429]")
    assert isinstance(put_off, NotCreated)
    assert put_off.retry_after_s == 1
    assert isinstance(await caller.submit("a heron [500]"), Ambiguous)


@each_wire
async def test_odd_words_and_unknown_tasks_decide_nothing(client: httpx.AsyncClient, wire: Wire) -> None:
    """A word from tomorrow leaves the task where it is; an unknown task is a failed poll of kind `not_found`."""
    caller = Caller(client, wire)
    answer = await caller.submit("a heron [odd] [never]")
    assert isinstance(answer, Accepted)
    odd = await caller.poll(answer.update.provider_task_id or "")
    assert isinstance(odd, Update)
    assert (odd.status, odd.provider_status) == (None, wire.odd)
    unknown = await caller.poll("task_that_nobody_has")
    assert isinstance(unknown, PollFailed)
    assert unknown.failure.kind is FailureKind.NOT_FOUND
