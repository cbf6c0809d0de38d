"""Who answers where: at our own port, at TASKWEIR_URL, and at the public URL that providers are given."""

import errno
import socket
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import httpx

from receiver import addresses
from receiver.cli.checkup.accounts import LOOPBACK
from receiver.cli.checkup.findings import Finding, ok, skipped, warning, wrong
from receiver.cli.checkup.given import Given
from receiver.client import ClientError, Taskweir, Unauthorized, Unreachable
from receiver.domain import Provider
from receiver.errors import ConfigurationError
from receiver.settings import MIN_API_KEY, Settings
from receiver.signing import CallbackTokens

_LIMIT_S = 10.0
_HEALTH_S = 6.0  # the store has 5 s for its part
_NAME, _NOBODYS = "doctor", "task_doctor"
_ANYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound


def server(given: Given) -> list[Finding]:
    """Whether our port is free, or this very server has it, and how that is."""
    settings = given.settings
    where = f"{settings.host} port {settings.port}"
    why = _taken(settings)
    if why is None:
        return [ok("server", f"none runs; {where} is free")]
    remedy = "Set TASKWEIR_PORT (or TASKWEIR_HOST) to an address that is free and ours, or stop what has it."
    if why.errno != errno.EADDRINUSE:
        return [wrong("server", f"{where} cannot be listened on: {why.strerror}", remedy)]
    health = _health(settings)
    if health is None:
        return [wrong("server", f"{where} is taken by something that is not Taskweir", remedy)]
    found = [
        _known(given, where),
        *(warning("server", each, "See above, and `/health/ready`.") for each in _told(health)),
    ]
    if health.get("status") != "ready":
        found.append(wrong("server", f"it is not ready: {health.get('reason')}", "See its log."))
    return found


def _taken(settings: Settings) -> OSError | None:
    """Why nobody can listen there now; None where one can."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        return error
    return None


def _health(settings: Settings) -> Mapping[str, object] | None:
    """What the server at our port says of itself; None where it is none of ours."""
    try:
        with httpx.Client(timeout=_HEALTH_S, trust_env=False) as client:
            answer = client.get(f"{_local(settings)}/health/ready").json()
    except (httpx.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) and answer.get("status") in ("ready", "unready") else None


def _told(health: Mapping[str, object]) -> Iterable[str]:
    warnings = health.get("warnings")
    return map(str, warnings) if isinstance(warnings, list) else ()


def _known(given: Given, where: str) -> Finding:
    if not given.api_key_known:
        return skipped("server", f"a Taskweir runs at {where}; whether it is this one the missing API key would tell")
    try:
        with Taskweir(_local(given.settings), given.settings.api_key, retries=0) as client:
            client.me()
    except Unauthorized:
        remedy = "Set TASKWEIR_API_KEY (or TASKWEIR_DATA_DIR) here as it is there, or TASKWEIR_PORT to another port."
        return wrong("server", f"the Taskweir at {where} does not know our API key: it is another one", remedy)
    except ClientError as error:
        return wrong("server", f"the Taskweir at {where} does not answer: {error}", "See its log.")
    return ok("server", f"it runs at {where}, and knows our API key")


def _local(settings: Settings) -> str:
    host = "127.0.0.1" if settings.host in _ANYWHERE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def command_line(environment: Mapping[str, str], given: Given) -> list[Finding]:
    """Whether the commands find the server that TASKWEIR_URL names; before the first start there is none to find."""
    if not environment.get("TASKWEIR_URL", "").strip():
        return []
    try:
        with Taskweir(retries=0) as client:
            client.me()
            return [ok("TASKWEIR_URL", f"{client.server.url} knows our API key")]
    except ConfigurationError as error:
        made = _made_by_a_start() if not given.api_key_known and "TASKWEIR_API_KEY" not in given.faults else None
        return [made or wrong("TASKWEIR_URL", str(error), error.hint)]
    except ClientError as error:
        return [wrong("TASKWEIR_URL", str(error), " ".join(error.lines) or "Set it to where the server is.")]


def _made_by_a_start() -> Finding | None:
    """What to say where no key is made yet; None where a server answers that has one, or nobody can be asked."""
    try:
        with Taskweir(api_key="-" * MIN_API_KEY, retries=0) as client:
            client.me()
    except Unreachable as error:
        return ok("TASKWEIR_URL", f"{error}, and there is no API key yet: the first start makes it")
    except (ClientError, ConfigurationError):
        pass
    return None


def public_url(given: Given, providers: Mapping[str, Provider]) -> Finding:
    """Whether providers that are given our public URL come out at a server with our key."""
    url = given.settings.public_url
    if url is None:
        if "TASKWEIR_PUBLIC_URL" in given.faults:
            return skipped("public URL", "not tried: TASKWEIR_PUBLIC_URL is wrong")
        return ok("public URL", "none: no provider calls back, everything is polled")
    if (fault := _unreachable_for(url, providers)) is not None:
        return fault
    token = CallbackTokens(given.settings.secret_keys).issue(_NAME, _NOBODYS)
    return _comes_back(url, token, key_known=given.secret_key_known)


def _unreachable_for(url: str, providers: Mapping[str, Provider]) -> Finding | None:
    """What is wrong with an address by its looks; a provider on this machine may be given one of this machine."""
    parts = urlsplit(url)
    outside = [name for name, each in providers.items() if urlsplit(each.base_url).hostname not in LOOPBACK]
    if not outside:
        return None
    remedy = "Set TASKWEIR_PUBLIC_URL=https://… as the internet sees us, or leave it out: then everything is polled."
    host = parts.hostname or ""
    ip = addresses.read(host)
    if host in LOOPBACK or (ip is not None and addresses.range_of(ip) is not None):
        return wrong(
            "public URL", f"{', '.join(outside)} cannot reach {url}: it is an address of our own network", remedy
        )
    if parts.scheme != "https":
        return wrong("public URL", f"{url} is not https: on their way to us, callbacks can be read and changed", remedy)
    return None


def _comes_back(url: str, token: str, *, key_known: bool) -> Finding:
    """Our server answers 200 to a callback URL that it signed, and 404 to any other."""
    try:
        signed, forged = _status(url, token), _status(url, f"{token}x")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        remedy = "Start the server, and let its proxy, tunnel or load balancer lead here; is the name in DNS?"
        return wrong("public URL", f"nothing answers at {url} ({type(error).__name__})", remedy)
    if not key_known:
        told = f"something answers at {url}; whether that is us will show once a start has made our secret key"
        return skipped("public URL", told)
    if (signed, forged) == (200, 404):
        return ok("public URL", f"{url} comes back to a server with our key")
    if signed == 200:
        told = f"something answers at {url}, and it is not us: it takes callbacks that nobody signed"
        return wrong("public URL", told, "Let it lead to this server.")
    remedy = "Let it lead, with every path, to this server; TASKWEIR_SECRET_KEY must be the same here and there."
    if 300 <= signed < 400:
        remedy = "Providers do not follow redirects: set TASKWEIR_PUBLIC_URL to where it redirects to."
    return wrong("public URL", f"{url} leads to another server, or not for callbacks: it answers {signed}", remedy)


def _status(url: str, token: str) -> int:
    trust = urlsplit(url).hostname not in LOOPBACK
    with httpx.Client(timeout=_LIMIT_S, trust_env=trust) as client:
        return client.get(f"{url}/callbacks/{_NAME}/{token}").status_code
