"""`python -m tests.bench.scaling`: print the tables of deploy/SCALING.md, or `--write` them into it."""

import re
from pathlib import Path
from typing import Annotated

import typer

from tests.bench.scaling.measured import Measured, kept, take
from tests.bench.scaling.tables import TABLES, markdown

PAGE = Path(__file__).parents[3] / "deploy" / "SCALING.md"


def main(
    taken: Annotated[
        Path | None, typer.Option("--take", help="A bench.json whose figures are kept from now on.")
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Into deploy/SCALING.md, in the place of those there.")
    ] = False,
) -> None:
    """Print each table under its name; all are simulated anew from what was measured."""
    if taken is not None:
        take(taken)
    if write:
        PAGE.write_text(filled(PAGE.read_text(), kept()))
        return
    for name, table in TABLES.items():
        typer.echo(f"{name}\n\n{markdown(table(kept()))}\n")


def filled(page: str, measured: Measured) -> str:
    """A page with every table that it names, each between a comment and an empty line, as it is now."""
    for name, table in TABLES.items():
        begins = f"<!-- {name} -->\n\n"
        assert page.count(begins) == 1, name
        page = re.sub(
            f"{re.escape(begins)}(?:\\|.*\n)*", lambda _, t=table, b=begins: f"{b}{markdown(t(measured))}\n", page
        )
    return page


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    app.command()(main)
    app()
