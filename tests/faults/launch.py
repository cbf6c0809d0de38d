"""Starts servers quickly, again and again: forked from a process that has imported everything already."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import receiver.server
from adapters.sandbox.server import create_app
from adapters.sandbox.server import serve as serve_sandbox
from receiver.delivery import DeliveryLimits
from receiver.main import load_adapters, settings_of
from receiver.poller import PollLimits
from receiver.roles import ServerRole
from receiver.service import Limits
from receiver.settings import in_role
from receiver.submit import SubmitLimits
from receiver.telemetry import configure_logs
from tests.faults.failpoints import Failpoint, arm
from tests.processes import unmeasured

assert receiver.server  # imported here, once, for all the servers that are forked from this process

IN_HASTE = Limits(
    submit=SubmitLimits(deadline_s=1.0, lease_s=2.0),
    poll=PollLimits(deadline_s=1.0, lease_s=2.0),
    delivery=DeliveryLimits(deadline_s=1.0, lease_s=2.0),
    answer_within_s=5.0,
    drain_s=2.0,
)
# What was under way at three kills in a row waits for its turn alone: not for half a minute each time.
SUSPECTS_SOON = Limits(delivery=DeliveryLimits(suspect_pause_s=0.5))
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start_server(environment: Mapping[str, str], log: Path) -> ForkServerProcess:
    """`taskweir serve` as a process of its own; with `TASKWEIR_FAILPOINT=name:n` it kills itself there."""
    return _start(_serve, dict(environment), log)


def start_replica(
    environment: Mapping[str, str], log: Path, limits: Limits = IN_HASTE, role: ServerRole = ServerRole.ALL
) -> ForkServerProcess:
    """The same in a role, with limits of a second and leases of two: what a dead one leaves is soon taken over."""
    return _start(_serve_within, dict(environment), log, limits, role)


def start_sandbox(port: int, ledger: Path, log: Path, *, finish_after_s: float, retry_s: float) -> ForkServerProcess:
    """The provider sandbox as a process of its own."""
    return _start(_sandbox, port, ledger, log, finish_after_s, retry_s)


def _start(target: Callable[..., None], *values: Any) -> ForkServerProcess:
    """The first one starts what all are forked from: unmeasured, for they are killed."""
    process = _CONTEXT.Process(target=target, args=values, daemon=True)
    ours = dict(os.environ)
    for name in ours.keys() - unmeasured(ours).keys():
        del os.environ[name]
    try:
        process.start()
    finally:
        os.environ.update(ours)
    return process


def _serve(environment: dict[str, str], log: Path) -> None:
    failpoint = environment.pop("TASKWEIR_FAILPOINT", None)
    if failpoint is not None:
        arm(Failpoint(failpoint))
    _serve_within(environment, log, SUSPECTS_SOON, ServerRole.ALL)


def _serve_within(environment: dict[str, str], log: Path, limits: Limits, role: ServerRole) -> None:
    _print_to(log)
    os.environ.clear()
    os.environ.update(environment)
    configure_logs(fmt="json", level="info")
    adapters = load_adapters()
    receiver.server.run(in_role(settings_of(os.environ, adapters), role), adapters, limits)


def _sandbox(port: int, ledger: Path, log: Path, finish_after_s: float, retry_s: float) -> None:
    _print_to(log)
    app = create_app(finish_after_s=finish_after_s, ledger=ledger, callback_retry_s=retry_s)
    asyncio.run(serve_sandbox(app, host="127.0.0.1", port=port, ready=lambda url: None))


def _print_to(log: Path) -> None:
    os.setsid()  # Ctrl-C is for whoever counts the kills
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
