"""What an extra brings and only a setting asks for, loaded where it does."""

from collections.abc import Callable

from receiver.errors import ConfigurationError
from receiver.traces import Traces


def collector() -> Callable[[], Traces]:
    """What opens traces that are sent; raises `ConfigurationError` where what sends them is not installed."""
    try:
        from receiver.collector import open_traces  # a quarter of a second, for those who asked for it
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"TASKWEIR_OTEL=1 needs a package that is not installed: {error.name}",
            hint="pip install 'taskweir[otel]'",
        ) from None
    return open_traces
