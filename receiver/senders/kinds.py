"""Every kind of server that users may have events sent to without HTTP: a line each, and no library before its use."""

from receiver.senders.remote import Kind, Registered


def _nats() -> Kind:
    from receiver.senders.nats import KIND

    return KIND


def _postgres() -> Kind:
    from receiver.senders.postgres import KIND

    return KIND


def _redis() -> Kind:
    from receiver.senders.redis import KIND

    return KIND


KINDS = {
    each.type: each
    for each in (
        Registered(type="nats", library="nats", load=_nats),
        Registered(type="redis", library="redis", load=_redis),
        Registered(type="postgres", library="psycopg", load=_postgres, batch=200, formats=False),
    )
}
