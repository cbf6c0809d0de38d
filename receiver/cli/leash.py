"""Runs a command on a leash: it ends when its standard input does, so that no parent, however killed, leaves it behind.

`python -m receiver.cli.leash serve` is `taskweir serve` with a parent that holds the other end of the pipe.
"""

import os
import runpy
import signal
import threading

_STDIN = 0


def main() -> None:
    """Run the command in the arguments until it ends, or until the leash is dropped."""
    threading.Thread(target=_stop_when_dropped, daemon=True).start()
    runpy.run_module("receiver", run_name="__main__", alter_sys=True)


def _stop_when_dropped() -> None:
    while os.read(_STDIN, 1):  # not sys.stdin: its lock, held here, would spoil the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
