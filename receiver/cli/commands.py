"""The list of commands, each loaded only when it is asked for, so that `serve` imports nothing it does not need."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from receiver.calling.errors import ClientError
from receiver.errors import ConfigurationError, TaskweirError

TRY, TALK = "Try it", "Talk to a server"
PANELS = {
    "demo": TRY,
    "sandbox": TRY,
    "sink": TRY,
    "listen": TALK,
    "submit": TALK,
    "adopt": TALK,
    "tasks": TALK,
    "events": TALK,
    "destinations": TALK,
    "deliveries": TALK,
    "providers": TALK,
    "keys": TALK,
}  # each command's module has its name; the panel is where the help shows it


class Failed(TaskweirError):
    """A command was refused or went wrong (exit status 1): what to tell, and further lines about it."""

    def __init__(self, message: str, *lines: str) -> None:
        super().__init__(message)
        self.lines = lines


class Commands(TyperGroup):
    """A group that has the commands of `PANELS` beside its own, and tells what went wrong without a traceback."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All of them, in the order of the help."""
        return [*PANELS, *(name for name in super().list_commands(ctx) if name not in PANELS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name; a name that nobody has loads them all, for "did you mean"."""
        if cmd_name in self.commands:
            return self.commands[cmd_name]
        wanted = [cmd_name] if cmd_name in PANELS else list(PANELS)
        self.commands.update({name: _load(name) for name in wanted})
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for: 1 where it failed, 2 where a setting is wrong."""
        try:
            return super().invoke(ctx)
        except Failed as failure:
            raise told(1, str(failure), *failure.lines) from None
        except ClientError as failure:
            from receiver.cli.text import plain  # they are the words of whoever answered, and may not steer a terminal

            raise told(1, *map(plain, (failure, *failure.lines))) from None
        except ConfigurationError as error:
            raise told(2, str(error), error.hint) from None


def told(status: int, *lines: str) -> typer.Exit:
    """Say on standard error what went wrong; gives the end of the command with that status."""
    typer.secho("taskweir: ", fg="red", bold=True, nl=False, err=True)
    typer.echo("\n  ".join(lines), err=True)
    return typer.Exit(status)


def _load(name: str) -> Any:
    command: Any = get_command(import_module(f"receiver.cli.{name}").app)
    command.name, command.rich_help_panel = name, PANELS[name]
    return command
