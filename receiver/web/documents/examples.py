"""Examples of what is answered, made by what makes the real answers where that is a function."""

from typing import Any

from receiver import formats
from receiver.domain import SECOND, EventType
from receiver.made_up import DELIVERY_ID, DESTINATION_ID, PROMPT, task_of
from receiver.web.documents.samples import AT, SEQ, sample

NOW = formats.timestamp(AT)

TASK: dict[str, Any] = formats.task_fields(task_of(EventType.SUBMITTED)) | {
    "input": {"prompt": PROMPT},
    "waiting_for": {
        "what": "poll",
        "since": formats.timestamp(AT + SECOND),
        "next_at": formats.timestamp(AT + 75 * SECOND),
        "text": "handed over to apikley 2 s ago; callback expected; next poll in 72 s",
    },
}
NEW_TASK = TASK | {"watch_url": "https://taskweir.example/v1/watch/eyJ0YXNrIjoi"}
EVENT: dict[str, Any] = {"seq": SEQ, **sample(EventType.SUCCEEDED)}
ATTEMPT: dict[str, Any] = {"number": 1, "at": NOW, "status": 503, "duration_ms": 12, "error": None, "response": "later"}
DELIVERY: dict[str, Any] = {
    "id": DELIVERY_ID,
    "event_id": EVENT["id"],
    "destination_id": DESTINATION_ID,
    "task_id": EVENT["data"]["task"]["id"],
    "state": "pending",
    "attempts": 1,
    "next_attempt_at": formats.timestamp(AT + 5 * SECOND),
    "created_at": NOW,
}
DELIVERY_WHOLE = DELIVERY | {"blocked_reason": None, "attempt_log": [ATTEMPT]}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - the example of the standard's own pages
DESTINATION: dict[str, Any] = {
    "id": DESTINATION_ID,
    "type": "webhook",
    "url": "https://app.example/hooks/taskweir",
    "event_types": ["task.finished", "task.unconfirmed"],
    "providers": None,
    "models": None,
    "metadata": None,
    "format": "standard",
    "description": "",
    "headers": {"x-team": "set"},
    "signature": "v1",
    "rate_per_second": None,
    "ordered": False,
    "max_in_flight": 32,
    "enabled": True,
    "state": "healthy",
    "disabled_reason": None,
    "blocked_reason": None,
    "failing": None,
    "created_at": NOW,
}
PROVIDER: dict[str, Any] = {
    "name": "apikley",
    "adapter": "apikley",
    "learns_by": "callback",
    "trust": "poll",
    "paused": False,
    "reason": None,
    "since": None,
    "next_probe_at": None,
    "in_flight": 3,
    "waiting": 0,
    "last_error": None,
}
TIMELINE: list[dict[str, Any]] = [
    {
        "at": NOW,
        "kind": "task",
        "text": "bytedance/v1-pro-text-to-video was asked for at apikley, to be done within 1 h; "
        "apikley is to call back, and is asked as well.",
        "data": {"provider": "apikley", "model": "bytedance/v1-pro-text-to-video", "retry_of": None},
    }
]


def page(item: dict[str, Any]) -> dict[str, Any]:
    """A list with one item, and no more."""
    return {"items": [item], "next_cursor": None}
