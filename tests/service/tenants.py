"""Callers with keys of their own, beside root."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.routing import Route

from receiver.web.app import routes
from receiver.web.drop_in import ProvidersOwn
from tests.service.world import World

# Open to whoever has the link, and documents, which are everybody's.
PUBLIC = ("/v1/watch/", "/openapi.json", "/asyncapi.json", "/docs", "/llms.txt", "/schemas/")


def doors() -> Iterator[tuple[str, str]]:
    """Every method and path of ours that takes a key; what is a provider's own has its tests in `tests.drop_in`."""
    for route in routes():
        assert isinstance(route, Route)
        if not route.path.startswith(PUBLIC) and not isinstance(route, ProvidersOwn):
            assert route.methods, route.path
            for method in sorted(route.methods - {"HEAD"}):
                yield method, route.path


@dataclass(frozen=True)
class Holder:
    """A caller who holds a key."""

    world: World
    tenant: str
    key: str
    key_id: str

    async def ask(self, method: str, path: str, **fields: Any) -> httpx.Response:
        headers = fields.pop("headers", {}) | {"authorization": f"Bearer {self.key}"}
        return await self.world.api.request(method, path, headers=headers, **fields)

    async def get(self, path: str, **query: Any) -> Any:
        """What a GET that is answered gives."""
        answer = await self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None) -> Any:
        """What a POST that is answered gives."""
        answer = await self.ask("POST", path, json=body)
        assert answer.status_code in (200, 201, 202), answer.text
        return answer.json()


async def a_holder(world: World, tenant: str, *scopes: str) -> Holder:
    """Whoever root gives a key of this tenant to."""
    body = {"tenant": tenant, "label": f"{tenant}'s", "scopes": scopes}
    made = await world.api.post("/v1/keys", json=body)
    assert made.status_code == 201, made.text
    return Holder(world, tenant, made.json()["key"], made.json()["id"])
