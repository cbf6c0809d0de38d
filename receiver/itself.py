"""Which webhook targets are this very server: events sent there would come back to where they began."""

from collections.abc import Callable
from dataclasses import dataclass

from yarl import URL

from receiver import addresses


@dataclass(frozen=True, slots=True, kw_only=True)
class Itself:
    """Where this server listens, and the URL that others know it by; `is_here` knows this machine's own addresses.

    What reaches it through somebody else's proxy or gateway cannot be told from outside, and is not known here.
    """

    host: str
    port: int
    public_url: str | None
    is_here: Callable[[str], bool]

    def is_named(self, url: URL) -> bool:
        """Whether a URL has the host and the port of the public URL."""
        try:
            public = URL(self.public_url or "")
        except ValueError:  # nobody can reach it: the operator will see
            return False
        return url.port == public.port and _folded(url) == _folded(public)

    def is_at(self, address: str, port: int) -> bool:
        """Whether whoever dials an address and port from here comes out at the listening socket."""
        ip, listening = addresses.read(address), addresses.read(self.host)
        if port != self.port or ip is None:
            return False
        dialled = (ip, *addresses.carried(ip))
        if any(each.is_unspecified for each in dialled) or listening in dialled:
            return True
        anywhere = listening is None or listening.is_unspecified  # a name may stand for any of our addresses
        return anywhere and any(self.is_here(str(each)) for each in dialled)


def _folded(url: URL) -> str:
    host = (url.raw_host or "").rstrip(".").lower()
    ip = addresses.spelled(host) or addresses.read(host)
    return host if ip is None else str(ip)
