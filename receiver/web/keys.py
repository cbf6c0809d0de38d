"""The door for the operator's own key: seal with the first one what was sealed with another."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import Response

from receiver.resealing import reseal
from receiver.web.answers import json_answer
from receiver.web.bodies import NothingIn, read_optional
from receiver.web.doors import Caller, doors_of


async def rotate_secrets(request: Request, caller: Caller) -> Response:
    """`POST /internal/rotate-secrets`, the root key's: seal all secrets with the first of `TASKWEIR_SECRET_KEY`."""
    doors = doors_of(request)
    await read_optional(request, NothingIn)
    return json_answer(asdict(await reseal(doors.storage, doors.seal)))
