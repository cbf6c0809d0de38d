"""Structured logs: one line per fact, past-tense names, never a body, secret or token."""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Line = Mapping[str, Any]
_OF_THE_FRAME = frozenset(("timestamp", "level", "event", "exception"))
_WIDEST_EVENT = 24
_NOT_BARE = frozenset(" \"'=")


class Log:
    """Tells facts by their event's name, each with values by name; `exc_info` is an error whose traceback to tell.

    `write` is who gets each line from `least` on.
    """

    def __init__(self) -> None:
        self.least = logging.INFO
        self.write: Callable[[Line], None] = _for_people

    @property
    def tells_debug(self) -> bool:
        """Whether what `debug` is told goes anywhere: for who would gather facts for nothing, thousands a second."""
        return self.least <= logging.DEBUG

    def debug(self, event: str, **facts: Any) -> None:
        if self.tells_debug:
            self._tell("debug", event, facts)

    def info(self, event: str, **facts: Any) -> None:
        if self.least <= logging.INFO:
            self._tell("info", event, facts)

    def warning(self, event: str, **facts: Any) -> None:
        if self.least <= logging.WARNING:
            self._tell("warning", event, facts)

    def error(self, event: str, **facts: Any) -> None:
        if self.least <= logging.ERROR:
            self._tell("error", event, facts)

    def _tell(self, level: str, event: str, facts: dict[str, Any]) -> None:
        error = facts.pop("exc_info", None)
        if error is not None:  # plain: local variables, keys and prompts among them, stay out
            facts["exception"] = "".join(traceback.format_exception(error)).rstrip()
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        self.write({"timestamp": now, "level": level, "event": event, **facts})


def _for_machines(line: Line) -> None:
    _print(json.dumps(line, ensure_ascii=False, default=repr))


def _for_people(line: Line) -> None:
    values = "".join([f" {name}={_plain(value)}" for name, value in line.items() if name not in _OF_THE_FRAME])
    head = f"{line['timestamp']} [{line['level']:<7}] {line['event']:<{_WIDEST_EVENT}}{values}".rstrip()
    _print(f"{head}\n{line['exception']}" if "exception" in line else head)


def _plain(value: Any) -> str:
    """A value on one line, and told apart from what follows it."""
    bare = isinstance(value, str) and value.isprintable() and value and _NOT_BARE.isdisjoint(value)
    return str(value) if bare else repr(value)


_printing = threading.Lock()


def _print(text: str) -> None:
    with _printing:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


log = Log()


def configure_logs(*, fmt: str, level: str) -> None:
    """Send every log line to standard error, for people or as JSON; other libraries only from warnings on."""
    log.least = logging.getLevelNamesMapping()[level.upper()]
    log.write = _for_machines if fmt == "json" else _for_people
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s", stream=sys.stderr)
