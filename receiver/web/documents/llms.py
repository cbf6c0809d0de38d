"""The API for language models: one page of Markdown, as llmstxt.org asks for it."""

import json
from itertools import groupby

from receiver.web.documents.operation import Operation
from receiver.web.documents.samples import TYPES, path_of
from receiver.web.documents.schemas import told_of
from receiver.web.documents.table import OPERATIONS

_ABOUT = """# Taskweir

> One event stream for every async generation API: Taskweir submits tasks to providers of video, image and audio \
models, takes their callbacks, polls where there are none, and brings each outcome as one signed \
event to webhooks, or to a log.

- Every call but those of health and of these documents takes `Authorization: Bearer <API key>`.
- A task is `queued`, `submitting`, `submitted`, `running` or `unconfirmed` (sent, and nobody knows \
whether the provider took it: it is never sent again by itself), and \
ends `succeeded`, `failed`, `canceled` or `expired`.
- `input` is the provider's own parameters, unchanged. Unknown fields elsewhere are refused with 422, with their path.
- Send an `Idempotency-Key` with a submit: repeated, it makes no second task.
- To have results, either wait (`GET /v1/tasks/{id}?wait=60`), or read `GET /v1/events?after=<next_cursor>`, or take \
webhooks (Standard Webhooks 1.0.0; verify `webhook-signature` over the raw body, and answer 2xx within 15 s).
- Events come at least once; `id` is the same on every attempt. Refusals are `application/problem+json` with `detail`, \
and `errors` for bad fields.

Submit a task:

```http
POST /v1/tasks
Authorization: Bearer <API key>
Idempotency-Key: order-42
Content-Type: application/json

SUBMIT
```
"""


def llms() -> str:
    """The whole page."""
    submit = next(each for each in OPERATIONS if each.name == "submitTask")
    [body] = submit.examples.values()
    sections = [
        _ABOUT.replace("SUBMIT", json.dumps(body, indent=2)),
        _section(
            "Documents",
            [
                ("OpenAPI 3.1", "/openapi.json", "every operation, every webhook, with schemas and examples"),
                ("AsyncAPI 3.0", "/asyncapi.json", "what goes out: webhooks and the stream"),
                ("The same for people", "/docs", "a viewer, in which operations can be tried"),
            ],
        ),
        *(_operations(tag, list(each)) for tag, each in groupby(OPERATIONS, lambda each: each.tag)),
        _section("Optional", [(each, path_of(each), told_of(each)) for each in TYPES]),
    ]
    return "\n".join(sections)


def _section(title: str, links: list[tuple[str, str, str]]) -> str:
    lines = "\n".join(f"- [{name}]({url}): {told}" for name, url, told in links)
    return f"## {title}\n\n{lines}\n"


def _operations(tag: str, operations: list[Operation]) -> str:
    """Each links to where the viewer shows it."""
    links = [(f"{each.method} {each.path}", f"/docs#/{tag}/{each.name}", each.summary) for each in operations]
    return _section(tag, links)
