"""URLs of users' own servers: what is read out of them, and what is said of those that cannot be used."""

import pytest

from receiver.errors import Malformed
from receiver.senders.kinds import KINDS
from receiver.targets import Target, read_target


def read(kind: str, url: str) -> Target:
    return read_target(url, KINDS[kind].load().shape)


@pytest.mark.parametrize(
    ("kind", "url", "origin", "path", "options", "shown"),
    [
        ("nats", "nats://db.example/a.b", "http://db.example:4222/", "a.b", {}, "nats://db.example/a.b"),
        ("nats", "tls://u:p@db.example:7422/a", "http://db.example:7422/", "a", {}, "tls://db.example:7422/a"),
        (
            "redis",
            "redis://:p%40ss@[2001:db8::1]?stream=a-b",
            "http://[2001:db8::1]:6379/",
            "0",
            {"stream": "a-b", "maxlen": ""},
            "redis://[2001:db8::1]?stream=a-b",
        ),
        (
            "redis",
            "REDISS://db.example:80/2?maxlen=5",
            "http://db.example:80/",
            "2",
            {"stream": "taskweir", "maxlen": "5"},
            "REDISS://db.example:80/2?maxlen=5",
        ),
        (
            "postgres",
            "postgres://u:p@127.1/shop?schema=films&sslmode=require",
            "http://127.0.0.1:5432/",
            "shop",
            {"schema": "films", "sslmode": "require", "channel_binding": "prefer"},
            "postgres://127.1/shop?schema=films&sslmode=require",
        ),
    ],
)
def test_a_url_is_read_whole_and_shown_without_who_logs_in(
    kind: str, url: str, origin: str, path: str, options: dict[str, str], shown: str
) -> None:
    """What was left out has its default."""
    target = read(kind, url)
    assert (target.origin, target.path, target.options, target.shown) == (origin, path, options, shown)


def test_who_logs_in_is_decoded() -> None:
    """As every client's URL has it; a user alone, a password alone, an empty one."""
    logins = {
        "u:p%40%2F%3A": ("u", "p@/:"),
        "u": ("u", None),
        ":p": (None, "p"),
        "u:": ("u", None),
        "u:a:b": ("u", "a:b"),
    }
    for login, (user, password) in logins.items():
        target = read("redis", f"redis://{login}@db.example/0")
        assert (target.user, target.password) == (user, password)


def test_a_target_tells_nobody_who_logs_in() -> None:
    """Not when it is printed, either."""
    target = read("postgres", "postgresql://a-user:a-password@db.example/shop")
    assert "a-user" not in repr(target)
    assert "a-password" not in repr(target)
    assert target.secrets == ["a-user", "a-password"]


@pytest.mark.parametrize(
    ("kind", "url", "told"),
    [
        ("nats", "https://db.example/a", "the URL must start with nats:// or tls://"),
        ("redis", "db.example:6379", "the URL must start with redis:// or rediss://"),
        (
            "postgres",
            "postgresql://u:p@db.example/shop?host=/tmp",
            "behind its ? there may be schema, sslmode, channel_binding",
        ),
        ("postgres", "postgresql://u:p@db.example/shop?sslkey=/etc/passwd", "an option that is not known here"),
        ("postgres", "postgresql://u:p@db.example/shop?sslmode=require&sslmode=disable", "sslmode more than once"),
        ("postgres", "postgresql://u:p@db.example/shop?sslmode=allow", "sslmode must be one of disable, prefer"),
        ("postgres", "postgresql://u:p@db.example/shop?schema=pg_catalog", "schema must be a name of small letters"),
        ("postgres", "postgresql://u:p@db.example/shop?schema=a;b", "schema must be a name of small letters"),
        ("postgres", "postgresql://u:p@db.example", "path must be a database's name"),
        ("postgres", "postgresql://db.example/shop", "does not say who logs in: postgresql://user:password@host"),
        ("postgres", "postgresql://u:p@a.example,b.example/shop", "names several hosts: name one"),
        ("postgres", "postgresql://u:p@/shop", "no usable host"),
        ("postgres", "postgresql://u:p@db.example:0/shop", "port of the URL must be from 1 to 65535"),
        ("nats", "nats://db.example", "path must be the subject to publish to"),
        ("nats", "nats://db.example/a.*", "path must be the subject to publish to"),
        ("nats", "nats://db.example/a..b", "path must be the subject to publish to"),
        ("nats", "nats://db.example/$JS.API", "path must be the subject to publish to"),
        ("nats", "nats://db.example/a%0D%0APUB", "control character"),
        ("nats", "nats://db.example/a b", "control character, a space or a backslash"),
        ("nats", "nats://db.example/a?b=c", "behind its ? there may be none"),
        ("redis", "redis://db.example/zero", "path must be the number of a database"),
        ("redis", "redis://db.example/0?maxlen=0", "maxlen must be how many entries to keep"),
        ("redis", "redis://db.example/0?stream=a%20b", "stream must be a stream's name"),
        ("redis", "redis://u:p@ss@db.example/0", "more than one @: in a user name or password write it as %40"),
        ("redis", "redis://u:pa/ss@db.example/0", "an @ behind its host: in a user name or password write / as %2F"),
        ("redis", "redis://u:12?ss@db.example/0", "an @ behind its host"),
        ("redis", "redis://u:%ff@db.example/0", "percent-encoded, and not as UTF-8"),
        ("redis", "redis://u:%00@db.example/0", "control character"),
        ("redis", "redis://u:p#ss@db.example/0", "the URL holds a #: in a user name or password write it as %23"),
        ("redis", f"redis://db.example/0?stream={'a' * 2100}", "longer than 2048"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_with_what_to_write(kind: str, url: str, told: str) -> None:
    """And without the password that may be in it."""
    with pytest.raises(Malformed) as refused:
        read(kind, url)
    assert told in str(refused.value)
    assert "ss@" not in str(refused.value)
