"""Baseline A: the same uvicorn and starlette, which parse the JSON of a POST and answer 200, and nothing else."""

import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from receiver.server import listen

ACK = b'{"code":200,"msg":"success"}'


async def receive(request: Request) -> Response:
    await request.json()
    return Response(ACK, media_type="application/json")


async def ready(request: Request) -> Response:
    return Response(status_code=200)


app = Starlette(
    routes=[Route("/callbacks/{provider}/{token}", receive, methods=["POST"]), Route("/health/ready", ready)]
)


def serve(app: Starlette, port: int) -> None:
    """Serve it until told to stop, with the settings of `receiver.server`."""
    with listen("127.0.0.1", port) as listening:
        config = uvicorn.Config(
            app,
            http="httptools",
            loop="uvloop",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    serve(app, int(sys.argv[1]))
