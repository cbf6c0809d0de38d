"""Apikley as the machine has it: it keeps its own ledger, and errs where it is told to."""

import asyncio
import json
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from receiver.wire import Call, NoReply, Reply
from tests.make import StoppedClock

KEY = "provider-key-canary-0001"
TASK_IN_URL = re.compile(r"/callbacks/apikley/(task_[0-9a-z]+)\.")
SUBMITS = (
    "accept",
    "accept, answer lost",
    "accept, answer 500",
    "accept, answer garbage",
    "accept, name another's id",
    "accept, answer held",
    "never arrives, held",
    "dropped",
    "no connection",
    "refuse",
    "busy",
    "busy, answer held",
    "maintenance",
    "gateway page",
)
MOODS = ("true", "regress", "odd word", "500", "429", "missing", "another's", "empty", "hang", "unreachable", "held")
WEATHER = ("fine", "unreachable", "gateway page", "key refused")
OPEN, MISSING, EMPTY = "open", "missing", "empty"
REFUSED = NoReply(sent=False, reason="no connection: Connection refused")
LOST = NoReply(sent=True, reason="no answer within 30 s")
PAGE = Reply(status=503, headers={}, body=b"<html>Service Unavailable</html>")


@dataclass
class Made:
    """One task at the provider, of one of ours: `fate` is how it ends, after so many `steps`; `asked` counts polls."""

    id: str
    owner: str
    callback_url: str
    fate: str
    state: str = "waiting"
    mood: str = "true"
    steps: int = 0
    asked: int = 0

    def move_on(self) -> None:
        """What happens between two polls: from the `steps`-th on it works, and then it ends."""
        self.steps -= 1
        if self.steps < 0 and self.state in ("waiting", "generating"):
            self.state = "generating" if self.state == "waiting" else self.fate

    @property
    def result(self) -> str:
        return f"https://files.example/{self.id}.mp4"

    def record(self, state: str, *, empty: bool = False) -> dict[str, Any]:
        """The envelope of a poll or a callback; what the provider knows of us is echoed in it."""
        echo = json.dumps({"callBackUrl": self.callback_url, "key": KEY})
        data: dict[str, Any] = {"taskId": self.id, "state": state, "param": echo}
        if state == "success" and not empty:
            data["resultJson"] = json.dumps({"resultUrls": [self.result]})
        if state == "fail":
            data |= {"failCode": "500", "failMsg": f"{KEY} could not reach {self.callback_url}"}
        return {"code": 200, "msg": "success", "data": data}


@dataclass
class Request:
    """One createTask request: what its answer told us, and the id it named. `doubtful` where it told nothing usable."""

    told: str = "doubtful"
    named: str | None = None
    made: Made | None = None


