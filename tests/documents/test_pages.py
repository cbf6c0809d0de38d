"""The documents are served: to everybody, whole, from the package alone."""

import gzip
import hashlib
import json
import re
from collections.abc import AsyncIterator
from importlib.resources import files
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from receiver.web.documents import pages
from receiver.web.documents.asyncapi import asyncapi
from receiver.web.documents.openapi import openapi
from receiver.web.documents.samples import TYPES

pytestmark = pytest.mark.anyio

VIEWER = Path(str(files("receiver.web.documents"))) / "viewer"
MEDIA = {
    "/openapi.json": "application/json",
    "/asyncapi.json": "application/json",
    "/llms.txt": "text/plain; charset=utf-8",
    "/docs": "text/html; charset=utf-8",
    "/schemas/v1": "application/json",
    "/schemas/v1/task.succeeded.json": "application/schema+json",
    "/docs/page.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
}


@pytest.fixture
async def public() -> AsyncIterator[httpx.AsyncClient]:
    """The documents, asked without a key."""
    transport = httpx.ASGITransport(app=Starlette(routes=pages.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://taskweir.test") as client:
        yield client


@pytest.mark.parametrize("path", MEDIA)
async def test_a_document_is_asked_for_anew_only_where_it_changed(public: httpx.AsyncClient, path: str) -> None:
    """By its tag; whoever has it gets 304 without a body, whoever has another one gets it whole."""
    whole = await public.get(path)
    assert (whole.status_code, whole.headers["content-type"]) == (200, MEDIA[path])
    assert re.fullmatch(r"public, max-age=\d+", whole.headers["cache-control"])
    tag = whole.headers["etag"]
    again = await public.get(path, headers={"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await public.get(path, headers={"if-none-match": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)


async def test_what_is_served_is_what_is_built(public: httpx.AsyncClient) -> None:
    """And may be read by pages of other hosts: it is public."""
    for path, build in (("/openapi.json", openapi), ("/asyncapi.json", asyncapi)):
        answer = await public.get(path)
        assert answer.json() == json.loads(json.dumps(build()))
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_each_schema_of_an_event_is_where_its_id_says(public: httpx.AsyncClient) -> None:
    """For every type; the index names them all."""
    index = (await public.get("/schemas/v1")).json()
    assert [*index["schemas"]] == [*TYPES]
    for name, path in index["schemas"].items():
        schema = (await public.get(path)).json()
        assert (schema["$id"], schema["title"]) == (path, name)


async def test_the_viewer_loads_nothing_from_elsewhere(public: httpx.AsyncClient) -> None:
    """Whatever the page names is here; its policy allows nothing else, no script or style in the page, no frame."""
    page = await public.get("/docs")
    named = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(named) >= 5
    for path in named:
        assert path == "data:," or (await public.get(path)).status_code == 200, path
    assert "<style" not in page.text
    assert not re.search(r"<script(?! src=)|\son\w+=|\sstyle=", page.text)
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert not any("unsafe" in part or "http" in part for part in policy.values())


async def test_the_viewer_comes_packed_to_those_who_can_unpack(public: httpx.AsyncClient) -> None:
    """And is the same to the others."""
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        answers = [
            await public.get(f"/docs/{name}", headers={"accept-encoding": coding}) for coding in ("gzip", "identity")
        ]
        assert [each.headers.get("content-encoding") for each in answers] == ["gzip", None]
        assert answers[0].content == answers[1].content == gzip.decompress((VIEWER / f"{name}.gz").read_bytes())
        assert int(answers[0].headers["content-length"]) * 3 < len(answers[0].content)


def test_the_viewer_is_the_one_that_its_page_names() -> None:
    """Byte for byte what was published, under its licence, and no larger than is said."""
    told = re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", (VIEWER / "README.md").read_text(), re.MULTILINE)
    assert len(told) == 2
    for name, digest in told:
        assert hashlib.sha256(gzip.decompress((VIEWER / name).read_bytes())).hexdigest() == digest
    assert "Apache License" in (VIEWER / "LICENSE").read_text()
    assert sum((VIEWER / name).stat().st_size for name, _ in told) < 490_000


async def test_the_page_for_language_models_is_as_its_convention_says(public: httpx.AsyncClient) -> None:
    """llmstxt.org: one title, a summary in a quote, then sections of links; each leads somewhere, its example works."""
    text = (await public.get("/llms.txt")).text
    assert re.match(r"# Taskweir\n\n> \S.+\n\n", text)
    assert text.count("\n# ") == 0
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    links = [
        re.fullmatch(r"- \[[^\]]+\]\((\S+)\): \S.*", line)
        for each in sections
        for line in each.split("\n")[2:-1]
        if line
    ]
    assert len(links) > 50
    assert all(links)
    for path in {link[1].partition("#")[0] for link in links if link}:
        assert (await public.get(path)).status_code == 200, path
    names = {each["operationId"] for path in openapi()["paths"].values() for each in path.values()}
    assert {link[1].rpartition("/")[2] for link in links if link and "#" in link[1]} == names


async def test_the_readme_names_what_is_served(public: httpx.AsyncClient) -> None:
    """The paths of its paragraph on the documents."""
    readme = (Path(__file__).parent.parent.parent / "README.md").read_text()
    [paragraph] = re.findall(r"^The whole of it stands at.*?(?=^$)", readme, re.MULTILINE | re.DOTALL)
    paths = re.findall(r"`(/\S+)`", paragraph)
    assert len(paths) == 6
    for path in paths:
        assert (await public.get(path)).status_code == 200, path


def test_the_documents_name_no_machine() -> None:
    """They are the same wherever they are served, so that one can be compared with another."""
    assert "127.0.0.1" not in json.dumps([openapi(), asyncapi()])
