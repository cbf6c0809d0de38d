"""What each platform publishes about its files accepts ours, and refuses what it does not know."""

import copy
from typing import Any

import pytest
from jsonschema.validators import validator_for

from tests.deploy.files import DEPLOY, SCHEMAS, documents, faults, schema

FILES = [
    ("docker/compose.yaml", "compose", ("services", "web"), None),
    ("cloud-run/service.yaml", "cloud-run", ("spec", "template", "spec"), None),
    ("fly/fly.toml", "fly", ("http_service",), None),
    ("render/render.yaml", "render", ("services", 0), None),
    ("vercel/vercel.json", "vercel", ("functions", "app.py"), None),
    *(
        (f"kubernetes/{path.name}", "kubernetes", ("metadata",), number)
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml*"))
        for number in range(len(documents(path)))
    ),
]


@pytest.mark.parametrize(("name", "judge", "inside", "number"), FILES)
def test_its_schema_accepts_it(name: str, judge: str, inside: tuple[str | int, ...], number: int | None) -> None:
    """As it stands; and not with a key more."""
    document = documents(DEPLOY / name)[number or 0]
    kind = document["kind"] if number is not None else None
    assert faults(document, judge, kind=kind) == []
    spoilt: Any = copy.deepcopy(document)
    place = spoilt
    for step in inside:
        place = place[step]
    place["notThere"] = "x"
    assert faults(spoilt, judge, kind=kind) != []


def test_no_kind_is_missing() -> None:
    """What no schema is kept for is refused, not passed over."""
    assert faults({"kind": "Gateway"}, "kubernetes", kind="Gateway") != []


def test_the_schemas_are_schemas() -> None:
    """Each by the standard that it names."""
    for path in SCHEMAS.glob("*.json"):
        judge = schema(path.stem)
        validator_for(judge).check_schema(judge)
        assert judge["$comment"]
