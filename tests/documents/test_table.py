"""The table of operations and the routes are the same, and what is told of them is whole."""

import re
from collections.abc import Iterator

from starlette.routing import Route

from receiver.domain import EventType, OperatorEvent
from receiver.web import app, front
from receiver.web.documents import pages
from receiver.web.documents.table import OPERATIONS, TAGS
from receiver.web.documents.texts import FIELDS
from receiver.web.doors import Door
from tests.documents.judging import document

# Routes that are no operations of the API: the providers' doors, in their own words; the dashboard; the documents.
NOT_OPERATIONS = re.compile(r"/|/callbacks/.*|/\{provider\}/.*|/dashboard.*")
ASKED_BY_BROWSERS = {"HEAD", "OPTIONS"}  # beside what a caller asks


def served() -> Iterator[tuple[str, str]]:
    """Method and path of every route that is an operation."""
    documents = {route.path for route in pages.routes() if isinstance(route, Route)}
    for route in (*front._health(), *app.routes()):
        assert isinstance(route, Route)
        if not NOT_OPERATIONS.fullmatch(route.path) and route.path not in documents:
            yield from ((method, route.path) for method in route.methods or () if method not in ASKED_BY_BROWSERS)


def test_every_route_is_an_operation_and_every_operation_a_route() -> None:
    """A new door is caught here: add it to the table."""
    told = [(each.method, each.path) for each in OPERATIONS]
    assert sorted(told) == sorted(served())
    assert len(set(told)) == len(told)


def test_every_operation_has_a_name_of_its_own_a_tag_and_a_success() -> None:
    """Clients are generated from these."""
    names = [each.name for each in OPERATIONS]
    assert sorted(set(names)) == sorted(names)
    assert {each.tag for each in OPERATIONS} | {"Webhooks"} == set(TAGS)
    assert all(min(each.answers) < 300 for each in OPERATIONS)
    assert all(set(re.findall(r"{(\w+)}", each.path)) == set(each.ids) for each in OPERATIONS)


def test_whoever_needs_a_key_is_told_which() -> None:
    """By the very scopes that the routes take; what has a gate of its own says so, too."""
    told = {(each.method, each.path): each.scope for each in OPERATIONS}
    for route in app.routes():
        guarded = route.app.answer if isinstance(route, Route) and isinstance(route.app, Door) else None
        for method, scope in guarded.needs.items() if isinstance(guarded, app.Guarded) else ():
            assert told.pop((method, route.path)) == (scope or "root")
    assert {path: scope for (_, path), scope in told.items()} == {
        "/metrics": "root",
        "/internal/tick": "clock",
        "/v1/watch/{token}": None,
        **dict.fromkeys(("/health/live", "/healthz", "/health/ready", "/readyz")),
    }


def test_every_field_is_explained_and_nothing_else() -> None:
    """In requests and answers."""
    schemas = document()["components"]["schemas"]
    fields = {
        (model, name): field for model, each in schemas.items() for name, field in each.get("properties", {}).items()
    }
    assert [each for each, field in fields.items() if not field.get("description")] == []
    known = {name for _, name in fields} | {f"{model}.{name}" for model, name in fields}
    assert set(FIELDS) - known == set()


def test_every_schema_has_a_plain_name() -> None:
    """Two models of one name would be told apart by their modules, which are nobody's business."""
    assert [name for name in document()["components"]["schemas"] if not re.fullmatch(r"[A-Za-z]+", name)] == []


def test_every_type_of_event_is_a_webhook() -> None:
    """The contract's types, and the ping."""
    assert set(document()["webhooks"]) == {*map(str, EventType), *map(str, OperatorEvent), "ping"}
