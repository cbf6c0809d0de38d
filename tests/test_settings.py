"""What the operator sets, and what he is told when it is wrong."""

import stat
from pathlib import Path
from typing import Any

import pytest

from adapters.apikley import Apikley
from adapters.reapi import ReApi
from receiver.domain import Trust
from receiver.errors import ConfigurationError
from receiver.setting_faults import setting_faults
from receiver.settings import PROVIDER_SETTINGS, SETTINGS, Mode, Settings, describe, read_settings

ADAPTERS = {"apikley": "https://api.apikley.example", "reapi": "https://reapi.example"}
INSTALLED = {"apikley": Apikley(), "reapi": ReApi()}
KEYS = {"TASKWEIR_API_KEY": "k" * 16, "TASKWEIR_SECRET_KEY": "s" * 32}


def read(**environment: str) -> Settings:
    return read_settings(KEYS | environment, ADAPTERS)


def test_defaults() -> None:
    """Nothing but keys set: SQLite in the working directory, loopback, no provider."""
    settings = read()
    assert (settings.database_url, str(settings.sqlite_path)) == ("sqlite:///taskweir.db", "taskweir.db")
    assert (settings.host, settings.port, settings.public_url, settings.max_body) == ("127.0.0.1", 8080, None, 1048576)
    assert (settings.log_format, settings.log_level, settings.migrate) == ("console", "info", True)
    assert settings.otel is False
    assert settings.retention_days == 30
    assert (settings.mode, settings.cron_secret) == (Mode.SERVER, None)
    assert (dict(settings.providers), settings.generated) == ({}, ())


def test_values() -> None:
    """Each variable reaches its field; an absolute database path stays absolute."""
    settings = read(
        TASKWEIR_DATABASE_URL="sqlite:////var/lib/t.db",
        TASKWEIR_PUBLIC_URL="https://t.example.com/",
        PORT="9000",
        TASKWEIR_SECRET_KEY=f"{'a' * 32}, {'b' * 32}",
        TASKWEIR_LOG_FORMAT="JSON",
        TASKWEIR_MIGRATE="0",
        TASKWEIR_OTEL="1",
        TASKWEIR_RETENTION_DAYS="1",
        TASKWEIR_MODE="serverless",
        TASKWEIR_CRON_SECRET="every-minute-0123",
        TASKWEIR_APIKLEY_API_KEY=" ak ",
        TASKWEIR_APIKLEY_BASE_URL="http://127.0.0.1:9400/apikley/",
        TASKWEIR_APIKLEY_TRUST="token",
        TASKWEIR_APIKLEY_RATE="2.5",
        TASKWEIR_APIKLEY_CALLBACK_SECRET=" whsec_x ",
    )
    assert str(settings.sqlite_path) == "/var/lib/t.db"
    assert (settings.public_url, settings.port) == ("https://t.example.com", 9000)
    assert settings.secret_keys == ("a" * 32, "b" * 32)
    assert (settings.mode, settings.cron_secret) == (Mode.SERVERLESS, "every-minute-0123")
    assert (settings.log_format, settings.migrate, settings.retention_days) == ("json", False, 1)
    assert settings.otel is True
    provider = settings.providers["apikley"]
    assert (provider.api_key, provider.base_url) == ("ak", "http://127.0.0.1:9400/apikley")
    assert (provider.trust, provider.rate, provider.adapter) == (Trust.TOKEN, 2.5, "apikley")
    assert provider.callback_secret == "whsec_x"
    assert read(TASKWEIR_PORT="1", PORT="2").port == 1


def test_a_provider_without_a_key_is_not_configured() -> None:
    """Its own address is the default once it is."""
    assert dict(read(TASKWEIR_REAPI_BASE_URL="http://x").providers) == {}
    assert read(TASKWEIR_REAPI_API_KEY="k").providers["reapi"].base_url == "https://reapi.example"


