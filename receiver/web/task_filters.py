"""The filters of the list of tasks, read from its query, or from the body of a call that works through such a list."""

from collections.abc import Iterable, Mapping

from receiver import formats
from receiver.domain import FailureKind, Ms, Status
from receiver.errors import Fault, Invalid
from receiver.store.records import Page

EQUAL = ("status", "provider", "model", "provider_task_id", "error_kind")
TIMES = ("created_after", "created_before")
METADATA = "metadata."
MOST_METADATA = 50
METADATA_BYTES = 8 * 1024


def small_metadata(metadata: dict[str, str]) -> dict[str, str]:
    """The metadata of a task, or the filter of it; raises `ValueError` where it is more than a task may have.

    A value without a name could be found by no filter: `metadata.` is one whose name was forgotten.
    """
    if "" in metadata:
        raise ValueError("a value has no name")
    size = sum(len(key.encode()) + len(value.encode()) for key, value in metadata.items())
    if len(metadata) > MOST_METADATA or size > METADATA_BYTES:
        raise ValueError(f"at most {MOST_METADATA} values and {METADATA_BYTES} bytes")
    return metadata


def filtered_page(
    filters: Mapping[str, str], *, tenant: str, limit: int, cursor: str | None = None, under: str = ""
) -> Page:
    """A page of the list with these filters, empty ones left out; raises `Invalid`, the paths prefixed by `under`."""
    metadata = {name.removeprefix(METADATA): value for name, value in filters.items() if name.startswith(METADATA)}
    if len(metadata) > MOST_METADATA:
        message = f"at most {MOST_METADATA} filters, as a task has"
        raise Invalid([Fault(path=f"{under}metadata", message=message)])
    _check_word(filters, "status", Status, under)
    _check_word(filters, "error_kind", FailureKind, under)
    return Page(
        tenant=tenant,
        limit=limit,
        cursor=cursor,
        where={name: filters[name] for name in EQUAL if filters.get(name)},
        metadata=metadata,
        created_after=_time(filters, "created_after", under),
        created_before=_time(filters, "created_before", under),
    )


def _check_word(filters: Mapping[str, str], name: str, allowed: Iterable[str], under: str) -> None:
    """A word that no task could ever match is a mistake, not an empty list."""
    words = list(allowed)
    if filters.get(name, "") not in ("", *words):
        raise Invalid([Fault(path=f"{under}{name}", message=f"must be one of {', '.join(words)}")])


def _time(filters: Mapping[str, str], name: str, under: str) -> Ms | None:
    text = filters.get(name)
    try:
        return formats.time_of(text) if text else None
    except ValueError:
        message = "must be a time as 2026-11-20T19:48:00Z, or seconds since 1970"
        raise Invalid([Fault(path=f"{under}{name}", message=message)]) from None