class Parking:
    """Where answers wait until the machine lets them go, or the process dies."""

    def __init__(self) -> None:
        self.cars: dict[asyncio.Task[Any], asyncio.Future[None]] = {}

    async def wait(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.cars[task] = asyncio.get_running_loop().create_future()
        try:
            await self.cars[task]
        finally:
            del self.cars[task]

    def release(self, number: int) -> None:
        waiting = [car for car in self.cars.values() if not car.done()]
        if waiting:
            waiting[number % len(waiting)].set_result(None)

    def release_all(self) -> None:
        for car in self.cars.values():
            if not car.done():
                car.set_result(None)


@dataclass
class Provider:
    """`requests` are the createTask requests by our task; `answers` what polls were told by id: (when, word)."""

    clock: StoppedClock
    parking: Parking
    made: dict[str, Made] = field(default_factory=dict)
    requests: dict[str, list[Request]] = field(default_factory=dict)
    answers: dict[str, list[tuple[int, str | None]]] = field(default_factory=dict)
    plans: dict[str, deque[str]] = field(default_factory=dict)
    fates: dict[str, tuple[str, int]] = field(default_factory=dict)
    weather: str = "fine"

    def made_for(self, task_id: str) -> Made | None:
        return next((made for made in self.made.values() if made.owner == task_id), None)

    def creates(self, task_id: str) -> int:
        return sum(made.owner == task_id for made in self.made.values())

    def heal(self) -> None:
        """Everything is as it should be, and every task ends."""
        self.weather = "fine"
        self.plans.clear()
        for made in self.made.values():
            made.mood, made.state = "true", made.fate

    async def answer(self, call: Call) -> Reply | NoReply:
        if call.headers["authorization"] != f"Bearer {KEY}":
            raise AssertionError("the key is missing")
        if call.url.endswith("/createTask"):
            return await self._create(json.loads(call.body or b""))
        return await self._poll(parse_qs(urlsplit(call.url).query)["taskId"][0])

    async def _create(self, body: dict[str, Any]) -> Reply | NoReply:
        prompt, url = body["input"]["prompt"], body["callBackUrl"]
        named = TASK_IN_URL.search(url)
        assert named is not None
        request = Request()
        self.requests.setdefault(named[1], []).append(request)
        plan = self.plans.get(prompt)
        word = plan.popleft() if plan else "accept"
        word = {"unreachable": "no connection", "gateway page": "gateway page", "key refused": "refuse"}.get(
            self.weather, word
        )
        if word.startswith("accept"):
            fate, steps = self.fates.get(prompt, ("success", 0))
            request.made = made = Made(f"p{len(self.made)}", named[1], url, fate, steps=steps)
            self.made[made.id] = made
        if word.endswith("held"):
            await self.parking.wait()
        request.told, reply = self._told(word, request, url)
        return reply

    def _told(self, word: str, request: Request, url: str) -> tuple[str, Reply | NoReply]:
        made = request.made
        match word:
            case "accept" | "accept, answer held":
                assert made is not None
                request.named = made.id
                return "taken", _reply(200, {"code": 200, "msg": "success", "data": {"taskId": made.id}})
            case "accept, name another's id":
                request.named = next(iter(self.made))
                return "doubtful", _reply(200, {"code": 200, "msg": "success", "data": {"taskId": request.named}})
            case "accept, answer 500":
                return "doubtful", _reply(200, {"code": 500, "msg": f"oops {url}", "data": None})
            case "accept, answer garbage":
                return "doubtful", Reply(status=200, headers={}, body=b"<html>\xff")
            case "gateway page":
                return "doubtful", PAGE
            case "no connection":
                return "nothing sent", REFUSED
            case "refuse":
                return "refused", _reply(200, {"code": 402, "msg": f"no credits for {KEY} {url}", "data": None})
            case "busy" | "busy, answer held":
                return "nothing created", _reply(429, {"code": 429, "msg": "slow down"}, {"retry-after": "7"})
            case "maintenance":
                return "nothing created", _reply(200, {"code": 455, "msg": "maintenance"})
            case _:
                return "doubtful", LOST

    async def _poll(self, asked: str) -> Reply | NoReply:
        made = self.made.get(asked)
        if made is not None:
            made.asked += 1
        mood = {"unreachable": "unreachable", "gateway page": "page", "key refused": "401"}.get(
            self.weather, made.mood if made else "missing"
        )
        if made is not None and mood == "held":
            made.mood = "true"
            said = self._said(made, "true")
            await self.parking.wait()
        else:
            said = self._said(made, mood)
        word, reply = said
        if made is not None and mood == "true":
            made.move_on()
        self.answers.setdefault(asked, []).append((self.clock.now(), word))
        return reply

    def _said(self, made: Made | None, mood: str) -> tuple[str | None, Reply | NoReply]:
        wordless: dict[str, Reply | NoReply] = {
            "500": _reply(500, {"code": 500, "msg": "internal"}),
            "429": _reply(429, {"code": 429, "msg": "slow"}, {"retry-after": "20"}),
            "401": _reply(401, {"code": 401, "msg": f"bad key {KEY}"}),
            "hang": LOST,
            "unreachable": REFUSED,
            "page": PAGE,
        }
        if mood in wordless:
            return None, wordless[mood]
        if made is None or mood == "missing":
            return MISSING, _reply(200, {"code": 422, "msg": "recordInfo is null", "data": None})
        if mood == "another's":
            other = next((each for each in self.made.values() if each is not made), None)
            if other is not None:
                return None, _reply(200, other.record("success"))
        state = {"regress": "waiting", "odd word": "thinking"}.get(mood, made.state)
        empty = mood == "empty" and state == "success"
        word = {"success": EMPTY if empty else "succeeded", "fail": "failed"}.get(state, OPEN)
        return word, _reply(200, made.record(state, empty=empty))


def _reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status=status, headers=headers or {}, body=json.dumps(body).encode())
