"""What the client sends again and what not, and how it reads a stream that breaks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from receiver.calling.http import Http
from receiver.calling.server import Server
from receiver.client import ClientError, NotTaskweir, Patience, RateLimited, Taskweir, Unavailable, Unreachable
from tests.cli.stub import HANG_UP, answer, stub

KEY = "0123456789abcdef"
TASK: Mapping[str, Any] = {"id": "task_1", "status": "queued", "outputs": []}


class Client(Taskweir):
    """One whose pauses take no time: they are in `paused`."""

    def __init__(self, url: str) -> None:
        self.paused: list[float] = []
        self._http = Http(Server(url=url, key=KEY, key_from="the test"), retries=2, pause=self.paused.append)


def busy(status: int, after: int | None = None) -> bytes:
    """A refusal that may ask for a pause."""
    raw = answer(status, {"detail": "not now", "status": status})
    return raw if after is None else raw.replace(b"\r\n\r\n", f"\r\nRetry-After: {after}\r\n\r\n".encode(), 1)


@pytest.mark.parametrize("first", [HANG_UP, busy(503), busy(429, 1), busy(502), busy(409, 1)])
def test_a_submit_whose_answer_was_lost_is_asked_for_again(first: bytes) -> None:
    """With the same Idempotency-Key: it is one task."""
    with stub([first, answer(201, TASK)]) as server, Client(server.url) as client:
        assert client.submit("apikley", "m", {"prompt": "x"}).id == "task_1"
        assert client.submit("apikley", "m", {"prompt": "x"}).id == "task_1"
    keys = [headers["idempotency-key"] for headers in server.headers]
    assert keys[0] == keys[1]
    assert keys[2] != keys[1]
    assert len(client.paused) == 1


def test_pauses_grow_and_end() -> None:
    """Three tries in all, each pause longer; then it is told."""
    with stub([HANG_UP]) as server, Client(server.url) as client, pytest.raises(Unreachable):
        client.task("task_1")
    assert len(server.requests) == 3
    first, second = client.paused
    assert 0 < first < second


def test_a_server_says_how_long_to_wait() -> None:
    """That long, and where it is too long, not at all: who asked decides."""
    with stub([busy(429, 7), answer(200, TASK)]) as server, Client(server.url) as client:
        client.task("task_1")
    assert client.paused == [7.0]
    with stub([busy(429, 3600)]) as server, Client(server.url) as client, pytest.raises(RateLimited) as refused:
        client.task("task_1")
    assert (refused.value.retry_after, client.paused, len(server.requests)) == (3600.0, [], 1)


def test_what_might_be_done_twice_is_not_sent_again() -> None:
    """A destination, a cancel: it may have been done, and is told so."""
    with stub([HANG_UP]) as server, Client(server.url) as client:
        for act in (lambda: client.add_webhook("https://x.example/"), lambda: client.cancel("task_1")):
            with pytest.raises(Unreachable) as failure:
                act()
            assert "may have been done" in failure.value.lines[0]
    assert len(server.requests) == 2


def test_a_conflict_that_will_last_is_one_at_once() -> None:
    """Only what says when to come again is asked again."""
    with stub([busy(409), busy(503)]) as server, Client(server.url) as client:
        with pytest.raises(ClientError, match="not now"):
            client.submit("apikley", "m", {})
        with pytest.raises(Unavailable):
            client.delete_destination("dst_1")
    assert client.paused == []


def test_lists_are_read_page_by_page() -> None:
    """As far as somebody reads on, and no page more."""
    pages = [
        answer(200, {"items": [dict(TASK, id=f"task_{n}") for n in numbers], "next_cursor": cursor})
        for numbers, cursor in (((1, 2), "a"), ((), "b"), ((3,), None))
    ]
    with stub(pages) as server, Client(server.url) as client:
        assert [task.id for task in client.tasks()] == ["task_1", "task_2", "task_3"]
    assert server.requests[1].startswith("GET /v1/tasks?cursor=a&limit=200 ")
    with stub(pages) as server, Client(server.url) as client:
        assert next(iter(client.tasks(limit=2))).id == "task_1"
    assert len(server.requests) == 1


@pytest.mark.parametrize("away", [HANG_UP, busy(503), answer(502, "<html>", kind="text/html")])
def test_a_restart_is_waited_out(away: bytes) -> None:
    """Whether it shows as a broken connection, as a refusal, or as a gateway's page: by who waits for a task."""
    answers = [answer(201, TASK), away, away, away, answer(200, dict(TASK, status="succeeded"))]
    with stub(answers) as server, Client(server.url) as client:
        assert client.submit("apikley", "m", {}).wait(timeout=30).succeeded
    assert len(server.requests) == 5


