"""One provider's desk: takes its requests in, obeys the steering words, hands out the provider's own answers."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from adapters.reading import object_in
from adapters.sandbox.base import Answer, CallingSide, Order, ProviderSide, Refusal, Task
from adapters.sandbox.callbacks import Courier
from adapters.sandbox.ledger import Ledger, Request, now_ms
from adapters.sandbox.steering import RETRY_AFTER_S, SLOW_FACTOR, TAKES_TIME, Word, words_in

MAX_BODY = 1024 * 1024
_ANY_METHOD = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How this run of the sandbox behaves: seconds until a task ends, and the keys it knows (None: any)."""

    finish_after_s: float
    api_keys: frozenset[str] | None


class Desk:
    """The routes of one provider, mounted as `name`."""

    def __init__(self, name: str, side: ProviderSide, *, ledger: Ledger, courier: Courier, manners: Manners) -> None:
        self._name = name
        self._side = side
        self._ledger = ledger
        self._courier = courier
        self._manners = manners

    def routes(self) -> list[Route]:
        submits = [Route(path, self.submit, methods=["POST"]) for path in self._side.submit_paths]
        poll = Route(self._side.poll_path, self.poll, methods=[self._side.poll_method])
        return [*submits, poll, Route("/{rest:path}", self.turn_away, methods=_ANY_METHOD)]

    async def submit(self, http: HttpRequest) -> Response:
        """Create a task, or refuse to; the steering words decide about the rest."""
        raw = await _body_of(http)
        path = _path_below_mount(http)
        request = self._note(http, kind="submits", route=path, raw=raw)
        outcome = self._take(http, path, raw)
        if isinstance(outcome, Answer):
            return _respond(request, outcome)
        request.task_id = outcome.id
        if isinstance(self._side, CallingSide) and _wants_a_callback(outcome):
            await self._courier.start(outcome, self._side)
        if Word.HANG in outcome.words:
            return await _silence(http)
        if Word.BREAK in outcome.words:
            request.status = 500
            return PlainTextResponse("Internal Server Error", status_code=500)
        return _respond(request, self._side.accepted(outcome, outcome.stage(time.monotonic())))

    async def poll(self, http: HttpRequest) -> Response:
        raw = await _body_of(http)
        request = self._note(http, kind="polls", route=self._side.poll_path, raw=raw)
        fault = self._side.key_fault(http.headers, self._manners.api_keys)
        if fault is not None:
            return _respond(request, fault)
        task_id = http.path_params.get("id") or self._side.polled_id(http.query_params, raw)
        request.task_id = task_id
        task = self._ledger.find(self._name, task_id)
        if task is None:
            refusal = Refusal.NO_TASK_ID if task_id is None else Refusal.UNKNOWN_TASK
            return _respond(request, self._side.refuse(refusal))
        task.polls += 1
        stage = task.stage(time.monotonic())
        self._ledger.note_stage(task, stage)
        return _respond(request, self._side.shown(task, stage))

    async def turn_away(self, http: HttpRequest) -> Response:
        request = self._note(http, kind="others", route="other", raw=await _body_of(http))
        return _respond(request, self._side.refuse(Refusal.UNKNOWN_PATH))

    def _take(self, http: HttpRequest, path: str, raw: bytes | None) -> Task | Answer:
        fault = self._side.key_fault(http.headers, self._manners.api_keys)
        if fault is not None:
            return fault
        body = object_in(raw or b"")
        if body is None:
            return self._side.refuse(Refusal.UNREADABLE)
        order = self._side.read(path, body)
        if isinstance(order, Answer):
            return order
        words = words_in(order.prompt)
        if Word.THROTTLE in words and self._ledger.put_off(self._name, order.prompt):
            return replace(self._side.refuse(Refusal.THROTTLED), retry_after_s=RETRY_AFTER_S)
        if Word.REJECT in words:
            return self._side.refuse(Refusal.REJECTED)
        return self._create(http, path, order, words, body)

    def _create(
        self, http: HttpRequest, path: str, order: Order, words: frozenset[Word], body: dict[str, object]
    ) -> Task:
        created_at = now_ms()
        task = Task(
            provider=self._name,
            id=self._side.new_id(order, created_at),
            order=order,
            words=words,
            method=http.method,
            path=path,
            headers=_headers_kept(http.headers),
            body=body,
            base=f"{http.url.scheme}://{http.url.netloc}",
            created_at=created_at,
            started_s=time.monotonic(),
            takes_s=self._seconds_for(order, words),
            fails=Word.FAIL in words or (Word.FORGE in words and isinstance(self._side, CallingSide)),
        )
        self._ledger.add(task)
        return task

    def _seconds_for(self, order: Order, words: frozenset[Word]) -> float:
        if Word.NEVER in words:
            return math.inf
        if order.instant and not words & TAKES_TIME:
            return 0.0
        return self._manners.finish_after_s * (SLOW_FACTOR if Word.SLOW in words else 1)

    def _note(self, http: HttpRequest, *, kind: str, route: str, raw: bytes | None) -> Request:
        return self._ledger.note_request(
            kind=kind,
            route=route,
            provider=self._name,
            method=http.method,
            path=_path_below_mount(http),
            query=http.url.query,
            headers=http.headers,
            body=raw,
        )


def _wants_a_callback(task: Task) -> bool:
    wanted = task.order.callback_url is not None and Word.NO_CALLBACK not in task.words
    return wanted and math.isfinite(task.takes_s)


def _respond(request: Request, answer: Answer) -> Response:
    request.status = answer.status
    headers = None if answer.retry_after_s is None else {"retry-after": str(answer.retry_after_s)}
    return JSONResponse(answer.body, status_code=answer.status, headers=headers)


async def _silence(http: HttpRequest) -> Response:
    """Say nothing until the caller has gone; the answer then goes nowhere."""
    while (await http.receive())["type"] != "http.disconnect":
        pass
    return Response()


async def _body_of(http: HttpRequest) -> bytes | None:
    """The body, or None where it is over `MAX_BODY` or its sender left half-way."""
    raw = bytearray()
    try:
        async for chunk in http.stream():
            raw += chunk
            if len(raw) > MAX_BODY:
                return None
    except ClientDisconnect:
        return None
    return bytes(raw)


def _path_below_mount(http: HttpRequest) -> str:
    path: str = http.scope["path"]
    return path.removeprefix(http.scope.get("root_path", ""))


def _headers_kept(headers: Mapping[str, str]) -> dict[str, str | None]:
    authorization = "present" if "authorization" in headers or "x-api-key" in headers else None
    return {"content-type": headers.get("content-type"), "authorization": authorization}
