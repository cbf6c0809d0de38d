"""`taskweir listen`: events on this machine as they come, handed to a web server that is being written."""

import os
from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated

import typer
from rich.text import Text

from receiver import signing
from receiver.cli.events import event_line
from receiver.cli.follow import Patience
from receiver.cli.forward import Answered, Forwarder, target_of
from receiver.cli.screen import aside, output, say
from receiver.cli.text import comma_separated, compact, plain
from receiver.client import Event, Taskweir
from receiver.errors import Malformed

app = typer.Typer(add_completion=False)


@app.command()
def listen(
    forward_to: Annotated[
        str, typer.Option(metavar="URL", help="Post each event there, signed; localhost:3000/hooks will do.")
    ] = "",
    events: Annotated[list[str] | None, typer.Option(help="Only these, for example task.finished.")] = None,
    provider: Annotated[str, typer.Option(help="Only about tasks at this provider.")] = "",
    task: Annotated[str, typer.Option(help="Only about this task.")] = "",
    after: Annotated[
        int | None, typer.Option(min=0, help="Start after the event with this seq (0: the oldest kept), not now.")
    ] = None,
    secret: Annotated[str, typer.Option(metavar="whsec_…", help="Sign with this, not with a new one.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object per line.")] = False,
) -> None:
    """Print events as they come, and post each to a server of yours as a webhook is: no public URL is needed.

    Each is posted once, whatever the answer; a server that is started anew is waited for, and none is missed.
    """
    url, signs = target_of(forward_to) if forward_to else "", secret or signing.new_secret(os.urandom(32))
    try:
        signing.judge(signs)
    except Malformed as error:
        raise typer.BadParameter(str(error), param_hint="--secret") from None
    try:
        with ExitStack() as stack:
            client = stack.enter_context(Taskweir(retries=0))
            forwarder = Forwarder(url, signs) if url else None
            if forwarder:
                stack.callback(forwarder.close)
            _greet(url, signs, as_json=as_json)
            types = comma_separated(events or []) or None
            following = client.events(
                after=after,
                follow=True,
                type=types,
                provider=provider or None,
                task_id=task or None,
                patience=Patience(None),
            )
            for event in following:
                _print(event, forwarder.post(event) if forwarder else None, as_json=as_json)
    except KeyboardInterrupt:
        return


def _greet(url: str, secret: str, *, as_json: bool) -> None:
    console = aside() if as_json else output()
    if url:
        say(console, f"Events go to {plain(url)}, signed with {secret}")
    say(console, "Waiting for events. Ctrl-C ends it." if url else "Printing events as they come. Ctrl-C ends it.")


def _print(event: Event, answered: Answered | None, *, as_json: bool) -> None:
    if as_json:
        say(output(), compact({"event": event, "answer": asdict(answered) if answered else None}))
        return
    line = event_line(event)
    if answered is not None:
        line = line + Text(f"  -> {answered.told}", style="green" if answered.taken else "bold red")
        line += Text(f"  {answered.duration_ms} ms", style="dim")
    say(output(), line)
