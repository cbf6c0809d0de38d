"""The files in deploy/, read, and held against what judges them."""

import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema.validators import validator_for

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
SCHEMAS = Path(__file__).parent / "schemas"
MADE = {
    ".env",
    "secret.json",
    "build",
    "__pycache__",
    "node_modules",
    "package-lock.json",
}  # by whoever follows the steps; none of it is ours
OURS = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and not MADE & set(path.relative_to(DEPLOY).parts)]


def documents(path: Path) -> list[Any]:
    """All that a YAML, TOML or JSON file holds."""
    text = path.read_text()
    if path.suffix == ".toml":
        return [tomllib.loads(text)]
    if path.suffix == ".json":
        return [json.loads(text)]
    return [document for document in yaml.safe_load_all(text) if document is not None]


@cache
def schema(name: str) -> Any:
    """One of ours, by name."""
    return json.loads((SCHEMAS / f"{name}.json").read_text())


def faults(document: Any, name: str, *, kind: str | None = None) -> list[str]:
    """What a schema, or one kind in it, has against a document: where, and what."""
    judge = schema(name)
    if kind is not None:
        if kind not in judge["$defs"]:
            return [f"nothing is known about {kind}"]
        judge = {"$schema": judge["$schema"], "$defs": judge["$defs"], "$ref": f"#/$defs/{kind}"}
    return [f"{error.json_path}: {error.message}" for error in validator_for(judge)(judge).iter_errors(document)]
