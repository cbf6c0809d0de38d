"""Who and what gets past the gate of the API: keys, addresses, methods, ids, queries."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import QueryParams
from starlette.routing import Route

from receiver.web.app import routes as others
from receiver.web.documents import pages
from receiver.web.drop_in import ProvidersOwn
from tests.service.asking import complaint, counts, everything, failures
from tests.service.world import API_KEY, World, a_pair, a_world, created, scripted

pytestmark = pytest.mark.anyio

DOCUMENTS = {route.path for route in pages.routes() if isinstance(route, Route)}
PUBLIC = {"/health/live", "/healthz", "/health/ready", "/readyz", *DOCUMENTS}
BY_LINK = {"/v1/watch/{token}"}
CALLBACKS = "/callbacks/{provider}/{token}"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")

FILTERS = {
    "/v1/tasks": (
        r"limit|cursor|tenant|status|provider|model|provider_task_id|error_kind|created_(after|before)|metadata\..+"
    ),
    "/v1/events": r"limit|tenant|after|order|type|task_id|provider",
    "/v1/destinations": r"limit|cursor|tenant",
    "/v1/keys": r"limit|cursor|tenant",
    "/v1/hooks": r"limit|cursor|tenant|url|event",
    "/v1/deliveries": r"limit|cursor|tenant|state|destination_id|task_id|event_id",
}

LISTS = (
    *("/v1/tasks", "/v1/events", "/v1/destinations", "/v1/deliveries", "/v1/webhook-secret", "/v1/me"),
    *("/v1/keys", "/v1/usage"),
)

KEYS: dict[str, bytes | None] = {
    "none": None,
    "empty": b"",
    "the scheme only": b"Bearer",
    "an empty key": b"Bearer ",
    "the key without its scheme": API_KEY.encode(),
    "another scheme": b"Token " + API_KEY.encode(),
    "Basic": b"Basic " + base64.b64encode(b"root:" + API_KEY.encode()),
    "another key": b"Bearer another-key-0123456789",
    "a beginning of the key": b"Bearer " + API_KEY[:-1].encode(),
    "the key and more": b"Bearer " + API_KEY.encode() + b"x",
    "the key in capitals": b"Bearer " + API_KEY.upper().encode(),
    "two keys": b"Bearer " + API_KEY.encode() + b", Bearer " + API_KEY.encode(),
    "quotes": b'Bearer "' + API_KEY.encode() + b'"',
    "bytes beyond ASCII": b"Bearer \xff\xfe\xe9",
    "UTF-8": "Bearer ключ-0123456789-😀".encode(),
    "a long one": b"Bearer " + b"k" * 100_000,
}

WEIRD_IDS = (
    "x",
    "task_",
    "task_01kbyna2c0mzfr9xx2tc8tc2vz",
    "TASK_01KBYNA2C0MZFR9XX2TC8TC2VZ",
    "%00",
    "task_%00",
    "%FF%FE",
    "%ED%A0%80",
    "%F0%9F%98%80",
    "%20",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e",
    "a" * 5000,
    "%00" * 20_000,
    ":",
    "apikley:",
    ":p1",
    "apikley:nobody",
    "nobody:p1",
    "apikley:p1:p1",
    "'%20OR%201=1;--",
    "%25",
    "null",
    "-1",
    "*",
)

# Query string, and the path of the fault.
QUERIES: dict[str, list[tuple[str, str]]] = {
    "/v1/tasks": [
        *(
            (f"limit={value}", "limit")
            for value in ("0", "201", "-1", "abc", "1.5", "1e2", "9" * 30, "%D9%A3", "+1", "%00")
        ),
        *((f"cursor={value}", "cursor") for value in ("x", "%00", "%F0%9F%98%80", "task_1", "1", "-1", "a" * 3000)),
        ("cursor=dst_01kbyna2c0mzfr9xx2tc8tc2vz", "cursor"),
        *((f"status={value}", "status") for value in ("x", "SUCCEEDED", "submitted,running", "%00")),
        *((f"error_kind={value}", "error_kind") for value in ("x", "Quota")),
        *((f"created_after={value}", "created_after") for value in ("x", "-1", "2026-13-01", "1e9", "9" * 40, "%00")),
        ("created_before=yesterday", "created_before"),
        *((f"{name}=", name) for name in ("status", "provider", "model", "provider_task_id", "error_kind")),
        *((f"created_{name}=", f"created_{name}") for name in ("after", "before")),
        ("&".join(f"metadata.k{number}=v" for number in range(51)), "metadata"),
        ("&".join(f"metadata.k{number}=v" for number in range(2000)), "metadata"),
    ],
    "/v1/tasks/task_x": [(f"wait={value}", "wait") for value in ("61", "-1", "abc", "0.5", "1e1", "9" * 30, "%00")],
    "/v1/events": [
        *((f"limit={value}", "limit") for value in ("0", "201", "abc")),
        *((f"after={value}", "after") for value in ("abc", "-1", "1.5", "9" * 19, "9" * 5000, "evt_x", "%00")),
        *((f"order={value}", "order") for value in ("x", "", "ASC", "desc,asc")),
        *((f"type={value}", "type") for value in ("x", "task", "task.", "TASK.FAILED", "task.failed,x", "*", "%00")),
        ("type=task.failed&type=x", "type"),
        *((f"type={value}", "type") for value in ("", ",")),
        ("task_id=", "task_id"),
        ("provider=&provider=reapi", "provider"),
        ("destination_id=dst_1", "destination_id"),
    ],
    "/v1/providers": [("foo=1", "foo"), ("name=reapi", "name"), ("cursor=x", "cursor")],
    "/v1/destinations": [("limit=0", "limit"), ("cursor=x", "cursor"), ("cursor=task_" + "0" * 26, "cursor")],
    "/v1/deliveries": [
        *((f"state={value}", "state") for value in ("x", "PENDING", "dead,pending", "%00")),
        ("limit=201", "limit"),
        ("cursor=x", "cursor"),
        *((f"{name}=", name) for name in ("state", "destination_id", "task_id", "event_id")),
        ("destination_id", "destination_id"),
    ],
}


def routes(world: World) -> Iterator[tuple[str, set[str]]]:
    """All of ours; what providers' callers are answered, in the providers' words, is held in tests/drop_in."""
    for route in (*world.service.app.routes, *others()):
        assert isinstance(route, Route)
        if not isinstance(route, ProvidersOwn):
            yield route.path, set(route.methods or ())


def filled(path: str) -> str:
    return path.replace("{id}", "x").replace("{provider}", "apikley").replace("{token}", "x")


async def bare(world: World, method: str, path: str, authorization: bytes | None, **fields: Any) -> httpx.Response:
    """A request with this header, or none."""
    request = world.api.build_request(method, path, **fields)
    del request.headers["authorization"]
    if authorization is not None:
        request.headers = httpx.Headers([*request.headers.raw, (b"authorization", authorization)])
    return await world.api.send(request)


async def test_every_door_but_the_public_ones_wants_the_key(tmp_path: Path) -> None:
    """401 whatever is asked, before anything is looked at; a new route is caught here."""
    async with a_world(tmp_path) as world:
        private = [
            (path, methods) for path, methods in routes(world) if path not in PUBLIC | BY_LINK and CALLBACKS not in path
        ]
        assert len(private) >= 10
        assert all(path.startswith(("/v1/", "/internal/")) or path == "/metrics" for path, _ in private)
        wrong = {
            f"{method} {path} {name}": complaint(await bare(world, method, filled(path), key, content=b"{"), 401)
            for path, methods in private
            for method in methods
            for name, key in KEYS.items()
        }
        assert failures(wrong) == {}
        assert counts(tmp_path) == {}


async def test_a_refused_key_says_what_to_do(tmp_path: Path) -> None:
    """How to send one, or that this one is not known; never the key itself."""
    async with a_world(tmp_path) as world:
        for key, detail in (
            (None, "send the API key as `Authorization: Bearer <key>`"),
            (b"Basic cm9vdA==", "send the API key as `Authorization: Bearer <key>`"),
            (b"Bearer another-key-0123456789", "this API key is not known here"),
        ):
            refused = await bare(world, "GET", "/v1/me", key)
            assert complaint(refused, 401) is None
            assert refused.json()["detail"] == detail


@pytest.mark.parametrize("where", ["api_key", "key", "token", "access_token", "authorization"])
async def test_a_key_elsewhere_is_no_key(tmp_path: Path, where: str) -> None:
    """Not in the query, where it would be logged; not in a cookie nobody set; not in the body."""
    async with a_world(tmp_path) as world:
        assert complaint(await bare(world, "GET", f"/v1/me?{where}={API_KEY}", None), 401) is None
        assert complaint(await bare(world, "POST", "/v1/tasks", None, json={where: API_KEY}), 401) is None
        cookie = {"cookie": f"{where}={API_KEY}"}
        assert complaint(await bare(world, "GET", "/v1/me", None, headers=cookie), 401) is None


@pytest.mark.parametrize("key", ["MiXeD-Case-Key-0123456789", "schlüssel-für-größe", "ключ-0123456789-à", "k" * 5000])
async def test_a_key_is_taken_as_it_was_set(tmp_path: Path, key: str) -> None:
    """Any text of 16 or more characters, as UTF-8; its case counts, that of the scheme does not."""
    async with a_world(tmp_path, TASKWEIR_API_KEY=key) as world:
        for scheme in ("Bearer", "bearer", "BEARER", "Bearer  "):
            answer = await bare(world, "GET", "/v1/me", f"{scheme} {key}".encode())
            assert (answer.status_code, answer.json()["tenant"]) == (200, "default")
        for other in (key.swapcase(), key[:-1], key + "0"):
            assert complaint(await bare(world, "GET", "/v1/me", b"Bearer " + other.encode()), 401) is None


async def test_what_is_public_needs_no_key(tmp_path: Path) -> None:
    """Health, for whoever probes us, and the documents."""
    async with a_world(tmp_path) as world:
        for path in PUBLIC:
            assert (await bare(world, "GET", path, None)).status_code == 200
            assert (await bare(world, "HEAD", path, b"Bearer wrong")).status_code == 200


async def test_ids_that_do_not_exist_are_404(tmp_path: Path) -> None:
    """Of every kind, whatever stands in them; none is looked up as anything but itself."""
    async with scripted(created()) as apikley, a_pair(tmp_path, apikley) as world:
        await world.submit()
        before = everything(tmp_path)
        wrong = {
            f"{method} {path} {weird}": complaint(await world.api.request(method, path.replace("{id}", weird)), 404)
            for path, methods in routes(world)
            for method in (methods if "{id}" in path else ())
            for weird in WEIRD_IDS
        }
        assert len(wrong) > 100
        assert failures(wrong) == {}
        assert everything(tmp_path) == before


# A GET of /v1/tasks/adopt asks for a task of that name, and there is none.
NAMED = {
    "/v1/tasks/adopt": {"GET", "HEAD"},
    "/v1/tasks/bulk": {"GET", "HEAD"},
    "/v1/hooks/sample": {"DELETE"},
}


async def test_a_method_that_an_address_does_not_take_is_405(tmp_path: Path) -> None:
    """With all that it takes in `Allow` (RFC 9110, 15.5.6)."""
    async with a_world(tmp_path) as world:
        for path, methods in routes(world):
            taken = methods | NAMED.get(path, set())
            for method in sorted(set(METHODS) - taken):
                answer = await world.api.request(method, filled(path), json={})
                assert complaint(answer, 405) is None, (method, path)
                assert set(answer.headers["allow"].split(", ")) == methods
        assert counts(tmp_path) == {}


@pytest.mark.parametrize(
    "path",
    [
        "/v1",
        "/v1/",
        "/v1/task",
        "/v1/tasks/",
        "/v1/tasks/x/y/z",
        "/v1/tasks/task_x/",
        "//v1/tasks",
        "/V1/tasks",
        "/v1/tasks;a=b",
        "/v2/tasks",
        "/v1/%74asks/",
        "/callbacks",
        "/callbacks/",
        "/callbacks/apikley",
        "/callbacks/apikley/x/y",
        "/health",
        "/health/live/",
        "/nothing/here",
        "/%00",
        "/%FF",
        "/" + "a" * 5000,
    ],
)
async def test_an_address_that_does_not_exist_is_404(tmp_path: Path, path: str) -> None:
    """No redirect either: it would name whatever host and scheme we were asked under, and the key would follow."""
    async with a_world(tmp_path) as world:
        for method in ("GET", "POST"):
            request = world.api.build_request(method, "/")
            request.url = request.url.copy_with(raw_path=path.encode())
            assert complaint(await world.api.send(request), 404) is None


async def test_queries_that_cannot_be_meant_are_422(tmp_path: Path) -> None:
    """The parameter is named; nobody gets the first page, or none, in place of an error."""
    async with a_world(tmp_path) as world:
        wrong = {
            f"{path} {query[:60]}": complaint(await world.api.get(f"{path}?{query}"), 422, fault)
            for path, queries in QUERIES.items()
            for query, fault in queries
        }
        for value in ("61", "abc", "-1"):
            answer = await world.api.post(f"/v1/tasks?wait={value}", json={})
            wrong[f"POST wait={value}"] = complaint(answer, 422, "wait")
        assert failures(wrong) == {}
        assert counts(tmp_path) == {}


@pytest.mark.parametrize(
    "query",
    [
        "limit=&cursor=&wait=&after=&metadata.x=&order=asc&other=",
        "limit=200",
        "limit=0001",
        "provider=nobody",
        "model=%00&provider=%F0%9F%98%80&provider_task_id=%FF",
        "task_id='%20OR%201=1;--&event_id=%00&destination_id=x",
        "created_after=2026-01-01&created_before=2026-01-01T00:00:00%2B02:00",
        "created_after=0001-01-01T00:00:00%2B23:59&created_before=9999-12-31T23:59:59-23:59",
        "created_after=99999999999",
        "after=" + str(2**62),
        "metadata.%00=%00&metadata.=&metadata.a'b=c\"d",
        "unknown=1&" + "x" * 3000,
        "&&&=&=x&",
        "%",
        "%ZZ=%ZZ",
    ],
)
async def test_odd_queries_that_can_be_meant_are_answered(tmp_path: Path, query: str) -> None:
    """What pages need is none where it is empty, what is unknown is named, what nothing matches gives an empty list."""
    async with a_world(tmp_path) as world:
        for path, known in FILTERS.items():
            request = world.api.build_request("GET", path)
            request.url = request.url.copy_with(raw_path=f"{path}?{query}".encode())
            answer = await world.api.send(request)
            asked = QueryParams(query)
            unknown = [name for name, value in asked.items() if value and not re.fullmatch(known, name, re.DOTALL)]
            if unknown:
                named = [fault["path"] for fault in answer.json()["errors"]]
                assert (answer.status_code, named) == (422, [name[:200] for name in unknown])
            else:
                assert (answer.status_code, answer.json()["items"]) == (200, [])


async def test_answers_are_for_no_cache(tmp_path: Path) -> None:
    """What is behind a key stays between us and who has it."""
    async with a_world(tmp_path) as world:
        for path in LISTS:
            answer = await world.api.get(path)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
