"""Which variables are named as unknown at the start, and what is taken to be meant."""

import pytest

from receiver.settings import PROVIDER_SETTINGS, SETTINGS
from receiver.strays import strays

ACCOUNTS = ("apikley", "reapi", "my-kie")


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("TASKWEIR_PUBLC_URL", "TASKWEIR_PUBLIC_URL"),
        ("TASKWEIR_DATABASE_URI", "TASKWEIR_DATABASE_URL"),
        ("TASKWEIR_REAPI_KEY", "TASKWEIR_REAPI_API_KEY"),
        ("TASKWEIR_APIKLY_API_KEY", "TASKWEIR_APIKLEY_API_KEY"),
        ("TASKWEIR_QQQQQ", None),
        ("TASKWEIR_FILE", None),
    ],
)
def test_what_nothing_reads_is_named_with_what_is_near(name: str, nearest: str | None) -> None:
    """Never its value."""
    assert strays({name: "secret"}, ACCOUNTS) == [(name, nearest)]


def test_whatever_is_read_is_known() -> None:
    """Every setting, those of each provider and account, each of them from a file; the command's, the tests'."""
    names = [row.name for row in SETTINGS]
    names += [row.name.replace("<NAME>", each.upper()) for row in PROVIDER_SETTINGS for each in ACCOUNTS]
    names += [f"{name}_FILE" for name in names]
    others = ["TASKWEIR_URL", "TASKWEIR_TEST_POSTGRES", "PORT", "PATH", "taskweir_x"]
    assert strays(dict.fromkeys([*names, *others], "x"), ACCOUNTS) == []
