"""How the body of a request is read: as JSON, and as a model of what it may say."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request

from receiver import json_text
from receiver.errors import Fault, Invalid
from receiver.web.doors import MOST_FAULTS, doors_of, read_body

Model = TypeVar("Model", bound=BaseModel)


class NothingIn(BaseModel):
    """A body with nothing in it."""

    model_config = ConfigDict(extra="forbid", strict=True)


async def read_model(request: Request, model: type[Model]) -> Model:
    """The body as a validated model; raises `Malformed` (not JSON) or `Invalid` (each field with its path)."""
    return model_of(await read_json(request), model)


async def read_optional(request: Request, model: type[Model]) -> Model:
    """The same of a request that may come without a body: then the model has its defaults."""
    body = await read_body(request, doors_of(request).max_body)
    return model_of(json_text.read_strict(body) if body else {}, model)


async def read_json(request: Request) -> Any:
    """The body's JSON; raises `Malformed`."""
    return json_text.read_strict(await read_body(request, doors_of(request).max_body))


def model_of(value: Any, model: type[Model]) -> Model:
    """JSON as a validated model; raises `Invalid`."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        items = error.errors(include_url=False, include_input=False)
        raise Invalid([_fault(item) for item in items[:MOST_FAULTS]]) from None


def _fault(item: Any) -> Fault:
    path = ""
    for part in item["loc"]:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    if item["type"] == "value_error":  # raised by a validator of ours
        return Fault(path=path, message=str(item["ctx"]["error"]))
    messages = {
        "extra_forbidden": "unknown field: remove it, or check its spelling",
        "missing": "required",
        "model_type": "the body must be a JSON object",
        "dict_type": "must be a JSON object",
        "string_type": "must be a string",
        "int_type": "must be a whole number",
        "bool_type": "must be true or false",
        "string_pattern_mismatch": "must be visible ASCII characters, without spaces",
    }
    return Fault(path=path, message=messages.get(item["type"], item["msg"]))
