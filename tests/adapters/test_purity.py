"""Adapters translate and do nothing else: no module of theirs can reach a socket, a clock, a file or a log."""

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.adapters.plain import entries

_PURE = {
    "abc",
    "base64",
    "binascii",
    "collections",
    "collections.abc",
    "dataclasses",
    "email.utils",
    "enum",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "math",
    "operator",
    "re",
    "string",
    "types",
    "typing",
    "urllib.parse",
}
_OURS = {"receiver.domain", "receiver.errors", "receiver.json_text", "receiver.wire"}
_REACHING = {"open", "print", "input", "eval", "exec", "compile", "__import__", "breakpoint"}


def _source(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None, f"no module {module}"
    assert spec.origin is not None
    return ast.parse(Path(spec.origin).read_text("utf-8"))


def _imports(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            package = node.module or ""
            inner = {f"{package}.{alias.name}" for alias in node.names}
            modules = {name for name in inner if package in ("adapters", "receiver") and find_spec(name) is not None}
            found |= modules or {package}
    return found


def _reached(tree: ast.Module) -> set[str]:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {func.id for func in calls if isinstance(func, ast.Name)} & _REACHING


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_an_adapter_can_reach_nothing(name: str) -> None:
    """It imports pure parts of the standard library, `adapters`, and of `receiver` only nouns, errors and JSON."""
    (entry,) = (entry for entry in entries() if entry.name == name)
    waiting, seen = [entry.module], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        tree = _source(module)
        imports = _imports(tree)
        guests = {other for other in imports if other.startswith("adapters.")}
        assert imports - guests <= _PURE | _OURS, module
        assert not _reached(tree), module
        waiting.extend(guests - seen)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import socket", {"socket"}),
        ("from urllib import request", {"urllib"}),
        ("from receiver import json_text", {"receiver.json_text"}),
        ("from adapters.base import Adapter", {"adapters.base"}),
        ("def late():\n    import time", {"time"}),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, found: set[str]) -> None:
    """The search itself sees whole modules, names out of packages, and imports inside functions."""
    assert _imports(ast.parse(source)) == found


def test_calls_that_reach_out_are_found() -> None:
    """The search itself sees a call of `open`, and none in a parameter called input."""
    assert _reached(ast.parse("def f(input):\n    return open(input)")) == {"open"}
