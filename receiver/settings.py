"""Everything the operator sets, read once from the environment into one frozen value."""

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from receiver.accounts import PROVIDERS_HINT, provider_of
from receiver.domain import Provider
from receiver.errors import ConfigurationError
from receiver.hosts import host_without_disk
from receiver.roles import ServerRole

API_KEY_FILE = "taskweir.api-key"
SECRET_KEY_FILE = "taskweir.secret-key"  # noqa: S105 - a file's name
POSTGRES = ("postgresql://", "postgres://")
MIN_API_KEY = 16
MIN_SECRET_KEY = 32
MIN_CRON_SECRET = 16
MOST_PORT = 65535
MOST_RETENTION_DAYS = 36_500


class Mode(StrEnum):
    """Who makes us work: ourselves, all the time, or whoever calls, a heartbeat among them."""

    SERVER = "server"
    SERVERLESS = "serverless"


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable: its name, its default as shown to people, what it is for, whether it is secret."""

    name: str
    default: str
    help: str
    secret: bool = False


SETTINGS = (
    Setting(
        "TASKWEIR_DATABASE_URL",
        "sqlite:///taskweir.db",
        "Where everything is kept; `sqlite:////…` is absolute. Or `postgresql://…`.",
    ),
    Setting("TASKWEIR_DATA_DIR", ".", "SQLite logs and generated keys."),
    Setting("TASKWEIR_PUBLIC_URL", "", "How providers reach this server; unset: no callbacks, everything is polled."),
    Setting("TASKWEIR_HOST", "127.0.0.1", "Address to listen on."),
    Setting("TASKWEIR_PORT", "8080", "Port to listen on; `PORT` is understood too."),
    Setting("TASKWEIR_API_KEY", "", "The root key, 16 or more characters; unset: generated, kept 0600.", True),
    Setting(
        "TASKWEIR_SECRET_KEY",
        "",
        "Comma-separated, 32 or more characters each: the first signs and seals, all verify; unset: generated.",
        True,
    ),
    Setting("TASKWEIR_MODE", "server", "`serverless`: nothing runs between requests; `/internal/tick` does the work."),
    Setting(
        "TASKWEIR_CRON_SECRET", "", "What calls `/internal/tick`, 16 or more characters; the root key does too.", True
    ),
    Setting("TASKWEIR_ALLOW_NETWORKS", "", "Webhook targets to allow: CIDRs, host names, `loopback`, `private`."),
    Setting("TASKWEIR_RETENTION_DAYS", "30", "How many days events, deliveries and finished tasks are kept."),
    Setting("TASKWEIR_MAX_BODY", "1048576", "Largest API request body, in bytes."),
    Setting("TASKWEIR_LOG_FORMAT", "console", "`console` or `json`."),
    Setting("TASKWEIR_LOG_LEVEL", "info", "`debug`, `info`, `warning` or `error`."),
    Setting("TASKWEIR_METRICS_OPEN", "0", "`1`: `/metrics` needs no key."),
    Setting(
        "TASKWEIR_OTEL", "0", "`1`: traces to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names; extra `otel`."
    ),
    Setting("TASKWEIR_MIGRATE", "1", "`0`: `serve` leaves migrations to `taskweir migrate`."),
    Setting("TASKWEIR_PROVIDERS", "", "Further accounts: JSON, or `@file` with it; see Providers.", True),
)
PROVIDER_SETTINGS = (
    Setting("TASKWEIR_<NAME>_API_KEY", "", "The provider's key; a provider is configured when this is set.", True),
    Setting("TASKWEIR_<NAME>_BASE_URL", "the provider's own", "Another host that speaks the same wire."),
    Setting("TASKWEIR_<NAME>_TRUST", "poll", "What a callback is worth: `poll`, `token` or `signature`."),
    Setting("TASKWEIR_<NAME>_RATE", "", "Most requests per second to this provider; unset: no cap."),
    Setting("TASKWEIR_<NAME>_CALLBACK_SECRET", "", "What the provider signs callbacks with, for `signature`.", True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the process runs by. `secret_keys` are oldest last: the first signs, all verify."""

    database_url: str = field(repr=False)
    data_dir: Path
    public_url: str | None
    host: str
    port: int
    api_key: str = field(repr=False)
    secret_keys: tuple[str, ...] = field(repr=False)
    mode: Mode
    cron_secret: str | None = field(repr=False)
    allow_networks: str
    retention_days: int
    max_body: int
    log_format: str
    log_level: str
    metrics_open: bool
    otel: bool
    migrate: bool
    providers: Mapping[str, Provider]
    generated: tuple[Path, ...] = ()
    role: ServerRole = ServerRole.ALL

    @property
    def sqlite_path(self) -> Path | None:
        """The database's file, or None where it is not SQLite."""
        prefix = "sqlite:///"
        return Path(self.database_url[len(prefix) :]) if self.database_url.startswith(prefix) else None


