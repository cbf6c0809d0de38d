"""A made-up provider that signs its callbacks, asks whether the URL is ours, and tells several things at once."""

import base64
import hmac
from collections.abc import Iterable, Sequence

from adapters.base import (
    Accepted,
    Adapter,
    Ambiguous,
    Input,
    PollAnswer,
    PollFailed,
    Profile,
    SubmitAnswer,
    failure_of_status,
)
from adapters.reading import object_in, outputs_of, text_at, urls_at
from receiver import json_text
from receiver.domain import Kind, Ms, Pace, Provider, Status, Update
from receiver.errors import Fault, Malformed, NotVerified
from receiver.wire import Call, Callback, Reply

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_TOLERANCE: Ms = 300_000
_STATUSES = {"waiting": Status.SUBMITTED, "running": Status.RUNNING, "done": Status.SUCCEEDED, "error": Status.FAILED}


class Signs(Adapter):
    """`POST /jobs`, `GET /jobs/{id}`; a callback is a list of jobs, signed as Standard Webhooks are."""

    profile = Profile(
        base_url="https://signs.example",
        pace=(Pace(0, 5),),
        deadline_s=3600,
        takes_callback=True,
        signs_callbacks=True,
    )

    def check_shape(self, model: str, input: Input) -> Iterable[Fault]:
        return ()

    def submit(self, provider: Provider, model: str, input: Input, callback_url: str | None) -> Call:
        body = json_text.write({"model": model, "hook": callback_url, **input}).encode()
        return Call(method="POST", url=f"{provider.base_url}/jobs", body=body)

    def read_submit(self, reply: Reply, *, media: Kind, now: Ms) -> SubmitAnswer:
        body = object_in(reply.body) or {}
        if text_at(body.get("id")):
            return Accepted(update=_update(body, media))
        return Ambiguous(failure=failure_of_status(reply.status, "no id"))

    def poll(self, provider: Provider, provider_task_id: str) -> Call:
        return Call(method="GET", url=f"{provider.base_url}/jobs/{provider_task_id}")

    def read_poll(self, reply: Reply, *, media: Kind, now: Ms) -> PollAnswer:
        body = object_in(reply.body)
        return _update(body, media) if body else PollFailed(failure=failure_of_status(reply.status, "no job"))

    def read_callback(self, callback: Callback, *, media: Kind, now: Ms) -> Sequence[Update]:
        jobs = (object_in(callback.body) or {}).get("jobs")
        if not isinstance(jobs, list):
            raise Malformed("a callback without jobs")
        return [_update(job, media) for job in jobs if isinstance(job, dict)]

    def verify_callback(self, callback: Callback, secret: str, *, now: Ms) -> None:
        at, given = callback.headers.get("webhook-timestamp", ""), callback.headers.get("webhook-signature", "")
        if not (at.isascii() and at.isdigit() and len(at) < 12 and abs(now - int(at) * 1000) < _TOLERANCE):
            raise NotVerified("signed too long ago, or never")
        content = f"{callback.headers.get('webhook-id', '')}.{at}.".encode() + callback.body
        digest = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), content, "sha256")
        expected = b"v1," + base64.b64encode(digest)
        if not any(hmac.compare_digest(expected, entry.encode()) for entry in given.split(" ")):
            raise NotVerified("no signature matches")

    def answer_challenge(self, callback: Callback) -> bytes | None:
        challenge = text_at((object_in(callback.body) or {}).get("challenge"))
        return json_text.write({"challenge": challenge}).encode() if challenge else None


class TakesNoSignature(Signs):
    """The same, but for what it says of itself."""

    profile = Profile(base_url="https://signs.example", pace=(Pace(0, 5),), deadline_s=3600, takes_callback=True)


class Base(Signs):
    """What an adapter that overrides neither answers."""

    verify_callback = Adapter.verify_callback
    answer_challenge = Adapter.answer_challenge


def _update(job: dict[str, object], media: Kind) -> Update:
    word = text_at(job.get("status")) or ""
    return Update(
        status=_STATUSES.get(word),
        provider_status=word or None,
        provider_task_id=text_at(job.get("id")),
        outputs=outputs_of(urls_at(job.get("urls")), media) if word == "done" else (),
    )
