"""Which server is meant: where it is, with which key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from receiver.errors import ConfigurationError
from receiver.settings import API_KEY_FILE

DEFAULT_URL = "http://127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running Taskweir: its address, the key, and where that was found."""

    url: str
    key: str = field(repr=False)
    key_from: str

    @property
    def on_loopback(self) -> bool:
        return urlsplit(self.url).hostname in ("127.0.0.1", "::1", "localhost")


def server_of(environment: Mapping[str, str], url: str | None = None, api_key: str | None = None) -> Server:
    """The server that is given, or that the environment names; raises `ConfigurationError`."""
    where = (url or environment.get("TASKWEIR_URL", "")).strip().rstrip("/") or DEFAULT_URL
    if not _usable(where):
        raise ConfigurationError(f"TASKWEIR_URL is {where!r}", hint=f"Set it as {DEFAULT_URL}.")
    key, key_from = (api_key.strip(), "api_key") if api_key is not None else _key_of(environment)
    if not key.isascii() or not key.isprintable() or not key:
        raise ConfigurationError(f"the key in {key_from} is not plain text", hint="Put the API key there.")
    return Server(url=where, key=key, key_from=key_from)


def _usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and url.isascii() and url.isprintable()


def _key_of(environment: Mapping[str, str]) -> tuple[str, str]:
    key = environment.get("TASKWEIR_API_KEY", "").strip()
    if key:
        return key, "TASKWEIR_API_KEY"
    named = environment.get("TASKWEIR_API_KEY_FILE", "").strip()
    path = Path(named) if named else Path(environment.get("TASKWEIR_DATA_DIR", "").strip() or ".") / API_KEY_FILE
    try:
        return path.read_text(encoding="utf-8").strip(), str(path)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not text"
        raise ConfigurationError(
            f"TASKWEIR_API_KEY is not set, and there is no key in {path}: {why}",
            hint="Set TASKWEIR_API_KEY, or TASKWEIR_DATA_DIR to the directory where the server keeps its key.",
        ) from None