def read_settings(environment: Mapping[str, str], adapters: Mapping[str, str]) -> Settings:
    """Read and check everything; raises `ConfigurationError` with the line that mends it.

    `adapters` maps each installed adapter's name to its provider's base URL. Missing keys are generated and kept in
    the data directory, readable by their owner only.
    """
    env = _Environment(environment)
    data_dir = Path(env.text("TASKWEIR_DATA_DIR"))
    database_url = _database_url(env)
    api_key, api_key_file = _key(env, "TASKWEIR_API_KEY", data_dir / API_KEY_FILE)
    secret_key, secret_key_file = _secret_key(env, database_url, data_dir)
    _require_length("TASKWEIR_API_KEY", api_key, MIN_API_KEY)
    secret_keys = tuple(key.strip() for key in secret_key.split(",") if key.strip())
    for key in secret_keys or ("",):
        _require_length("TASKWEIR_SECRET_KEY", key, MIN_SECRET_KEY)
    return Settings(
        database_url=database_url,
        data_dir=data_dir,
        public_url=_public_url(env),
        host=env.text("TASKWEIR_HOST"),
        port=_port(env),
        api_key=api_key,
        secret_keys=secret_keys,
        mode=Mode(env.word("TASKWEIR_MODE", tuple(Mode))),
        cron_secret=_cron_secret(env),
        allow_networks=env.text("TASKWEIR_ALLOW_NETWORKS"),
        retention_days=_retention_days(env),
        max_body=_max_body(env),
        log_format=env.word("TASKWEIR_LOG_FORMAT", ("console", "json")),
        log_level=env.word("TASKWEIR_LOG_LEVEL", ("debug", "info", "warning", "error")),
        metrics_open=env.word("TASKWEIR_METRICS_OPEN", ("0", "1")) == "1",
        otel=env.word("TASKWEIR_OTEL", ("0", "1")) == "1",
        migrate=env.word("TASKWEIR_MIGRATE", ("0", "1")) == "1",
        providers=_providers(env, adapters),
        generated=tuple(path for path in (api_key_file, secret_key_file) if path),
    )


def in_role(settings: Settings, role: ServerRole) -> Settings:
    """The settings of a process of that role; raises `ConfigurationError` where nobody could do the other's part."""
    if role is ServerRole.ALL:
        return settings
    if settings.sqlite_path is not None:
        raise ConfigurationError(
            f"--role {role} needs PostgreSQL: TASKWEIR_DATABASE_URL is a SQLite file, which one process has to itself",
            hint="Set TASKWEIR_DATABASE_URL=postgresql://user:password@host/database, or leave out --role.",
        )
    if settings.mode is Mode.SERVERLESS:
        raise ConfigurationError(
            f"--role {role} and TASKWEIR_MODE=serverless: there a request does the work, and no loop runs",
            hint="Leave out --role, or leave out TASKWEIR_MODE.",
        )
    return replace(settings, role=role)


