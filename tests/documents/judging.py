"""Reads answers against the document: the status is there, the type is, and the body has these fields and no others."""

import json
import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from receiver.web.documents.openapi import openapi

_HERE = "urn:document"


@cache
def document() -> dict[str, Any]:
    """The document as it is served: JSON, read again."""
    read: dict[str, Any] = json.loads(json.dumps(openapi()))
    return read


@cache
def _closed() -> "Registry[Any]":
    """The same with every object closed: consumers must bear new fields, and we must not forget to tell them."""
    schemas = json.loads(json.dumps(document()["components"]["schemas"]))
    for schema in schemas.values():
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
    whole = {"components": {"schemas": schemas}}
    return Registry().with_resource(_HERE, Resource.from_contents(whole, default_specification=DRAFT202012))


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value by a schema of the document."""
    here = json.loads(json.dumps(schema).replace('"#/', f'"{_HERE}#/'))
    validator = Draft202012Validator(here, registry=_closed(), format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(value)]


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Each path as a pattern; those without a parameter come first, as they do in the routes."""
    paths = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\\{[^/]+?\\}", "[^/]+", re.escape(path))), path) for path in paths]


def path_of(url: httpx.URL) -> str | None:
    """The documented path that a request was made to."""
    raw = url.raw_path.decode().partition("?")[0]
    return next((path for pattern, path in _patterns() if pattern.fullmatch(raw)), None)


def complaint(answer: httpx.Response) -> str | None:
    """What of an answer the document does not say; None where it says all, and of paths or methods that it leaves out.

    Its body must have been read.
    """
    method, path = answer.request.method.lower(), path_of(answer.request.url)
    if path is None or method not in document()["paths"][path] or answer.status_code == 405:
        return None
    told = document()["paths"][path][method]["responses"].get(str(answer.status_code))
    where = f"{method} {path} {answer.status_code}"
    if told is None:
        return f"{where} is not documented: {answer.text[:200]}"
    if "$ref" in told:
        told = document()["components"]["responses"][told["$ref"].rpartition("/")[2]]
    missing = [name for name in told.get("headers", {}) if name not in answer.headers and name != "Idempotent-Replayed"]
    media = answer.headers.get("content-type", "").partition(";")[0]
    if media not in told.get("content", {"": {}}) or missing:
        return f"{where} came as {media!r}, without {missing}"
    schema = told.get("content", {}).get(media, {}).get("schema")
    wrong = faults(schema, answer.json()) if schema and media.endswith("json") else []
    return f"{where}: {wrong}" if wrong else None
