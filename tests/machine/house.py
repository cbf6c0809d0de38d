"""A Taskweir that can be killed: the real service on files that outlive it, with the machine's network."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from adapters.apikley import Apikley
from receiver.delivery import DeliveryLimits
from receiver.main import settings_of
from receiver.poller import PollLimits
from receiver.service import Limits, Service
from receiver.submit import SubmitLimits
from tests.machine.network import Consumer, Network
from tests.machine.oracle import WANTED
from tests.machine.provider import KEY, Parking, Provider
from tests.make import StoppedClock
from tests.service.world import empty_file

API_KEY = "api-key-canary-0002"
PUBLIC_URL = "http://taskweir.test"
SECRET_KEY = "secret-key-canary-0003" * 2
LIMITS = Limits(submit=SubmitLimits(), poll=PollLimits(), delivery=DeliveryLimits(), answer_within_s=0.05, drain_s=0.01)


@dataclass
class House:
    """`directory` is where the process that runs now has its files; each crash moves it."""

    root: Path
    clock: StoppedClock = field(default_factory=StoppedClock)
    parking: Parking = field(default_factory=Parking)
    lives: int = 0

    def __post_init__(self) -> None:
        self.provider = Provider(self.clock, self.parking)
        self.consumer = Consumer(self.parking)

    @property
    def path(self) -> Path:
        return self.root / str(self.lives) / "taskweir.db"

    async def start(self) -> None:
        self.path.parent.mkdir(exist_ok=True)
        if not self.path.exists():
            self.path.write_bytes(empty_file())
        adapters = {"apikley": Apikley()}
        settings = settings_of(
            {
                "TASKWEIR_DATABASE_URL": f"sqlite:///{self.path}",
                "TASKWEIR_DATA_DIR": str(self.path.parent),
                "TASKWEIR_API_KEY": API_KEY,
                "TASKWEIR_SECRET_KEY": SECRET_KEY,
                "TASKWEIR_PUBLIC_URL": PUBLIC_URL,
                "TASKWEIR_ALLOW_NETWORKS": "loopback",
                "TASKWEIR_APIKLEY_API_KEY": KEY,
                "TASKWEIR_APIKLEY_BASE_URL": "http://apikley.test",
            },
            adapters,
        )
        self.network = Network(self.provider, self.consumer)
        self.service = Service(settings, adapters, clock=self.clock, limits=LIMITS, outbound=self.network)
        await self.service.start()
        transport = httpx.ASGITransport(app=self.service.app, raise_app_exceptions=True)
        self.api = httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, timeout=30)

    async def furnish(self) -> None:
        """The destinations, one that hears everything and one that hears what it hears by default."""
        for url, types in WANTED.items():
            wanted = {"event_types": ["task.*"]} if types is None else {}
            made = await self.ask("POST", "/v1/destinations", {"type": "webhook", "url": url, **wanted})
            assert made.status_code == 201, made.text
            self.consumer.secrets[url] = made.json()["secret"]

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """One call of our API; it may refuse, but never break."""
        own = {"authorization": f"Bearer {API_KEY}", "prefer": "respond-async", **headers}
        answer = await self.api.request(method, path, json=body, headers=own)
        await self.quiet()
        assert answer.status_code < 500, answer.text
        return answer

    async def call_back(self, path: str, body: bytes) -> int:
        answer = await self.api.post(path, content=body)
        await self.quiet()
        return answer.status_code

    def callback_path(self, task_id: str) -> str:
        url = self.service.doors.callbacks.of(self.service.doors.providers["apikley"], task_id)
        assert url is not None
        return url.removeprefix(PUBLIC_URL)

    async def turn(self, seconds: float = 0) -> None:
        """Let time pass, then let every loop come round once."""
        self.clock.advance(seconds)
        for worker in (self.service.submitter, self.service.poller, self.service.courier):
            await worker.run_once()
            await self.quiet()

    async def quiet(self) -> None:
        """Until whatever is under way has ended, or waits for an answer that is held; what it raises is raised."""
        for _ in range(5000):
            busy = asyncio.all_tasks() - {asyncio.current_task()} - self.parking.cars.keys()
            if not busy:
                return
            done, _ = await asyncio.wait(busy, timeout=0.002, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if not each.cancelled():
                    each.result()
        raise AssertionError("work goes on and on")

    async def crash(self) -> None:
        """Die: only what is on disk now is there for the next process."""
        dead, network, api, path = self.service, self.network, self.api, self.path
        self.lives += 1
        self.path.parent.mkdir()
        _copy(path, self.path)
        network.cut = True
        await api.aclose()
        await dead.stop()
        await self.start()

    async def stop(self) -> None:
        await self.api.aclose()
        await self.service.stop()

    async def restart(self) -> None:
        """Stop as one is told to, and start again."""
        await self.stop()
        await self.start()


def _copy(database: Path, target: Path) -> None:
    """The file and its log, as they are; nobody writes just now."""
    for suffix in ("", "-wal"):
        source = Path(f"{database}{suffix}")
        if source.exists():
            shutil.copy(source, f"{target}{suffix}")
