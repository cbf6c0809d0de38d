"""What operators do: providers, keys, usage."""

from collections.abc import Iterator, Sequence
from typing import Any

from receiver.calling.answers import Key, ProviderStanding
from receiver.calling.http import Http, given, path_of

_RESEAL_S = 3600.0


class Operating:
    """What the API does for whoever operates the server."""

    _http: Http

    def me(self) -> dict[str, Any]:
        """`{tenant, label, scopes}` of the key."""
        return self._http.get("/v1/me", holds="tenant")

    def providers(self) -> list[ProviderStanding]:
        """How each configured provider stands."""
        return list(map(ProviderStanding, self._http.get("/v1/providers", holds="items")["items"]))

    def pause_provider(self, name: str) -> ProviderStanding:
        """Hand nothing over to it; polls go on."""
        return ProviderStanding(self._http.post(path_of("providers", name, "pause"), holds="name"))

    def resume_provider(self, name: str) -> ProviderStanding:
        """Hand over again, whoever paused it."""
        return ProviderStanding(self._http.post(path_of("providers", name, "resume"), holds="name"))

    def keys(self, *, tenant: str | None = None, limit: int | None = None) -> Iterator[Key]:
        """All API keys, never the keys themselves."""
        return map(Key, self._http.listed("/v1/keys", given(tenant=tenant), limit=limit))

    def create_key(self, label: str, scopes: Sequence[str], *, tenant: str | None = None) -> Key:
        """A new key with some of `read`, `submit`, `admin`; its `key` is told this once."""
        body = {"label": label, "scopes": list(scopes), **given(tenant=tenant)}
        return Key(self._http.post("/v1/keys", body, holds="key"))

    def revoke_key(self, id: str, *, tenant: str | None = None) -> None:
        """Let a key open nothing any more."""
        self._http.delete(path_of("keys", id), given(tenant=tenant))

    def usage(
        self,
        *,
        since: str | None = None,
        until: str | None = None,
        group_by: str | None = None,
        tenant: str | None = None,
    ) -> dict[str, Any]:
        """Tasks, outcomes and credits, by `provider`, `model` or `metadata.<key>`; several, separated by commas."""
        query = given(**{"from": since, "to": until, "group_by": group_by, "tenant": tenant})
        return self._http.get("/v1/usage", query, holds="items")

    def rotate_secrets(self) -> dict[str, Any]:
        """Seal all secrets with the first of TASKWEIR_SECRET_KEY: `{resealed, already, unreadable}`."""
        return self._http.post("/internal/rotate-secrets", holds="resealed", waits_s=_RESEAL_S)
