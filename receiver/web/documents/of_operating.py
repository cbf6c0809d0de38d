"""The operations for whoever operates us."""

from receiver.web.bodies import NothingIn
from receiver.web.documents import examples
from receiver.web.documents.operating_answers import Live, Me, Provider, ProviderList, Ready, Resealed, Ticked, Unready
from receiver.web.documents.operation import Answer, Operation, Parameter

TAG, HEALTH = "Operating", "Health"
_NAME = {"name": "The provider's name."}
_SHOWN = Answer(text="The provider.", model=Provider, example=examples.PROVIDER)
_BUDGET = Parameter(
    name="budget_ms",
    schema={"type": "integer", "minimum": 0, "maximum": 3_600_000, "default": 25_000},
    text="How long this call may take, in milliseconds.",
    may_be_empty=True,
)
_TICKED = Answer(
    text="What was done.",
    model=Ticked,
    example={"submitted": 1, "polled": 4, "delivered": 2, "next_due_at": examples.NOW},
)
_LOOPS = {"submits": {"moved_s_ago": 0.2, "oldest_due_s": 0.0}}
_HEALTH = {
    ("/health/live", "isLive", "Does the process answer?"): {
        200: Answer(text="It does.", model=Live, example={"status": "live"})
    },
    ("/health/ready", "isReady", "Is the process fit for work?"): {
        200: Answer(text="It is.", model=Ready, example={"status": "ready", "warnings": [], "loops": _LOOPS}),
        503: Answer(
            text="It is not, and this is why.",
            model=Unready,
            example={"status": "unready", "reason": "the server is stopping", "warnings": [], "loops": _LOOPS},
        ),
    },
}
_SHORT = {"/health/live": ("/healthz", "isLiveShort"), "/health/ready": ("/readyz", "isReadyShort")}

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/me",
        name="getMe",
        tag=TAG,
        summary="Whose key this is",
        scope="read",
        answers={
            200: Answer(
                text="The key's tenant and scopes.",
                model=Me,
                example={"tenant": "default", "label": "root", "scopes": ["read", "submit", "admin"]},
            )
        },
    ),
    Operation(
        method="GET",
        path="/v1/providers",
        name="listProviders",
        tag=TAG,
        summary="What is configured, and how it stands",
        scope="read",
        answers={200: Answer(text="All of them.", model=ProviderList, example=examples.page(examples.PROVIDER))},
        problems=(422,),
    ),
    *(
        Operation(
            method="POST",
            path=f"/v1/providers/{{name}}/{act}",
            name=f"{act}Provider",
            tag=TAG,
            summary=summary,
            scope="root",
            ids=_NAME,
            answers={200: _SHOWN},
        )
        for act, summary in (
            ("pause", "Hand nothing over to a provider; polls go on"),
            ("resume", "Hand over to a provider again"),
        )
    ),
    *(
        Operation(
            method=method,
            path="/internal/tick",
            name=name,
            tag=TAG,
            summary="Do all that is due",
            text="The heartbeat of hosts that call now and then; safe to call concurrently.",
            scope="clock",
            parameters=(_BUDGET,),
            answers={200: _TICKED},
            problems=(404,),
        )
        for method, name in (("GET", "tick"), ("POST", "tickByPost"))
    ),
    Operation(
        method="POST",
        path="/internal/rotate-secrets",
        name="rotateSecrets",
        tag=TAG,
        summary="Seal all secrets with the first of `TASKWEIR_SECRET_KEY`",
        scope="root",
        body=NothingIn,
        needed=False,
        answers={
            200: Answer(
                text="What was sealed anew.", model=Resealed, example={"resealed": 3, "already": 0, "unreadable": 0}
            )
        },
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        tag=TAG,
        summary="For Prometheus",
        text="Open where `TASKWEIR_METRICS_OPEN=1`.",
        scope="root",
        answers={200: Answer(text="Prometheus's text format.", media="text/plain")},
    ),
    *(
        Operation(method="GET", path=path, name=name, tag=HEALTH, summary=summary, scope=None, answers=answers)
        for (long, long_name, summary), answers in _HEALTH.items()
        for path, name in ((long, long_name), _SHORT[long])
    ),
)