def describe(environment: Mapping[str, str], adapters: Iterable[str]) -> list[tuple[str, str, str]]:
    """Rows of (name, value now, help) for people: secrets only as "set", what is unset as its default."""
    env = _Environment(environment)
    names = [*SETTINGS]
    for adapter in sorted(adapters):
        names += [
            Setting(row.name.replace("<NAME>", adapter.upper()), row.default, row.help, row.secret)
            for row in PROVIDER_SETTINGS
        ]
    return [(row.name, _shown(env, row), row.help) for row in names]


def _shown(env: "_Environment", row: Setting) -> str:
    try:
        value = env.given(row.name)
    except ConfigurationError:
        return "unreadable"
    if row.secret:
        return "set" if value else "unset"
    shown = value or row.default or "unset"
    return shown.partition("://")[0] + "://…" if shown.startswith(POSTGRES) else shown  # a password may be in it


class _Environment:
    """The environment with its conventions: `<NAME>_FILE` for secrets, defaults from `SETTINGS`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._defaults = {row.name: row.default for row in SETTINGS}

    def given(self, name: str) -> str:
        """The value set, from the variable or the file that `<name>_FILE` names; empty where neither is."""
        value = self._environment.get(name, "").strip()
        path = self._environment.get(f"{name}_FILE", "").strip()
        if value or not path:
            return value
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{name}_FILE names {path}, which cannot be read: {getattr(error, 'strerror', 'it is not UTF-8')}",
                hint=f"Make the file readable, or set {name} itself.",
            ) from None

    def text(self, name: str) -> str:
        return self.given(name) or self._defaults[name]

    @property
    def host_without_disk(self) -> str | None:
        """The host that keeps no file of ours, where we run on one."""
        return host_without_disk(self._environment)

    def integer(self, name: str, *, fallback: str = "") -> int:
        text = self.given(name) or (self.given(fallback) if fallback else "") or self._defaults[name]
        if not text.isascii() or not text.isdigit():
            raise ConfigurationError(f"{name} is {text!r}", hint=f"Set {name} to a whole number.")
        return int(text)

    def word(self, name: str, allowed: tuple[str, ...]) -> str:
        text = self.text(name).lower()
        if text not in allowed:
            raise ConfigurationError(f"{name} is {text!r}", hint=f"Set {name} to one of: {', '.join(allowed)}.")
        return text


def _key(env: _Environment, name: str, path: Path) -> tuple[str, Path | None]:
    given = env.given(name)
    if given:
        return given, None
    if (host := env.host_without_disk) is not None:
        raise ConfigurationError(
            f"{name} is unset, and on {host} no file would keep a generated one",
            hint=f"Set it: python3 -c 'import secrets; print(secrets.token_urlsafe({MIN_SECRET_KEY}))'",
        )
    try:
        return _kept_key(path), path
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{name} is unset and {path} cannot be kept: {getattr(error, 'strerror', 'it is not UTF-8')}",
            hint=f"Set {name}, or make TASKWEIR_DATA_DIR a directory that we may write to.",
        ) from None


def _kept_key(path: Path) -> str:
    """The key in a file, made where there is none: whole under its name at once, or not at all."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # somebody else was first: theirs is the key
            path.hardlink_to(fresh)
        fresh.unlink()
    return path.read_text(encoding="utf-8").strip()


def _require_length(name: str, key: str, least: int) -> None:
    if len(key) < least:
        raise ConfigurationError(
            f"{name} has {len(key)} characters",
            hint=f"Use {least} or more: python3 -c 'import secrets; print(secrets.token_urlsafe({least}))'",
        )


def _database_url(env: _Environment) -> str:
    url = env.text("TASKWEIR_DATABASE_URL")
    if not url.startswith(("sqlite:///", *POSTGRES)) or url in ("sqlite:///", *POSTGRES):
        raise ConfigurationError(
            f"TASKWEIR_DATABASE_URL starts with {url.split(':', 1)[0]!r}",
            hint="Set TASKWEIR_DATABASE_URL=sqlite:///taskweir.db (or sqlite:////absolute/path.db), or to "
            "postgresql://user:password@host/database.",
        )
    if not url.startswith(POSTGRES) and (host := env.host_without_disk) is not None:
        raise ConfigurationError(
            f"TASKWEIR_DATABASE_URL is a SQLite file, and {host} keeps no files: every task would be lost",
            hint="Set TASKWEIR_DATABASE_URL=postgresql://user:password@host/database.",
        )
    return url


