"""What a process does of all that there is to do: its role, as `taskweir serve --role` takes it."""

from enum import StrEnum


class ServerRole(StrEnum):
    """`web` takes what callers and providers send, `worker` hands over, polls and delivers; `all` does both."""

    ALL = "all"
    WEB = "web"
    WORKER = "worker"

    @property
    def works(self) -> bool:
        """Whether its loops run, so that it needs its part of what all processes may do together."""
        return self is not ServerRole.WEB

    @property
    def receives(self) -> bool:
        """Whether it has the doors of the API and of the callbacks."""
        return self is not ServerRole.WORKER

    @property
    def prefix(self) -> str:
        """What the ids of its processes begin with, by which the others know what it does."""
        return "proc" if self is ServerRole.ALL else self.value


def role_of(process: str) -> ServerRole:
    """The role of a process, by its id."""
    prefix = process.partition("_")[0]
    return next((role for role in ServerRole if role.prefix == prefix), ServerRole.ALL)
