"""Finds everything that is wrong with the settings, each by its variable, where a start tells of the first only."""

from collections.abc import Iterator, Mapping, Sequence
from tempfile import TemporaryDirectory

from receiver import hosts
from receiver.errors import ConfigurationError
from receiver.guard import Guard
from receiver.settings import MIN_API_KEY, MIN_SECRET_KEY, PROVIDER_SETTINGS, SETTINGS, read_settings

_TOGETHER = {
    "TASKWEIR_PORT": ("PORT",),
    "TASKWEIR_DATABASE_URL": ("TASKWEIR_SECRET_KEY", "TASKWEIR_SECRET_KEY_FILE", *hosts.variables()),
    "TASKWEIR_API_KEY": hosts.variables(),
}
# What would be wrong without it, and is tried elsewhere.
_GIVEN = {
    "TASKWEIR_DATABASE_URL": {"TASKWEIR_API_KEY": "-" * MIN_API_KEY},
    "TASKWEIR_API_KEY": {"TASKWEIR_DATABASE_URL": "postgresql://-", "TASKWEIR_SECRET_KEY": "-" * MIN_SECRET_KEY},
}


def setting_faults(environment: Mapping[str, str], adapters: Mapping[str, str]) -> dict[str, ConfigurationError]:
    """What is wrong, by the variable that it is wrong with; `adapters` as for `read_settings`.

    Each variable is tried alone, so that none hides another; a provider's are tried together, for without its key they
    mean nothing.
    """
    faults = {}
    with TemporaryDirectory() as elsewhere:  # for the keys that a start would generate: who looks leaves none behind
        for name, names in _groups(adapters):
            alone = {each: environment[each] for each in names if each in environment}
            try:
                settings = read_settings({**_GIVEN.get(name, {}), **alone, "TASKWEIR_DATA_DIR": elsewhere}, adapters)
                Guard(settings.allow_networks)
            except ConfigurationError as error:
                faults[_named(error, name, names)] = error
    return faults


def _named(error: ConfigurationError, name: str, names: Sequence[str]) -> str:
    """The variable that an error is about: of a provider's, told as `TASKWEIR_REAPI: rate is …`, the one it names."""
    prefix, _, rest = str(error).partition(": ")
    told = f"{prefix}_{rest.partition(' ')[0].upper()}"
    first = str(error).partition(" ")[0]
    return next((each for each in (told, first) if each in names), name)


def _groups(adapters: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """The variables that are read together, under the name of the first of them."""
    for setting in SETTINGS:
        yield setting.name, [setting.name, f"{setting.name}_FILE", *_TOGETHER.get(setting.name, ())]
    for adapter in sorted(adapters):
        names = [each.name.replace("<NAME>", adapter.upper()) for each in PROVIDER_SETTINGS]
        yield names[0], [form for name in names for form in (name, f"{name}_FILE")]
