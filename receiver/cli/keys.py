"""`taskweir keys`: the keys of the server itself."""

from typing import Annotated

import typer

from receiver.cli.commands import Failed
from receiver.cli.screen import aside, output, say
from receiver.cli.text import pretty
from receiver.client import Taskweir

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Look after the server's own keys.")


@app.callback()
def keys() -> None:
    """Look after the server's own keys."""


@app.command()
def rotate_secrets(
    as_json: Annotated[bool, typer.Option("--json", help="Print what was counted as JSON.")] = False,
) -> None:
    """Seal every secret with the first key of TASKWEIR_SECRET_KEY, so that the others can be taken away.

    Put the new key first, restart the server, run this, take the old key away. It may be broken off and run again.
    """
    with Taskweir(retries=0) as client:
        done = client.rotate_secrets()
    if as_json:
        say(output(), pretty(done))
    else:
        say(aside(), f"{done['resealed']} resealed, {done['already']} were so already")
    if done["unreadable"]:
        raise Failed(
            f"{done['unreadable']} need a key that TASKWEIR_SECRET_KEY does not hold",
            "Add that key to the end of the list, restart and run this again; or rotate those secrets.",
        )
    say(
        aside(),
        "No secret needs the other keys of TASKWEIR_SECRET_KEY any more. They still verify the callback URLs of tasks\n"
        "that were submitted under them: take them away once those are done, or let their polls find out.",
    )
