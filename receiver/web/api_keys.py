"""The door for API keys: make one, see which there are, revoke one."""

import secrets
import string
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from receiver import formats
from receiver.api_keys import PREFIX, RANDOM_CHARACTERS, ApiKey, Scope, digest_of, hint_of, names_tenant
from receiver.errors import Fault, Forbidden, Invalid, Unknown
from receiver.ids import new_id
from receiver.store.protocol import Store
from receiver.store.records import Page
from receiver.telemetry import log
from receiver.web.answers import json_answer, page_answer
from receiver.web.bodies import read_model
from receiver.web.doors import ROOTS_OWN, Caller, check_query, doors_of, query_cursor, query_limit

_ALPHABET = string.ascii_letters + string.digits


def _scopes(words: list[str]) -> list[str]:
    for word in words:
        if word not in {*Scope}:
            raise ValueError(f"no scope {word!r}; there are {', '.join(Scope)}")
    return words


def _tenant(name: str) -> str:
    if not names_tenant(name):
        raise ValueError("must be 1 to 64 letters, digits, _ and -")
    return name


ScopeName = Annotated[str, Field(json_schema_extra={"enum": [each.value for each in Scope]})]


class KeyIn(BaseModel):
    """What a caller says of a new key; without `tenant` it is one of the caller's own."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tenant: Annotated[str, AfterValidator(_tenant)] | None = None
    label: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=10), AfterValidator(_scopes)]


async def create_key(request: Request, caller: Caller) -> Response:
    """`POST /v1/keys`: 201 with the key, which is shown by this call only."""
    doors, asked = doors_of(request), await read_model(request, KeyIn)
    tenant = asked.tenant or caller.tenant
    if tenant != caller.tenant and not caller.root:
        raise Forbidden("a key makes keys of its own tenant; those of others take the root key")
    now = doors.clock.now()
    text = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))
    key = ApiKey(
        id=new_id("key", now),
        tenant=tenant,
        label=asked.label,
        scopes=tuple(scope for scope in Scope if scope in asked.scopes),
        hint=hint_of(text),
        created_at=now,
    )

    def record(store: Store) -> str | None:
        other = ROOTS_OWN if tenant.lower() == ROOTS_OWN else store.tenant_spelt_otherwise(tenant)
        if other in (None, tenant):
            store.record_api_key(key, digest_of(text.encode()) or "")
        return other

    if (other := await doors.storage.write(record, brief=True)) not in (None, tenant):
        # Where a file system tells no capitals, both would write to the same logs.
        message = f"there is a tenant {other!r} already: a name that differs by more than capitals is needed"
        raise Invalid([Fault(path="tenant", message=message)])
    log.info("key.made", id=key.id, tenant=tenant, scopes=" ".join(key.scopes), by=caller.key_id or caller.label)
    return json_answer({**_fields(key), "key": text}, 201)


async def list_keys(request: Request, caller: Caller) -> Response:
    """`GET /v1/keys`: those of the caller's tenant, with their hints."""
    check_query(request, "cursor")
    limit = query_limit(request)
    page = Page(tenant=caller.tenant, limit=limit + 1, cursor=query_cursor(request, "key"))
    items = [_fields(key) for key in await doors_of(request).storage.read(lambda store: store.list_api_keys(page))]
    return page_answer(items, limit, [item["id"] for item in items])


async def get_key(request: Request, caller: Caller) -> Response:
    """`GET /v1/keys/{id}`."""
    return json_answer(_fields(await _known(request, caller)))


async def revoke_key(request: Request, caller: Caller) -> Response:
    """`DELETE /v1/keys/{id}`: it is refused from now on, at other processes within seconds."""
    doors, key = doors_of(request), await _known(request, caller)
    await doors.storage.write(lambda store: store.delete_api_key(key.id), brief=True)
    doors.keyring.forget()
    log.info("key.revoked", id=key.id, tenant=key.tenant, by=caller.key_id or caller.label)
    return Response(status_code=204)


async def _known(request: Request, caller: Caller) -> ApiKey:
    key_id = request.path_params["id"]
    key = await doors_of(request).storage.read(lambda store: store.api_key(key_id, caller.tenant))
    if key is None:
        raise Unknown(f"no API key {key_id!r}")
    return key


def _fields(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "tenant": key.tenant,
        "label": key.label,
        "scopes": list(key.scopes),
        "hint": key.hint,
        "created_at": formats.timestamp(key.created_at),
        "last_used_at": key.last_used_at and formats.timestamp(key.last_used_at),
    }
