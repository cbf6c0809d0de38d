"""Hosts that keep no file between two calls, known by what they put into the environment; pure."""

from collections.abc import Mapping

_WITHOUT_DISK = {
    "AWS_LAMBDA_FUNCTION_NAME": "AWS Lambda",
    "VERCEL": "Vercel",
    "K_SERVICE": "Cloud Run",
    "FUNCTION_TARGET": "Cloud Functions",
    "NETLIFY": "Netlify",
    "DYNO": "Heroku",
}


def host_without_disk(environment: Mapping[str, str]) -> str | None:
    """The name of the host that we run on, where what we write to its disk is lost; None where nothing says so."""
    return next((name for variable, name in _WITHOUT_DISK.items() if environment.get(variable)), None)


def variables() -> tuple[str, ...]:
    """Those that are looked at."""
    return tuple(_WITHOUT_DISK)
