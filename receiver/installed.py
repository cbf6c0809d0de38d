"""Which adapters are installed, and the settings over them."""

from collections.abc import Mapping
from importlib.metadata import entry_points

from adapters.base import Adapter
from receiver.settings import Settings, read_settings


def load_adapters() -> dict[str, Adapter]:
    """Every installed adapter by name, from the entry points `taskweir.adapters`."""
    return {entry.name: entry.load()() for entry in entry_points(group="taskweir.adapters")}


def settings_of(environment: Mapping[str, str], adapters: Mapping[str, Adapter]) -> Settings:
    """The settings, with each provider's own base URL as the default."""
    return read_settings(environment, {name: adapter.profile.base_url for name, adapter in adapters.items()})
