"""Where callbacks arrive in these tests: a server that notes them and answers as it is told."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from adapters.sandbox.server import running


@dataclass(slots=True, kw_only=True)
class Inbox:
    """`bodies` in the order of their arrival; `answers` are the statuses to give, 200 when they have run out."""

    url: str = ""
    bodies: list[Any] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        assert request.headers["content-type"] == "application/json"
        self.bodies.append(await request.json())
        return JSONResponse({"code": 200, "msg": "success"}, status_code=self.answers.pop(0) if self.answers else 200)


@contextlib.asynccontextmanager
async def open_inbox() -> AsyncIterator[Inbox]:
    inbox = Inbox()
    async with running(Starlette(routes=[Route("/callbacks/{token}", inbox.take, methods=["POST"])])) as base:
        inbox.url = f"{base}/callbacks/a-secret-token"
        yield inbox
