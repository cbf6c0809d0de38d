"""Hands an event to a web server on this machine, signed as a webhook is."""

import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import typer

from receiver import json_text, signing
from receiver.client import Event

_LIMIT_S = 15.0  # as for every webhook


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What became of a post: its status, or why there was none, after so many milliseconds."""

    status: int | None
    error: str | None
    duration_ms: int

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def told(self) -> str:
        """As `200 OK`, or why there was no answer."""
        if self.status is None:
            return self.error or ""
        phrase = HTTPStatus(self.status).phrase if self.status in {each.value for each in HTTPStatus} else ""
        return f"{self.status} {phrase}".rstrip()


class Forwarder:
    """Posts to one URL, over connections that are kept; each event is signed with the secret, and sent once."""

    def __init__(self, url: str, secret: str) -> None:
        self._url, self._secret = url, secret
        loopback = urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")
        self._client = httpx.Client(timeout=_LIMIT_S, trust_env=not loopback)

    def close(self) -> None:
        self._client.close()

    def post(self, event: Event) -> Answered:
        """Send the event as a webhook has it: without `seq`, its id and the time of this attempt signed along."""
        fields: dict[str, Any] = {name: value for name, value in event.items() if name != "seq"}
        body = json_text.write(fields).encode()
        signed = signing.sign([self._secret], message_id=event.id, at=time.time_ns() // 1_000_000, body=body)
        headers = {"content-type": "application/json", "user-agent": "taskweir", **signed}
        began, status, error = time.monotonic(), None, None
        try:
            status = self._client.post(self._url, content=body, headers=headers).status_code
        except httpx.ConnectError:
            error = "nothing listens there"
        except httpx.HTTPError as failure:
            error = f"no answer ({type(failure).__name__})"
        return Answered(status=status, error=error, duration_ms=round((time.monotonic() - began) * 1000))


def target_of(text: str) -> str:
    """The URL in `localhost:3000/hooks` or `http://…`; raises `BadParameter`."""
    url = text if "://" in text else f"http://{text}"
    try:
        parsed = httpx.URL(url)
        usable = parsed.scheme in ("http", "https") and bool(parsed.host)
    except httpx.InvalidURL:
        usable = False
    if not usable:
        raise typer.BadParameter("must be a URL, as http://localhost:3000/hooks", param_hint="--forward-to")
    return url