def _secret_key(env: _Environment, database_url: str, data_dir: Path) -> tuple[str, Path | None]:
    """What all that work on one database seal with: one of them alone cannot make it up."""
    if database_url.startswith(POSTGRES) and not env.given("TASKWEIR_SECRET_KEY"):
        raise ConfigurationError(
            "TASKWEIR_SECRET_KEY is unset, and every process that uses this PostgreSQL needs the same one",
            hint="Set it everywhere to one value: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
        )
    return _key(env, "TASKWEIR_SECRET_KEY", data_dir / SECRET_KEY_FILE)


def _cron_secret(env: _Environment) -> str | None:
    secret = env.given("TASKWEIR_CRON_SECRET")
    if secret:
        _require_length("TASKWEIR_CRON_SECRET", secret, MIN_CRON_SECRET)
    return secret or None


def _max_body(env: _Environment) -> int:
    most = env.integer("TASKWEIR_MAX_BODY")
    if most == 0:
        raise ConfigurationError(
            "TASKWEIR_MAX_BODY is 0: every request with a body would be refused",
            hint="Set TASKWEIR_MAX_BODY to the bytes that a request may have, or leave it out for 1048576.",
        )
    return most


def _port(env: _Environment) -> int:
    port = env.integer("TASKWEIR_PORT", fallback="PORT")
    if port > MOST_PORT:
        raise ConfigurationError(f"TASKWEIR_PORT is {port}", hint=f"Set TASKWEIR_PORT to a port, {MOST_PORT} at most.")
    return port


def _retention_days(env: _Environment) -> int:
    days = env.integer("TASKWEIR_RETENTION_DAYS")
    if not 1 <= days <= MOST_RETENTION_DAYS:
        raise ConfigurationError(
            f"TASKWEIR_RETENTION_DAYS is {days}",
            hint=f"Set TASKWEIR_RETENTION_DAYS to a number of days, 1 to {MOST_RETENTION_DAYS}.",
        )
    return days


def _public_url(env: _Environment) -> str | None:
    url = env.text("TASKWEIR_PUBLIC_URL").rstrip("/")
    if url and not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"TASKWEIR_PUBLIC_URL is {url!r}", hint="Set it to the address providers reach: https://tasks.example.com"
        )
    return url or None


def _providers(env: _Environment, adapters: Mapping[str, str]) -> dict[str, Provider]:
    providers = {}
    for adapter, base_url in adapters.items():
        prefix = f"TASKWEIR_{adapter.upper()}"
        account = {
            "adapter": adapter,
            "api_key": env.given(f"{prefix}_API_KEY"),
            "base_url": env.given(f"{prefix}_BASE_URL") or base_url,
            "trust": env.given(f"{prefix}_TRUST"),
            "rate": env.given(f"{prefix}_RATE"),
            "callback_secret": env.given(f"{prefix}_CALLBACK_SECRET"),
        }
        if account["api_key"]:
            providers[adapter] = provider_of(adapter, account, adapters, where=prefix)
    for name, account in _further_accounts(env).items():
        providers[name] = provider_of(name, account, adapters, where=f"TASKWEIR_PROVIDERS: {name}")
    return providers


def _further_accounts(env: _Environment) -> dict[str, Any]:
    text = env.given("TASKWEIR_PROVIDERS")
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        accounts = json.loads(text) if text else {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"TASKWEIR_PROVIDERS cannot be read: {type(error).__name__}", hint=PROVIDERS_HINT
        ) from None
    if not isinstance(accounts, dict):
        raise ConfigurationError("TASKWEIR_PROVIDERS is not a JSON object", hint=PROVIDERS_HINT)
    return accounts
