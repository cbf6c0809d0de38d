"""What is done to one destination: its secret shown or renewed, a ping, a replay, the switch."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from receiver.cli.commands import Failed
from receiver.cli.screen import aside, output, say
from receiver.cli.text import comma_separated, duration, plain, pretty, since_of
from receiver.client import Destination, Taskweir

Id = Annotated[str, typer.Argument(help="The destination's id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]


def secret(id: Id, as_json: AsJson = False) -> None:
    """Print a webhook's signing secret."""
    with Taskweir(retries=0) as client:
        found = client.destination_secret(id)
    _print_secret(found, as_json=as_json)


def rotate(
    id: Id,
    overlap: Annotated[int, typer.Option(min=0, help="Seconds for which the old secret signs along.")] = 86_400,
    as_json: AsJson = False,
) -> None:
    """Make a new signing secret, and print it; the old one signs along for a day, or as long as you say."""
    with Taskweir(retries=0) as client:
        made = client.rotate_secret(id, overlap_seconds=overlap)
    _print_secret(made, as_json=as_json)
    along = f"the old one signs along for {duration(overlap)}" if overlap else "the old one signs nothing any more"
    say(aside(), f"{along}; give the new one to the consumer")


def ping(id: Id, as_json: AsJson = False) -> None:
    """Send a ping now, and tell what came of it: status 1 unless it was taken with a 2xx."""
    with Taskweir(retries=0) as client:
        attempt = client.test_destination(id)
    if as_json:
        say(output(), pretty(attempt))
    status = attempt["status"]
    said = plain(attempt["error"] or ("written" if status is None else status))
    if attempt["error"] is None and (status is None or 200 <= status < 300):
        say(aside(), f"{said}, within {attempt['duration_ms']} ms")
        return
    raise Failed(f"the ping was not taken: {said}", *filter(None, [plain(attempt["response"])]))


def replay(
    id: Id,
    since: Annotated[
        str, typer.Option(help="From then on: 2026-11-20T19:48:00Z, or 90min, 2h, 3d ago.", show_default=False)
    ] = "",
    until: Annotated[str, typer.Option(help="Before then, written alike; otherwise up to now.")] = "",
    events: Annotated[list[str] | None, typer.Option(help="Only these event types.")] = None,
    only: Annotated[str, typer.Option(help="missing, dead or all.")] = "missing",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and do nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Deliver past events to it: what it missed, what died, or all, as far as its filters want them now."""
    if not since:
        raise typer.BadParameter(
            "say from when on: 2h, 3d or 2026-11-20T19:48:00Z; --dry-run counts only", param_hint="--since"
        )
    with Taskweir(retries=0) as client:
        count = client.replay(
            id,
            since=since_of(since),
            until=since_of(until) if until else None,
            event_types=comma_separated(events or []) or None,
            only=only,
            dry_run=dry_run,
        )
    if as_json:
        say(output(), pretty({"count": count}))
        return
    say(output(), str(count))
    say(aside(), "events would be delivered" if dry_run else f"events are on their way to {plain(id)}")


def enable(id: Id, as_json: AsJson = False) -> None:
    """Deliver to it again; what waited goes out now."""
    with Taskweir(retries=0) as client:
        found = client.enable_destination(id)
    _tell_state(found, as_json=as_json)
    if not as_json:
        say(aside(), f"what it missed while it was disabled: taskweir destinations replay {plain(id)} --since 2d")


def disable(id: Id, as_json: AsJson = False) -> None:
    """Deliver nothing to it until it is enabled; what is pending waits, new events are not for it."""
    with Taskweir(retries=0) as client:
        found = client.disable_destination(id)
    _tell_state(found, as_json=as_json)


def _tell_state(found: Destination, *, as_json: bool) -> None:
    if as_json:
        say(output(), pretty(found))
    else:
        say(aside(), f"{plain(found.id)} {plain(found.state)}")


def _print_secret(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        say(output(), pretty(found))
        return
    say(output(), plain(found["secret"]))
    tell_how_to_verify(found)


def tell_how_to_verify(found: Mapping[str, Any]) -> None:
    """What a consumer needs of a destination's secret: all of a shared one, the public half of a key pair."""
    key, how = found["secret"], "Every Standard Webhooks library verifies the signature with this secret"
    if "public_key" in found:
        key = found["public_key"]
        how = f"Consumers verify the ed25519 signature with its public key, {plain(key)}"
    say(aside(), f"{how}; to see it done:\ntaskweir sink --secret {plain(key)}")
