"""`taskweir sink`: a local webhook target that prints what arrives."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from receiver import formats, signing
from receiver.cli.commands import Failed
from receiver.cli.screen import output, padded, say, status_text
from receiver.cli.sink_app import Heard, create_sink, listen, server_for, url_of
from receiver.cli.sink_events import about
from receiver.cli.text import clock, compact
from receiver.domain import Format
from receiver.errors import Malformed

HOST, PORT = "127.0.0.1", 9500
_VERDICTS = {True: ("verified", "green"), False: ("NOT verified", "bold red"), None: ("unverified", "yellow")}

app = typer.Typer(add_completion=False)


@app.command()
def sink(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = PORT,
    secret: Annotated[
        str, typer.Option(metavar="whsec_…|whpk_…", help="The destination's signing secret, or its public key.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Receive webhooks, verify their signatures and print them."""
    if secret:
        try:
            signing.judge(secret)
        except Malformed as error:
            raise typer.BadParameter(str(error), param_hint="--secret") from None
    console = output()

    def hear(heard: Heard) -> None:
        say(console, json_line(heard) if as_json else line(heard))

    try:
        listener = listen(host, port)
    except OSError as error:
        raise Failed(f"cannot listen on {host} port {port}: {error.strerror}", "Choose another --port.") from None
    if not as_json:
        _greet(console, host, listener.getsockname(), verifies=bool(secret))
    try:
        server_for(create_sink(secret or None, hear)).run(sockets=[listener])
    except KeyboardInterrupt:
        return
    finally:
        listener.close()


def _greet(console: Console, host: str, address: Sequence[Any], *, verifies: bool) -> None:
    url = url_of(address)
    say(console, f"Webhooks to {url} are printed here. Ctrl-C ends it.")
    if not verifies:
        again = "taskweir sink"
        again += f" --host {host}" if host != HOST else ""
        again += f" --port {address[1]}" if address[1] != PORT else ""
        say(console, "Without --secret no signature is checked:")
        say(console, f"`taskweir destinations add {url}` prints one, `{again} --secret whsec_…` checks.")


def line(heard: Heard) -> Text:
    """What was heard, on one line; a body that is no event of ours is named by its id."""
    word, style = _VERDICTS[heard.verified]
    kind = heard.event.get("type") or heard.webhook_id or "not an event"
    named = heard.format and heard.format is not Format.STANDARD
    parts = [
        Text(clock(formats.timestamp(heard.at)), style="dim"),
        padded(Text(word, style=style), 12),
        padded(status_text(kind), 16),
        *(Text(part) for part in about(heard.event)),
        Text(f"({heard.format})" if named else "", style="dim"),
        Text(heard.fault or "", style="red"),
    ]
    return Text("  ").join(part for part in parts if part)


def json_line(heard: Heard) -> str:
    """The same for programs: `{at, verified, fault, webhook_id, format, event}`."""
    return compact(
        {
            "at": formats.timestamp(heard.at),
            "verified": heard.verified,
            "fault": heard.fault,
            "webhook_id": heard.webhook_id,
            "format": heard.format,
            "event": heard.event,
        }
    )
