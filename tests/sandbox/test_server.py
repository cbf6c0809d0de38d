"""How the sandbox is started, stopped, and extended."""

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from adapters.sandbox.base import CallingSide, Media, Order, ProviderSide, Stage, Task
from adapters.sandbox.reve2img import Reve2img
from adapters.sandbox.server import create_app, installed_providers, running
from receiver.errors import ConfigurationError
from tests.sandbox.wires import REVE2IMG, WIRES, caller_of, eventually

pytestmark = pytest.mark.anyio

PROGRAM = """
import asyncio
from adapters.sandbox.server import create_app, serve
asyncio.run(serve(create_app(finish_after_s=0.1), port=0, ready=lambda url: print(url, flush=True)))
"""


async def test_health_names_every_base_url(client: httpx.AsyncClient) -> None:
    """`/health` answers without a key, and says where each provider is."""
    del client.headers["authorization"]
    answer = await client.get("/health")
    client.headers["authorization"] = "Bearer a-key"
    assert answer.json() == {
        "status": "ok",
        "providers": {wire.name: f"{str(client.base_url).rstrip('/')}/{wire.name}" for wire in WIRES},
    }


async def test_files_are_real(client: httpx.AsyncClient) -> None:
    """Result files have the right type and the magic bytes of it; other suffixes do not exist."""
    for suffix, media_type, magic in (
        ("mp4", "video/mp4", b"ftypisom"),
        ("png", "image/png", b"\x89PNG"),
        ("mp3", "audio/mpeg", b"\xff\xfb"),
        ("txt", "text/plain", b"result"),
    ):
        answer = await client.get(f"/_sandbox/files/any.{suffix}")
        assert answer.headers["content-type"].startswith(media_type)
        assert magic in answer.content[:20]
    assert (await client.get("/_sandbox/files/any.exe")).status_code == 404


async def test_two_sandboxes_share_nothing(client: httpx.AsyncClient) -> None:
    """A task of one sandbox is unknown to another in the same process."""
    task_id = await REVE2IMG.create(client, "a heron")
    async with running(create_app()) as url, caller_of(url) as other:
        assert REVE2IMG.refused(await REVE2IMG.poll(other, task_id))
        assert (await other.get("/_sandbox/tasks")).json()["count"] == 0


async def test_stopping_lets_hanging_requests_go(anyio_backend: str) -> None:
    """A sandbox stops at once though a submit hangs, and the caller gets no answer even then."""
    async with caller_of("http://unused") as client:
        async with running(create_app()) as url:
            request = client.post(f"{url}/reve2img{REVE2IMG.submit_path}", json=REVE2IMG.order("a [hang]"))
            hanging = asyncio.ensure_future(request)

            async def taken() -> bool:
                return bool((await client.get(f"{url}/_sandbox/tasks")).json()["count"])

            await eventually(taken)
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 1.5
        with pytest.raises(httpx.TransportError):
            await hanging


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_process_heeds_signals(anyio_backend: str, number: signal.Signals) -> None:
    """`serve` tells its URL when it is ready, serves, and ends by the signal it was sent."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with caller_of(url) as client:
        assert (await client.get("/health")).json()["status"] == "ok"
    process.send_signal(number)
    _, errors = await process.communicate()
    assert process.returncode in (-number, 1)
    assert (number == signal.SIGINT) == (b"KeyboardInterrupt" in errors)


async def test_ipv6_is_served_too(anyio_backend: str) -> None:
    """A host with colons is an IPv6 address, in brackets in the URL."""
    async with running(create_app(), host="::1") as url, caller_of(url) as client:
        assert url.startswith("http://[::1]:")
        assert (await client.get("/health")).status_code == 200


async def test_a_taken_port_is_an_error(sandbox_url: str) -> None:
    """A port that somebody else has is an `OSError` before anything is started."""
    port = httpx.URL(sandbox_url).port
    assert port is not None
    with pytest.raises(OSError, match="in use"):
        async with running(create_app(), port=port):
            raise AssertionError("it started")


@pytest.mark.parametrize("name", ["health", "_sandbox", "", "A", "a/b", "-a"])
def test_impossible_names_are_refused(name: str) -> None:
    """A provider cannot take the sandbox's own names, nor one that is no path segment."""
    with pytest.raises(ConfigurationError):
        create_app(providers={name: Reve2img()})


def test_the_four_providers_are_installed() -> None:
    """Providers are found through the entry points of installed distributions."""
    assert list(installed_providers()) == [wire.name for wire in WIRES]


@pytest.fixture
def foreign_distribution(tmp_path: Path) -> Iterator[str]:
    """An installed distribution that registers one more provider."""
    info = tmp_path / "kling_sandbox-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: kling-sandbox\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[taskweir.sandboxes]\nkling = kling_sandbox:Kling\n")
    (tmp_path / "kling_sandbox.py").write_text(
        "from adapters.sandbox.reve2img import Reve2img\n\nclass Kling(Reve2img):\n    submit_paths = ('/v1/videos',)\n"
    )
    sys.path.append(str(tmp_path))
    yield "kling"
    sys.path.remove(str(tmp_path))
    sys.modules.pop("kling_sandbox", None)


async def test_a_further_provider_needs_no_edit(foreign_distribution: str, anyio_backend: str) -> None:
    """A class and an entry point of any installed distribution are enough to be mounted, beside the others."""
    async with running(create_app(finish_after_s=0)) as url, caller_of(url) as client:
        answer = await client.post(f"/{foreign_distribution}/v1/videos", json=REVE2IMG.order("a heron"))
        assert answer.status_code == 200
        assert (await client.get("/_sandbox/tasks")).json()["items"][0]["provider"] == "kling"


def test_only_what_calls_back_has_a_body_for_it() -> None:
    """Nobody can ask another one for it, and what calls back cannot be made without."""
    assert [name for name, side in installed_providers().items() if isinstance(side, CallingSide)] == ["apikley"]

    class Speechless(Reve2img, CallingSide):
        """What would have nothing to say."""

    with pytest.raises(TypeError, match="callback"):
        Speechless()


def test_stages_follow_the_clock() -> None:
    """A third of its time a task waits, then it works; it is final at the very moment its time is over."""
    task = _task(takes_s=3.0)
    assert [task.stage(100.0 + age) for age in (0, 0.99, 1.01, 2.99, 3.0, 9.0)] == [
        Stage.WAITING,
        Stage.WAITING,
        Stage.WORKING,
        Stage.WORKING,
        Stage.SUCCEEDED,
        Stage.SUCCEEDED,
    ]
    task.finish(101.0)
    assert task.stage(101.0) is Stage.SUCCEEDED
    assert task.finished_at == 6_000


def _task(*, takes_s: float) -> Task:
    side: ProviderSide = Reve2img()
    order = Order(model="m", prompt="p", input={}, media=Media.IMAGE)
    return Task(
        provider="p",
        id=side.new_id(order, 5_000),
        order=order,
        words=frozenset(),
        method="POST",
        path="/",
        headers={},
        body={},
        base="http://x",
        created_at=5_000,
        started_s=100.0,
        takes_s=takes_s,
        fails=False,
    )
