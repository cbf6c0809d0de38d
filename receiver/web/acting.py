"""For which tenant a caller acts: its own, or any where it is root."""

from starlette.requests import Request

from receiver.api_keys import names_tenant
from receiver.copying import replace
from receiver.errors import Fault, Forbidden, Invalid
from receiver.store.protocol import Store
from receiver.web.doors import Caller, doors_of


async def acting(request: Request, caller: Caller) -> Caller:
    """The caller as the tenant that it acts for, its own; root for the one that `?tenant=` names, or whose the object
    is that the path names. Raises `Forbidden`, or `Invalid` where that can be no tenant.
    """
    asked = set(request.query_params.getlist("tenant")) - {""} if request.scope["query_string"] else set()
    if asked:
        return _for_tenant(caller, asked)
    named = request.path_params.get("id") if caller.root else None
    if named is None:
        return caller
    owner = await doors_of(request).storage.read(lambda store: _owner(store, named), brief=True)
    return caller if owner in (None, caller.tenant) else replace(caller, tenant=owner)


def _for_tenant(caller: Caller, asked: set[str]) -> Caller:
    if asked == {caller.tenant}:
        return caller
    if not caller.root:
        raise Forbidden("a key is of one tenant; with ?tenant= the root key alone sees others")
    tenant = asked.pop()
    if asked or not names_tenant(tenant):
        raise Invalid([Fault(path="tenant", message="must be the name of one tenant")])
    return replace(caller, tenant=tenant)


def _owner(store: Store, named: str) -> str | None:
    provider, colon, provider_task_id = named.partition(":")
    if colon:
        task = store.task_of_provider(provider, provider_task_id)
        return task.tenant if task else None
    return store.owner_of(named)