def test_further_accounts(tmp_path: Path) -> None:
    """Another host that speaks the same wire, given as JSON or in a file."""
    text = '{"kie": {"adapter": "apikley", "base_url": "https://api.kie.example", "api_key": "k", "rate": 2}}'
    file = tmp_path / "providers.json"
    file.write_text(text)
    for value in (text, f"@{file}"):
        kie = read(TASKWEIR_PROVIDERS=value).providers["kie"]
        assert (kie.adapter, kie.base_url, kie.rate) == ("apikley", "https://api.kie.example", 2)
        assert kie.callback_secret is None
    signs = '{"kie": {"adapter": "apikley", "api_key": "k", "trust": "signature", "callback_secret": "shared"}}'
    kie = read(TASKWEIR_PROVIDERS=signs).providers["kie"]
    assert (kie.trust, kie.callback_secret) == (Trust.SIGNATURE, "shared")


def test_keys_are_generated_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    """Unset keys: 0600 in the data directory, the same at the next start, named to the operator."""
    environment = {"TASKWEIR_DATA_DIR": str(tmp_path / "data")}
    first, second = read_settings(environment, ADAPTERS), read_settings(environment, ADAPTERS)
    assert (first.api_key, first.secret_keys) == (second.api_key, second.secret_keys)
    assert len(first.api_key) >= 32
    for path in first.generated:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_secret_may_come_from_a_file(tmp_path: Path) -> None:
    """`<NAME>_FILE`, as orchestrators mount them; the variable itself wins."""
    file = tmp_path / "key"
    file.write_text("from-a-file-0123456789\n")
    environment = {"TASKWEIR_SECRET_KEY": "s" * 32, "TASKWEIR_API_KEY_FILE": str(file)}
    assert read_settings(environment, ADAPTERS).api_key == "from-a-file-0123456789"
    assert read(TASKWEIR_API_KEY_FILE=str(file)).api_key == "k" * 16
    assert read(TASKWEIR_REAPI_API_KEY_FILE=str(file)).providers["reapi"].api_key == "from-a-file-0123456789"


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({"TASKWEIR_API_KEY": "short"}, "TASKWEIR_API_KEY"),
        ({"TASKWEIR_SECRET_KEY": f"{'a' * 32},short"}, "TASKWEIR_SECRET_KEY"),
        ({"TASKWEIR_SECRET_KEY": ","}, "TASKWEIR_SECRET_KEY"),
        ({"TASKWEIR_PORT": "eighty"}, "TASKWEIR_PORT"),
        ({"TASKWEIR_PORT": "-1"}, "TASKWEIR_PORT"),
        ({"TASKWEIR_PORT": "70000"}, "TASKWEIR_PORT"),
        ({"TASKWEIR_API_KEY": "", "TASKWEIR_API_KEY_FILE": "/bin/true"}, "TASKWEIR_API_KEY_FILE"),
        ({"TASKWEIR_MAX_BODY": "1MB"}, "TASKWEIR_MAX_BODY"),
        ({"TASKWEIR_RETENTION_DAYS": "0"}, "TASKWEIR_RETENTION_DAYS"),
        ({"TASKWEIR_RETENTION_DAYS": "36501"}, "TASKWEIR_RETENTION_DAYS"),
        ({"TASKWEIR_RETENTION_DAYS": "-1"}, "TASKWEIR_RETENTION_DAYS"),
        ({"TASKWEIR_MAX_BODY": "0"}, "TASKWEIR_MAX_BODY"),
        ({"TASKWEIR_LOG_FORMAT": "xml"}, "TASKWEIR_LOG_FORMAT"),
        ({"TASKWEIR_MODE": "lambda"}, "TASKWEIR_MODE"),
        ({"TASKWEIR_CRON_SECRET": "short"}, "TASKWEIR_CRON_SECRET"),
        ({"TASKWEIR_LOG_LEVEL": "loud"}, "TASKWEIR_LOG_LEVEL"),
        ({"TASKWEIR_DATABASE_URL": "mysql://x"}, "TASKWEIR_DATABASE_URL"),
        ({"TASKWEIR_DATABASE_URL": "sqlite:///"}, "TASKWEIR_DATABASE_URL"),
        ({"TASKWEIR_PUBLIC_URL": "t.example.com"}, "TASKWEIR_PUBLIC_URL"),
        ({"TASKWEIR_API_KEY": "", "TASKWEIR_API_KEY_FILE": "/nowhere/key"}, "TASKWEIR_API_KEY_FILE"),
        ({"TASKWEIR_API_KEY": "", "TASKWEIR_DATA_DIR": "/proc/nowhere"}, "TASKWEIR_API_KEY"),
        ({"TASKWEIR_APIKLEY_API_KEY": "k", "TASKWEIR_APIKLEY_TRUST": "blind"}, "TASKWEIR_APIKLEY"),
        ({"TASKWEIR_APIKLEY_API_KEY": "k", "TASKWEIR_APIKLEY_RATE": "0"}, "TASKWEIR_APIKLEY"),
        ({"TASKWEIR_APIKLEY_API_KEY": "k", "TASKWEIR_APIKLEY_RATE": "fast"}, "TASKWEIR_APIKLEY"),
        ({"TASKWEIR_APIKLEY_API_KEY": "k", "TASKWEIR_APIKLEY_BASE_URL": "ftp://x"}, "TASKWEIR_APIKLEY"),
        ({"TASKWEIR_APIKLEY_API_KEY": "a\nb"}, "TASKWEIR_APIKLEY"),
        ({"TASKWEIR_APIKLEY_API_KEY": "k", "TASKWEIR_APIKLEY_CALLBACK_SECRET": "a\nb"}, "callback_secret"),
        (
            {"TASKWEIR_PROVIDERS": '{"kie": {"adapter": "apikley", "api_key": "k", "callback_secret": 5}}'},
            "callback_secret",
        ),
        (
            {"TASKWEIR_PROVIDERS": '{"kie": {"adapter": "apikley", "api_key": "k", "callback_secret": " "}}'},
            "callback_secret",
        ),
        ({"TASKWEIR_PROVIDERS": "{"}, "TASKWEIR_PROVIDERS"),
        ({"TASKWEIR_PROVIDERS": "[]"}, "TASKWEIR_PROVIDERS"),
        ({"TASKWEIR_PROVIDERS": "@/nowhere"}, "TASKWEIR_PROVIDERS"),
        ({"TASKWEIR_PROVIDERS": '{"kie": []}'}, "kie"),
        ({"TASKWEIR_PROVIDERS": '{"kie": {"adapter": "none", "api_key": "k"}}'}, "kie"),
        ({"TASKWEIR_PROVIDERS": '{"kie": {"adapter": "apikley"}}'}, "kie"),
        ({"TASKWEIR_PROVIDERS": '{"kie": {"adapter": "apikley", "api_key": "k", "key": 1}}'}, "kie"),
        ({"TASKWEIR_PROVIDERS": '{"v1": {"adapter": "apikley", "api_key": "k"}}'}, "v1"),
        ({"TASKWEIR_PROVIDERS": '{"a/b": {"adapter": "apikley", "api_key": "k"}}'}, "a/b"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(environment: dict[str, str], names: str) -> None:
    """The error says which setting, the hint what to set."""
    with pytest.raises(ConfigurationError, match=names) as refused:
        read(**environment)
    assert refused.value.hint


def test_secrets_are_shown_as_set() -> None:
    """In what people print, and in what a traceback would."""
    secrets: dict[str, Any] = {
        "TASKWEIR_API_KEY": "canary-1-0123456789",
        "TASKWEIR_SECRET_KEY": "canary-2-" + "x" * 32,
        "TASKWEIR_REAPI_API_KEY": "canary-3",
        "TASKWEIR_REAPI_CALLBACK_SECRET": "canary-4",
        "TASKWEIR_CRON_SECRET": "canary-5-0123456789",
        "TASKWEIR_PORT": "81",
    }
    rows = {name: value for name, value, _ in describe(secrets, ADAPTERS)}
    assert rows["TASKWEIR_API_KEY"] == rows["TASKWEIR_REAPI_API_KEY"] == "set"
    assert rows["TASKWEIR_REAPI_CALLBACK_SECRET"] == "set"
    assert rows["TASKWEIR_APIKLEY_API_KEY"] == "unset"
    assert (rows["TASKWEIR_PORT"], rows["TASKWEIR_HOST"], rows["TASKWEIR_PUBLIC_URL"]) == ("81", "127.0.0.1", "unset")
    assert len(rows) == len(SETTINGS) + len(ADAPTERS) * len(PROVIDER_SETTINGS)
    assert "canary" not in repr(read_settings(secrets, ADAPTERS)) + repr(rows)


def test_what_is_secret_in_an_address_stays_so() -> None:
    """A password in the database's URL is shown by nobody."""
    url = "postgresql://me:hunter2@db.example/taskweir"
    settings = read(TASKWEIR_DATABASE_URL=url)
    assert (settings.database_url, settings.sqlite_path) == (url, None)
    assert "hunter2" not in repr(settings)
    shown = {name: value for name, value, _ in describe({"TASKWEIR_DATABASE_URL": url}, ADAPTERS)}
    assert shown["TASKWEIR_DATABASE_URL"] == "postgresql://…"


def test_one_of_several_makes_up_no_key(tmp_path: Path) -> None:
    """Where others may share the database, what seals its secrets is set, not generated; told by its name."""
    given = {"TASKWEIR_DATABASE_URL": "postgres://db.example/t", "TASKWEIR_DATA_DIR": str(tmp_path)}
    with pytest.raises(ConfigurationError, match="TASKWEIR_SECRET_KEY is unset"):
        read(**given, TASKWEIR_SECRET_KEY="")
    assert list(tmp_path.iterdir()) == []
    faults = setting_faults(KEYS | given, INSTALLED)
    assert faults == {}
    assert setting_faults(given, INSTALLED).keys() == {"TASKWEIR_SECRET_KEY"}


@pytest.mark.parametrize("variable", ["AWS_LAMBDA_FUNCTION_NAME", "VERCEL", "K_SERVICE", "DYNO"])
def test_where_no_file_is_kept_nothing_is_put_into_one(tmp_path: Path, variable: str) -> None:
    """A SQLite file, or a key that is made up, would be gone with the process: told with what to set instead."""
    host = {variable: "1", "TASKWEIR_DATA_DIR": str(tmp_path)}
    for more in ({}, {"TASKWEIR_MODE": "serverless"}, {"TASKWEIR_DATABASE_URL": "sqlite:////tmp/t.db"}):
        with pytest.raises(ConfigurationError, match="keeps no files") as refused:
            read(**host, **more)
        assert "TASKWEIR_DATABASE_URL=postgresql://" in (refused.value.hint or "")
    postgres = {"TASKWEIR_DATABASE_URL": "postgresql://db.example/t"}
    assert read(**host, **postgres).sqlite_path is None
    with pytest.raises(ConfigurationError, match="TASKWEIR_API_KEY is unset, and on") as refused:
        read(**host, **postgres, TASKWEIR_API_KEY="")
    assert "secrets" in (refused.value.hint or "")
    assert list(tmp_path.iterdir()) == []
    assert setting_faults(KEYS | host, INSTALLED).keys() == {"TASKWEIR_DATABASE_URL"}
    unset = setting_faults({variable: "1"} | postgres, INSTALLED)
    assert unset.keys() == {"TASKWEIR_API_KEY", "TASKWEIR_SECRET_KEY"}
