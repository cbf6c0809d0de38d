"""The API as OpenAPI 3.1: its operations, and a webhook for each type of event."""

from collections.abc import Iterator
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from pydantic import BaseModel

from receiver.web.documents.event_answers import CloudEvent, FlatEvent
from receiver.web.documents.hooks_out import webhooks
from receiver.web.documents.operation import JSON, Answer, Operation, Parameter
from receiver.web.documents.problems import MEDIA, RETRIED, WHY, Problem
from receiver.web.documents.samples import TYPES
from receiver.web.documents.schemas import components, model_of
from receiver.web.documents.table import OPERATIONS, TAGS

_ABOUT = """Taskweir submits tasks with a callback URL where the \
provider takes one, polls where it does not, turns both into one stream of events, and forwards each event to the \
webhooks that users configure, or to a log.

Send an API key as `Authorization: Bearer <key>`. Refusals are `application/problem+json` (RFC 9457). Unknown fields \
and parameters are refused. Times are RFC 3339, in UTC. Webhooks are signed as Standard Webhooks 1.0.0 says.

The stream's messages as AsyncAPI: [/asyncapi.json](/asyncapi.json). Schemas of the events: \
[/schemas/v1](/schemas/v1). For language models: [/llms.txt](/llms.txt)."""
_SCOPES = {
    "read": "A key with the scope `read`.",
    "submit": "A key with the scope `submit`.",
    "admin": "A key with the scope `admin`.",
    "root": "The root key.",
    "clock": "The root key, or `TASKWEIR_CRON_SECRET`.",
}


def openapi() -> dict[str, Any]:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Taskweir",
            "version": version("taskweir"),
            "summary": "One event stream for every async generation API.",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server."}],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        "security": [{"key": []}],
        "paths": _paths(),
        "webhooks": webhooks(),
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "An API key."}},
            "responses": {str(status): _refusal(status) for status in WHY if status in _refused()},
            "schemas": components(_models()),
        },
    }


def _refused() -> set[int]:
    return {status for each in OPERATIONS for status in each.refusals}


def _models() -> Iterator[type[BaseModel]]:
    yield Problem
    for each in OPERATIONS:
        if each.body is not None:
            yield each.body
        yield from (answer.model for answer in each.answers.values() if answer.model is not None)
    yield from map(model_of, TYPES)
    yield from (FlatEvent, CloudEvent)


def _paths() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return paths


def _operation(each: Operation) -> dict[str, Any]:
    scope = _SCOPES.get(each.scope or "")
    told = "\n\n".join(filter(None, (each.text, scope and f"**Takes** {scope[0].lower()}{scope[1:]}")))
    refusals = {str(status): {"$ref": f"#/components/responses/{status}"} for status in each.refusals}
    answers = {str(status): _answer(answer) for status, answer in each.answers.items()} | refusals
    parameters = [*_ids(each), *map(_parameter, each.asked)]
    return {
        "operationId": each.name,
        "tags": [each.tag],
        "summary": each.summary,
        **({"description": told} if told else {}),
        **({} if each.scope else {"security": []}),
        **({"parameters": parameters} if parameters else {}),
        **({"requestBody": _body(each)} if each.body else {}),
        "responses": dict(sorted(answers.items())),
    }


def _ids(each: Operation) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1}
    return [
        {"name": name, "in": "path", "required": True, "description": told, "schema": schema}
        for name, told in each.ids.items()
    ]


def _parameter(each: Parameter) -> dict[str, Any]:
    empty = {"allowEmptyValue": True} if each.may_be_empty else {}
    more = ({"required": True} if each.needed else {}) | empty
    return {"name": each.name, "in": each.place, "description": each.text, **more, "schema": dict(each.schema)}


def _body(each: Operation) -> dict[str, Any]:
    content = {"schema": _reference(each.body)} | _named(each.examples)
    return {"required": each.needed, "content": {JSON: content}}


def _named(examples: Any) -> dict[str, Any]:
    return (
        {"examples": {name.replace(" ", "-"): {"value": value} for name, value in examples.items()}} if examples else {}
    )


def _answer(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = {"description": answer.text}
    if answer.headers:
        text = {"type": "string"}
        told["headers"] = {name: {"description": why, "schema": text} for name, why in answer.headers.items()}
    if answer.model is not None:
        told["content"] = {answer.media: {"schema": _reference(answer.model), "example": answer.example}}
    elif answer.media != JSON:
        told["content"] = {answer.media: {"schema": {"type": "string"}}}
    return told


def _reference(model: type[BaseModel] | None) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{model.__name__}"} if model else {}


def _refusal(status: int) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    example = {"type": "about:blank", "title": title, "status": status, "detail": WHY[status]}
    if status == 422:
        example["errors"] = [{"path": "provider", "message": "required"}]
    headers: dict[str, Any] = {}
    if status in RETRIED:
        headers["Retry-After"] = {"description": "In so many seconds.", "schema": {"type": "integer"}}
    if status == 401:
        headers["WWW-Authenticate"] = {"description": "How to send a key.", "schema": {"const": "Bearer"}}
    content = {MEDIA: {"schema": _reference(Problem), "example": example}}
    return {"description": WHY[status], **({"headers": headers} if headers else {}), "content": content}