def test_an_id_is_never_a_path() -> None:
    """Whatever is in it."""
    with stub([answer(404, {"detail": "none"})]) as server, Client(server.url) as client:
        for odd in ("a/b", "../x"):
            with pytest.raises(ClientError, match="holds a slash"):
                client.task(odd)
        with pytest.raises(ClientError):
            client.task("..")
    assert server.requests == ["GET /v1/tasks/%2E%2E HTTP/1.1"]


def event(seq: int, **more: Any) -> dict[str, Any]:
    return {"seq": seq, "id": f"evt_{seq}", "type": "task.running", "timestamp": "2026-11-20T19:48:00Z", "data": more}


def message(seq: int, **more: Any) -> str:
    return f"id: {seq}\nevent: task.running\ndata: {json.dumps(event(seq, **more), ensure_ascii=False)}\n\n"


def streamed(text: str, *, cut: bool = False) -> bytes:
    """A stream that ends, or breaks off."""
    whole = answer(200, text, kind="text/event-stream")
    length = f"Content-Length: {len(text.encode())}".encode()
    assert length in whole
    return whole.replace(length, f"Content-Length: {len(text.encode()) + 9}".encode()) if cut else whole


def followed(answers: Sequence[bytes], count: int, **query: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """So many events, and what was asked for."""
    with stub(answers) as server, Client(server.url) as client:
        patience = Patience(None, pause=client.paused.append)
        following: Iterator[dict[str, Any]] = client.events(follow=True, patience=patience, **query)
        events = [next(following) for _ in range(count)]
    return events, [line.split(" ")[1] for line in server.requests]


def test_a_stream_that_breaks_goes_on_where_it_broke() -> None:
    """An event that was cut off is not one; none is missed, none comes twice."""
    half = message(3)
    answers = [streamed(message(1) + message(2) + half[:40], cut=True), HANG_UP, streamed(message(2) + message(3))]
    events, asked = followed(answers, 3)
    assert [each["seq"] for each in events] == [1, 2, 3]
    assert asked == [f"/v1/events/stream?after={after}" for after in (0, 2, 2)]


def test_a_reader_moves_on_with_what_is_not_for_him() -> None:
    """A message that only tells how far the stream is counts as a place."""
    answers = [streamed(": hello\n\nid: 90\n\n"), streamed(message(91))]
    _, asked = followed(answers, 1, after=4, type=["task.failed", "task.expired"], task_id="task_1")
    filters = "type=task.failed%2Ctask.expired&task_id=task_1"
    assert asked == [f"/v1/events/stream?{filters}&after={after}" for after in (4, 90)]


def test_a_reader_from_now_on_is_told_where_that_is() -> None:
    """He asks for nothing before it, and once he knows it, for nothing after it again."""
    _, asked = followed([streamed("id: 7\n\n"), streamed(message(8))], 1, after=None)
    assert asked == ["/v1/events/stream", "/v1/events/stream?after=7"]


def test_lines_end_as_the_standard_says() -> None:
    """CR, LF or both; letters that end lines elsewhere are only letters; data may have several lines."""
    text = "a\u2028b\x85c"
    several = 'id: 2\r\ndata: {\r\ndata:"seq": 2}\r\n\r\n'
    events, _ = followed([streamed(message(1, text=text) + several + "id: 3\rdata: {}\r\r" + message(4))], 4)
    assert events[0]["data"]["text"] == text
    assert [each["seq"] for each in events] == [1, 2, 3, 4]


def test_where_there_is_no_stream_pages_are_read() -> None:
    """An older server, or a proxy that lets no stream through: from the same place."""
    first = {"items": [event(5), event(6)], "next_cursor": "6:4", "has_more": True}
    pages = [answer(200, first), answer(200, {"items": [event(9)], "next_cursor": "9", "has_more": True})]
    events, asked = followed([answer(404, {"detail": "no event 'stream'"}), *pages], 3, after=4)
    assert [each["seq"] for each in events] == [5, 6, 9]
    assert asked == [
        "/v1/events/stream?after=4",
        "/v1/events?after=4&limit=200",
        "/v1/events?after=6%3A4&limit=200",
    ]
    with pytest.raises(NotTaskweir):
        followed([answer(200, "<html>", kind="text/html")], 1)
