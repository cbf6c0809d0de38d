"""One account at a provider, as an operator wrote it down, checked."""

from collections.abc import Mapping
from typing import Any

from receiver.domain import Provider, Trust
from receiver.errors import ConfigurationError

RESERVED_NAMES = frozenset(
    {"v1", "docs", "internal", "callbacks", "health", "healthz", "readyz", "metrics", "static", "dashboard", "schemas"}
)
PROVIDERS_HINT = (
    'Use {"kie": {"adapter": "apikley", "base_url": "https://api.kie.ai", "api_key": "…"}}, or @file with that in it.'
)
_ACCOUNT_FIELDS = frozenset({"adapter", "base_url", "api_key", "trust", "rate", "callback_secret"})


def provider_of(name: str, account: Any, adapters: Mapping[str, str], *, where: str) -> Provider:
    """The account as a noun; raises `ConfigurationError`, which begins with `where`."""
    if not isinstance(account, dict) or not account.keys() <= _ACCOUNT_FIELDS:
        fields = ", ".join(sorted(_ACCOUNT_FIELDS))
        raise ConfigurationError(f"{where} is not an object with only {fields}", hint=PROVIDERS_HINT)
    adapter = account.get("adapter", name)
    if adapter not in adapters:
        installed = ", ".join(sorted(adapters))
        raise ConfigurationError(f"{where}: no adapter {adapter!r}", hint=f"Installed adapters: {installed}.")
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii() or name in RESERVED_NAMES:
        raise ConfigurationError(
            f"{where}: {name!r} cannot be a provider's name",
            hint=f"Use letters, digits, - and _, and none of: {' '.join(sorted(RESERVED_NAMES))}.",
        )
    api_key, base_url = account.get("api_key"), account.get("base_url") or adapters[adapter]
    if not isinstance(api_key, str) or not api_key.isascii() or not api_key.isprintable() or not api_key.strip():
        raise ConfigurationError(
            f"{where}: api_key is missing or not plain text", hint="Set the key the provider gave."
        )
    if not isinstance(base_url, str) or not base_url.startswith(("http://", "https://")):
        raise ConfigurationError(f"{where}: base_url is not an http(s) URL", hint=f"For example {adapters[adapter]}.")
    return Provider(
        name=name,
        adapter=adapter,
        base_url=base_url.rstrip("/"),
        api_key=api_key.strip(),
        trust=_trust(account.get("trust"), where),
        rate=_rate(account.get("rate"), where),
        callback_secret=_callback_secret(account.get("callback_secret"), where),
    )


def _trust(word: Any, where: str) -> Trust:
    try:
        return Trust(word or "poll")
    except ValueError:
        raise ConfigurationError(f"{where}: trust is {word!r}", hint="Use poll, token or signature.") from None


def _callback_secret(value: Any, where: str) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or not value.isprintable() or not value.strip():
        raise ConfigurationError(
            f"{where}: callback_secret is not plain text", hint="Set the secret that the provider signs callbacks with."
        )
    return value.strip()


def _rate(value: Any, where: str) -> float | None:
    if value in (None, ""):
        return None
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = 0.0
    if not 0 < rate < float("inf"):
        raise ConfigurationError(f"{where}: rate is {value!r}", hint="Use requests per second, for example 5 or 0.5.")
    return rate
