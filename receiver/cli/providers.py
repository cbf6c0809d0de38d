"""`taskweir providers`: how each stands, and the operator's pause."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.text import Text

from receiver.cli.screen import aside, output, print_list, say
from receiver.cli.text import age, moment, plain, pretty
from receiver.client import ProviderStanding, Taskweir

Name = Annotated[str, typer.Argument(help="The provider's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]

app = typer.Typer(add_completion=False, help="See how providers stand; pause and resume one.")


@app.callback(invoke_without_command=True)
def providers(context: typer.Context, as_json: AsJson = False) -> None:
    """See how providers stand; pause and resume one."""
    if context.invoked_subcommand is None:
        list_providers(as_json)


@app.command("list")
def list_providers(as_json: AsJson = False) -> None:
    """List what is configured: paused or not and why, what is with it, what went wrong last."""
    with Taskweir(retries=0) as client:
        found = client.providers()
    columns = ("provider", "state", "learns by", "in flight", "waiting", "last error")
    none = "no provider is configured; `taskweir settings` names the variables"
    print_list(found, columns, _row, whole=5, as_json=as_json, none=none)


@app.command()
def pause(name: Name, as_json: AsJson = False) -> None:
    """Hand nothing over to it until it is resumed; tasks wait here, what it has is still asked about."""
    with Taskweir(retries=0) as client:
        _tell(client.pause_provider(name), as_json=as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Hand over again, whoever paused it."""
    with Taskweir(retries=0) as client:
        _tell(client.resume_provider(name), as_json=as_json)


def _tell(found: ProviderStanding, *, as_json: bool) -> None:
    if as_json:
        say(output(), pretty(found))
        return
    waits = f"; {found.waiting} tasks wait for it" if found.waiting else ""
    say(aside(), f"{plain(found.name)} {'paused' if found.paused else 'at work'}{waits}")


def _row(found: Mapping[str, Any]) -> Sequence[str | Text]:
    state = Text("at work", style="green")
    if found["paused"]:
        probe = f", asked again {moment(found['next_probe_at'])}" if found.get("next_probe_at") else ""
        since = f" for {age(found['since'])}" if found.get("since") else ""
        state = Text(plain(f"paused ({found['reason']}){since}{probe}"), style="red")
    counts = plain(found["in_flight"]), plain(found["waiting"])
    return found["name"], state, found["learns_by"], *counts, plain(found["last_error"])
