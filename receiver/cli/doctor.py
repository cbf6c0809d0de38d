"""`taskweir doctor`: looks at everything that a server needs, and says what to do about what is wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from rich.text import Text

from adapters.base import Adapter
from receiver.cli.checkup import accounts, disk, given, kept, reached
from receiver.cli.checkup.findings import Finding, State
from receiver.cli.commands import Failed
from receiver.cli.screen import aside, output, padded, say
from receiver.cli.text import plain, pretty

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.WRONG: "bold red", State.SKIPPED: "dim"}
_CHECK_WIDTH = 12
_STATE_WIDTH = 7


def examine(environment: Mapping[str, str], adapters: Mapping[str, Adapter]) -> list[Finding]:
    """Everything that can be found from here; nothing is changed, and no key generated."""
    found = given.read(environment, adapters)
    settings = found.settings
    callers = {name: each for name, each in settings.providers.items() if adapters[each.adapter].profile.takes_callback}
    store, database_ahead = kept.look(found)
    asked, ahead = accounts.look(settings.providers, adapters)
    return [
        *given.look(environment, found),
        *disk.look(settings),
        *store,
        accounts.clock([*ahead, *([] if database_ahead is None else [database_ahead])]),
        *asked,
        *reached.server(found),
        *reached.command_line(environment, found),
        reached.public_url(found, callers),
    ]


def tell(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print what was found; raises `Failed` where anything is wrong."""
    if as_json:
        say(output(), pretty([asdict(each) for each in findings]))
    else:
        for each in findings:
            say(output(), _line(each))
    counts = Counter(each.state for each in findings)
    if counts[State.WRONG]:
        raise Failed(
            f"{counts[State.WRONG]} wrong; what to do stands beside each" if not as_json else "not all is well"
        )
    if not as_json:
        warned = f", {counts[State.WARNING]} to think about" if counts[State.WARNING] else ""
        say(aside(), f"nothing wrong{warned}")


def _line(found: Finding) -> Text:
    line = Text("  ").join(
        [
            padded(Text(found.state.value, style=_STYLES[found.state]), _STATE_WIDTH),
            padded(Text(plain(found.check)), _CHECK_WIDTH),
            Text(plain(found.text)),
        ]
    )
    if found.remedy:
        line += Text(f"\n{' ' * (_STATE_WIDTH + _CHECK_WIDTH + 4)}{plain(found.remedy)}", style="bold")
    return line
