"""`taskweir sandbox`: the providers' side of the wire, for trying things out."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from adapters.sandbox.server import create_app, installed_providers, serve
from receiver.cli.commands import Failed
from receiver.cli.screen import output, say

app = typer.Typer(add_completion=False)


@app.command()
def sandbox(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes any free one.")] = 9400,
    finish_after: Annotated[float, typer.Option(min=0, help="Seconds until a task is done.")] = 2.0,
    ledger: Annotated[Path | None, typer.Option(help="Append a JSON line for each task made and ended.")] = None,
) -> None:
    """Play the four providers: no key, no cost, no internet."""
    try:
        application = create_app(finish_after_s=finish_after, ledger=ledger)
    except OSError as error:
        raise Failed(f"{ledger} cannot be written: {error.strerror}") from None
    try:
        asyncio.run(serve(application, host=host, port=port, ready=_tell))
    except OSError as error:
        raise Failed(f"cannot listen on {host} port {port}: {error.strerror}", "Choose another --port.") from None
    except KeyboardInterrupt:
        return


def _tell(url: str) -> None:
    console = output()
    say(console, f"The providers' sandbox listens at {url}. To point a server at it:")
    for name in installed_providers():
        prefix = f"TASKWEIR_{name.upper()}"
        say(console, f"  export {prefix}_BASE_URL={url}/{name} {prefix}_API_KEY=sandbox")
    say(console, "Words such as [fail], [slow] or [no-callback] in a prompt steer a task. Ctrl-C ends it.")
