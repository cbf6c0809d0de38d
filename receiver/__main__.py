"""The command `taskweir`: a server starts at once, all else by way of the command line's list."""

import sys

from receiver.errors import ConfigurationError


def main() -> None:
    """Run what the arguments ask for: 0 done, 1 refused or failed, 2 wrong usage or settings."""
    if sys.argv[1:] == ["serve"]:
        _serve()
    else:
        from receiver.main import main as run

        run()


def _serve() -> None:
    """Without the command line's machinery, which a start would wait for and not use."""
    from receiver.serving import serve

    try:
        serve()
    except ConfigurationError as error:
        from receiver.cli.commands import told

        raise SystemExit(told(2, str(error), error.hint).exit_code) from None


if __name__ == "__main__":
    main()
