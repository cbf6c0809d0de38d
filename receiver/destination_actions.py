"""What a caller does to a destination that is there, each a part of the transaction that its caller holds open."""

from receiver import breaker, breaker_policy
from receiver.copying import replace
from receiver.domain import Destination, Ms
from receiver.store.protocol import Store
from receiver.store.records import BEHIND_ALL, BITE

OVERLAP: Ms = 86_400_000
_ALL = 2**62
MOST_RETIRED = 10  # each of them is an entry of every signature's header


def change(store: Store, before: Destination, after: Destination, *, now: Ms, overlap: Ms = OVERLAP) -> Destination:
    """Make it what it shall be from now on; `before` was read in this transaction.

    A secret that is replaced signs along for `overlap`. Where anything that may have made it fail is changed, a held
    queue is tried at once. What waits in lines is due where it is ordered no more; where it is from now on, the latest
    of what is pending form them here, and whatever is beyond one bite is yet to.
    """
    if after.type == "webhook" and after.sealed_secret != before.sealed_secret:
        retire(store, before.id, before.sealed_secret, now=now, overlap=overlap)
    store.save_destination(replace(after, enabled=before.enabled))
    if before.ordered and not after.ordered:
        store.dissolve_lines(after.id, now, before=BEHIND_ALL, limit=_ALL)
    if after.ordered and not before.ordered:
        store.form_lines(after.id, before=BEHIND_ALL, limit=BITE)
    if _how_sent(after) != _how_sent(before):
        store.save_breaker(breaker_policy.after_change(store.breaker(after.id), now))
    if after.enabled == before.enabled:
        return after
    return switch(store, replace(after, enabled=before.enabled), enabled=after.enabled, now=now)


def switch(store: Store, destination: Destination, *, enabled: bool, now: Ms) -> Destination:
    """Enable or disable it, as its caller says; one that is enabled already, and held, is tried at once."""
    if not enabled:
        return breaker.disable(store, destination, breaker.CALLER, now)
    if not destination.enabled:
        return breaker.enable(store, destination)
    store.save_breaker(breaker_policy.hastened(store.breaker(destination.id), now))
    return destination


def _how_sent(destination: Destination) -> tuple[object, ...]:
    # What is sealed for another than a webhook is its URL, with who logs in there.
    sealed = "" if destination.type == "webhook" else destination.sealed_secret
    return destination.target, destination.format, destination.headers, destination.signature, sealed


def retire(store: Store, owner: str, sealed: str, *, now: Ms, overlap: Ms) -> None:
    """Let a secret of this destination, or `tenant:<name>`, sign along a while.

    Not too many at once: those whose time ends first make room for it.
    """
    if overlap:
        for each in store.retired_secrets(owner, now)[MOST_RETIRED - 1 :]:
            store.forget_retired_secret(owner, each.sealed)
    store.retire_secret(owner, sealed, now=now, until=now + overlap)
