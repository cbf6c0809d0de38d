"""Finds variables that look like settings of ours and are read by nothing: most are misspelt."""

import difflib
from collections.abc import Iterable, Mapping

from receiver.settings import PROVIDER_SETTINGS, SETTINGS
from receiver.telemetry import log

_PREFIX = "TASKWEIR_"
_OTHERS = ("TASKWEIR_URL",)  # what the command line reads
_OF_TESTS = "TASKWEIR_TEST_"


def strays(environment: Mapping[str, str], accounts: Iterable[str]) -> list[tuple[str, str | None]]:
    """Each with the known name nearest to it, where one is near; never a value.

    `accounts` names the installed adapters, and the further accounts that are configured.
    """
    known = [*_OTHERS, *(row.name for row in SETTINGS)]
    for account in dict.fromkeys(accounts):
        known += [row.name.replace("<NAME>", account.upper()) for row in PROVIDER_SETTINGS]
    return [
        (name, _nearest(name, known))
        for name in sorted(environment)
        if name.startswith(_PREFIX) and not name.startswith(_OF_TESTS) and name.removesuffix("_FILE") not in known
    ]


def stray_words(name: str, nearest: str | None) -> tuple[str, str]:
    """What to say of one to people, and what to do about it."""
    remedy = f"{nearest} is probably meant: rename it." if nearest else "`taskweir settings` names all that there are."
    return f"{name} is set, and nothing reads it", remedy


def warn_of_strays(environment: Mapping[str, str], accounts: Iterable[str]) -> None:
    """A line in the log for each."""
    for name, nearest in strays(environment, accounts):
        log.warning("setting.unknown", setting=name, nearest=nearest)


def _nearest(name: str, known: Iterable[str]) -> str | None:
    # Their common beginning would make any two of them alike; a provider's name that is right is what is meant.
    words = [each.removeprefix(_PREFIX) for each in known]
    meant = name.removeprefix(_PREFIX)
    first = meant.partition("_")[0] + "_"
    near = difflib.get_close_matches(meant, [each for each in words if each.startswith(first)] or words, n=1)
    return f"{_PREFIX}{near[0]}" if near else None
