"""Finds everything that is wrong with the settings, each by its variable, where a start tells of the first only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from tempfile import TemporaryDirectory

from adapters.base import Adapter
from receiver import hosts
from receiver.errors import ConfigurationError
from receiver.extras import collector
from receiver.guard import Guard
from receiver.providers import serve_providers
from receiver.settings import MIN_API_KEY, MIN_SECRET_KEY, PROVIDER_SETTINGS, SETTINGS, Settings, read_settings
from receiver.storages import postgres

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


def setting_faults(environment: Mapping[str, str], adapters: Mapping[str, Adapter]) -> dict[str, ConfigurationError]:
    """What is wrong, by the variable that it is wrong with.

    Each variable is tried alone, so that none hides another; a provider's are tried together, for without its key they
    mean nothing.
    """
    faults = {}
    base_urls = {name: adapter.profile.base_url for name, adapter in adapters.items()}
    with TemporaryDirectory() as elsewhere:  # for the keys that a start would generate: who looks leaves none behind
        for name, names in _groups(adapters):
            alone = {each: environment[each] for each in names if each in environment}
            try:
                settings = read_settings({**_GIVEN.get(name, {}), **alone, "TASKWEIR_DATA_DIR": elsewhere}, base_urls)
                _try(settings, adapters, database=name == "TASKWEIR_DATABASE_URL")
            except ConfigurationError as error:
                faults[_named(error, name, names)] = error
    return faults


def _try(settings: Settings, adapters: Mapping[str, Adapter], *, database: bool) -> None:
    """All that a start makes of its settings and may refuse to; of the database only where it is the one given."""
    Guard(settings.allow_networks)
    serve_providers(settings.providers, adapters)
    if settings.otel:
        collector()
    if database and settings.sqlite_path is None:
        postgres()


def _named(error: ConfigurationError, name: str, names: Sequence[str]) -> str:
    """The variable that an error is about; of a provider's, told as `TASKWEIR_REAPI: rate …` or `reapi: trust …`."""
    prefix, _, rest = str(error).partition(": ")
    told = f"TASKWEIR_{prefix.removeprefix('TASKWEIR_')}_{rest.partition(' ')[0]}".upper()
    first = str(error).partition(" ")[0]
    return next((each for each in (told, first) if each in names), name)


def _groups(adapters: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The variables that are read together, under the name of the first of them."""
    for setting in SETTINGS:
        yield setting.name, [setting.name, f"{setting.name}_FILE", *_TOGETHER.get(setting.name, ())]
    for adapter in sorted(adapters):
        names = [each.name.replace("<NAME>", adapter.upper()) for each in PROVIDER_SETTINGS]
        yield names[0], [form for name in names for form in (name, f"{name}_FILE")]
