"""`taskweir keys`: who may call the server, and what it seals secrets with."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from receiver.cli.commands import Failed
from receiver.cli.screen import aside, output, print_list, say
from receiver.cli.text import age, comma_separated, moment, plain, pretty
from receiver.client import Taskweir

AsJson = Annotated[bool, typer.Option("--json", help="Print it as JSON.")]
Tenant = Annotated[str, typer.Option(help="Of this tenant; for the root key.", show_default=False)]
_ROOTS_OWN = "default"  # any other key finds at least itself

app = typer.Typer(add_completion=False, help="Make, list and revoke API keys; seal secrets anew (rotate-secrets).")


@app.callback(invoke_without_command=True)
def keys(context: typer.Context, tenant: Tenant = "", as_json: AsJson = False) -> None:
    """Make, list and revoke API keys; seal secrets anew (rotate-secrets)."""
    if context.invoked_subcommand is None:
        list_keys(tenant, as_json)


@app.command("list")
def list_keys(tenant: Tenant = "", as_json: AsJson = False) -> None:
    """List API keys, newest first; the keys themselves are kept nowhere."""
    with Taskweir(retries=0) as client:
        found = list(client.keys(tenant=tenant or None))
    none = (
        f"no API keys of the tenant {plain(tenant or _ROOTS_OWN)}; "
        "--tenant NAME lists another's, `taskweir keys create LABEL` makes one"
    )
    print_list(
        found, ("key", "label", "scopes", "tenant", "made", "last used"), _row, whole=1, as_json=as_json, none=none
    )


@app.command()
def create(
    label: Annotated[str, typer.Argument(help="Who it is for, in words.")],
    scopes: Annotated[
        list[str] | None, typer.Option("--scope", help="read, submit, admin; read,submit if left out.")
    ] = None,
    tenant: Tenant = "",
    as_json: AsJson = False,
) -> None:
    """Make an API key; it is printed now, and never again."""
    with Taskweir(retries=0) as client:
        made = client.create_key(label, comma_separated(scopes or ["read,submit"]), tenant=tenant or None)
    if as_json:
        say(output(), pretty(made))
        return
    say(output(), plain(made.key))
    say(aside(), f"{plain(made.id)} may {', '.join(map(plain, made.scopes))}; keep the key: it is not shown again")


@app.command()
def revoke(id: Annotated[str, typer.Argument(help="The key's id, not the key.")], tenant: Tenant = "") -> None:
    """Let an API key open nothing any more."""
    with Taskweir(retries=0) as client:
        client.revoke_key(id, tenant=tenant or None)
    say(aside(), f"{plain(id)} revoked")


def _row(found: Mapping[str, Any]) -> Sequence[str]:
    scopes, used = ", ".join(map(plain, found["scopes"])), found.get("last_used_at")
    made = moment(found["created_at"])
    return (
        found["id"],
        plain(found["label"]),
        scopes,
        plain(found["tenant"]),
        made,
        f"{age(used)} ago" if used else "never",
    )


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
