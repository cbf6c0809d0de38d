"""Serves as the environment says: the installed adapters, the settings, then the server."""

import os
from collections.abc import Mapping
from importlib.metadata import entry_points

from adapters.base import Adapter
from receiver.roles import ServerRole
from receiver.settings import Settings, in_role, read_settings
from receiver.strays import warn_of_strays
from receiver.telemetry import configure_logs


def load_adapters() -> dict[str, Adapter]:
    """Every installed adapter by name, from the entry points `taskweir.adapters`."""
    return {entry.name: entry.load()() for entry in entry_points(group="taskweir.adapters")}


def settings_of(environment: Mapping[str, str], adapters: Mapping[str, Adapter]) -> Settings:
    """The settings, with each provider's own base URL as the default."""
    return read_settings(environment, {name: adapter.profile.base_url for name, adapter in adapters.items()})


def serve(role: ServerRole = ServerRole.ALL) -> None:
    """Run the server: API, callbacks, polling and delivery in one process, or what its role has of them."""
    from receiver.server import run  # only the server needs uvicorn, and it takes a while to import

    adapters = load_adapters()
    settings = in_role(settings_of(os.environ, adapters), role)
    configure_logs(fmt=settings.log_format, level=settings.log_level)
    warn_of_strays(os.environ, [*adapters, *settings.providers])
    run(settings, adapters)
