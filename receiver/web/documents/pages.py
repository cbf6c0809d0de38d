"""The doors of the documents: public, built by the first who asks, the same bytes for all."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from receiver import json_text
from receiver.web.documents.samples import TYPES, VERSION, path_of
from receiver.web.doors import Door

_JSON = "application/json"
_FRESH = {"cache-control": "public, max-age=300", "access-control-allow-origin": "*"}
_FILE = {"cache-control": "public, max-age=86400", "x-content-type-options": "nosniff", "vary": "accept-encoding"}
# Nothing from elsewhere, nothing to elsewhere, no script or style in the page itself.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = _FRESH | {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class _Document:
    """What is served: bytes, perhaps compressed, and their tag."""

    body: bytes
    media: str
    headers: dict[str, str]
    packed: bool = False

    @property
    def tag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()[:32]}"'


def routes() -> list[BaseRoute]:
    """All that is public but health."""
    served: dict[str, Callable[[], _Document]] = {
        "/openapi.json": _openapi,
        "/asyncapi.json": _asyncapi,
        "/llms.txt": _llms,
        f"/schemas/{VERSION}": _index,
        "/docs": partial(_file, "page.html", "text/html; charset=utf-8", _PAGE),
    }
    served |= {path_of(each): partial(_event, each) for each in TYPES}
    served |= {
        f"/docs/{name}": partial(_file, name, media, _FILE)
        for name, media in (
            ("page.js", "text/javascript; charset=utf-8"),
            ("page.css", "text/css; charset=utf-8"),
            ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
            ("swagger-ui.css", "text/css; charset=utf-8"),
        )
    }
    return [Route(path, _door(build), methods=["GET"]) for path, build in served.items()]


def _door(build: Callable[[], _Document]) -> Door:
    built = cache(build)

    async def answer(request: Request) -> Response:
        return _answered(request, await asyncio.to_thread(built))

    return Door(answer)


def _answered(request: Request, document: _Document) -> Response:
    headers = document.headers | {"etag": document.tag}
    if document.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    body = document.body
    if document.packed and "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    elif document.packed:
        body = gzip.decompress(body)
    return Response(body, headers=headers, media_type=document.media)


def _openapi() -> _Document:
    from receiver.web.documents.openapi import openapi

    return _Document(json_text.write(openapi()).encode(), _JSON, _FRESH)


def _asyncapi() -> _Document:
    from receiver.web.documents.asyncapi import asyncapi

    return _Document(json_text.write(asyncapi()).encode(), _JSON, _FRESH)


def _llms() -> _Document:
    from receiver.web.documents.llms import llms

    return _Document(llms().encode(), "text/plain; charset=utf-8", _FRESH)


def _event(type: str) -> _Document:
    from receiver.web.documents.schemas import event_schema

    return _Document(json_text.write(event_schema(type)).encode(), "application/schema+json", _FRESH)


def _index() -> _Document:
    from receiver.web.documents.schemas import index

    return _Document(json_text.write(index()).encode(), _JSON, _FRESH)


def _file(name: str, media: str, headers: dict[str, str]) -> _Document:
    folder = files("receiver.web.documents").joinpath("viewer")
    packed = folder.joinpath(f"{name}.gz")
    body = packed.read_bytes() if packed.is_file() else folder.joinpath(name).read_bytes()
    return _Document(body, media, headers, packed=packed.is_file())
