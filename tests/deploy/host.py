"""What calls our entries on AWS Lambda and Vercel, as a process of its own: one JSON line in, one out, per call.

python host.py lambda handler.py
python host.py vercel app.py
"""

import asyncio
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from receiver.errors import TaskweirError


class Context:
    """What Lambda hands to a handler beside the event, as far as ours asks for it."""

    aws_request_id = "5f0c7c0e-6f0d-4a43-8d0e-2a7f6a1f9b11"

    def get_remaining_time_in_millis(self) -> int:
        return 20_000


def loaded(path: Path) -> ModuleType:
    """A module by its file, as a host imports it once per process."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def invoked(module: ModuleType, event: Any) -> Any:
    """What the handler returns; or, as Lambda tells it, what it raised."""
    try:
        return module.handler(event, Context())
    except TaskweirError as error:
        return {"errorType": type(error).__name__, "errorMessage": str(error)}


async def asked(module: ModuleType, call: dict[str, Any]) -> dict[str, Any]:
    """One request, in an event loop that is made for it and gone after it; a lifespan is never told."""
    answer: dict[str, Any] = {"body": ""}
    method, path, _, query = call["method"], *call["path"].partition("?")

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": call.get("body", "").encode(), "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answer["statusCode"] = message["status"]
        else:
            answer["body"] += message.get("body", b"").decode()

    headers = [(name.encode(), value.encode()) for name, value in call.get("headers", {}).items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("203.0.113.7", 40000),
        "server": ("my-taskweir.vercel.app", 443),
    }
    await module.app(scope, receive, send)
    return answer


def main() -> None:
    """Until nobody asks any more."""
    answers, sys.stdout = sys.stdout, sys.stderr  # logs do not come between
    module = loaded(Path(sys.argv[2]))
    for line in sys.stdin:
        call = json.loads(line)
        answer = invoked(module, call) if sys.argv[1] == "lambda" else asyncio.run(asked(module, call))
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
