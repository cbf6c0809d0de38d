"""No request can be read as two, or as another one, by us or by who stands before us: what is ambiguous is refused."""

import pytest

from tests.raw.talking import LAST, Door, get, problem, receiving, statuses

pytestmark = pytest.mark.anyio
HIDDEN = get("/hidden")
HOST = b"Host: x\r\n"


def lines(*given: bytes, start: bytes = b"POST / HTTP/1.1", rest: bytes = b"") -> bytes:
    return b"\r\n".join([start, b"Host: x", *given, b"", b""]) + rest


def codings(*values: bytes) -> bytes:
    """Framed by these transfer codings; what a reader of lengths would take for a request stands behind."""
    return lines(*(b"Transfer-Encoding: " + value for value in values), rest=b"0\r\n\r\n" + HIDDEN)


def length(value: bytes, *more: bytes) -> bytes:
    return lines(b"Content-Length: " + value, *more, rest=b"abc" + HIDDEN)


def chunk(raw: bytes) -> bytes:
    return lines(b"Transfer-Encoding: chunked", rest=raw + HIDDEN)


REFUSED: dict[str, bytes] = {
    # Two lengths, or one that is none
    "chunked, then a length": lines(b"Transfer-Encoding: chunked", b"Content-Length: 3", rest=b"0\r\n\r\n" + HIDDEN),
    "a length, then chunked": lines(b"Content-Length: 3", b"Transfer-Encoding: chunked", rest=b"0\r\n\r\n" + HIDDEN),
    "a length of nothing, then chunked": lines(b"Content-Length: 0", b"Transfer-Encoding: chunked", rest=HIDDEN),
    "a coding that is none beside a length": length(b"3", b"Transfer-Encoding: identity"),
    "an empty coding beside a length": length(b"3", b"Transfer-Encoding:"),
    "two equal lengths": length(b"3", b"Content-Length: 3"),
    "two different lengths": length(b"3", b"Content-Length: 30"),
    "two lengths in one": length(b"3, 3"),
    "an empty length": length(b""),
    "a length with a sign": length(b"+3"),
    "a negative length": length(b"-3"),
    "a length in hexadecimals": length(b"0x3"),
    "a length with a space": length(b"3 3"),
    "a length with a point": length(b"3.0"),
    "a length with an underscore": length(b"3_0"),
    "a length in quotes": length(b'"3"'),
    "a length beyond 64 bits": length(b"36893488147419103235"),
    "a length before a tab and more": length(b"3\t5"),
    "a space before the length's colon": lines(b"Content-Length : 3", rest=b"abc" + HIDDEN),
    "a vertical tab in a length": length(b"\x0b3"),
    # Codings
    "a coding of another name": codings(b"xchunked"),
    "a coding before chunked": codings(b"gzip, chunked"),
    "a coding behind chunked": codings(b"chunked, identity"),
    "chunked twice in one": codings(b"chunked, chunked"),
    "chunked twice": codings(b"chunked", b"chunked"),
    "chunked and another": codings(b"chunked", b"identity"),
    "another and chunked": codings(b"identity", b"chunked"),
    "identity": codings(b"identity"),
    "a coding in quotes": codings(b'"chunked"'),
    "a coding with a parameter": codings(b"chunked;q=1"),
    "a vertical tab before chunked": codings(b"\x0bchunked"),
    "a NUL behind chunked": codings(b"chunked\x00"),
    "a space before the coding's colon": lines(b"Transfer-Encoding : chunked", rest=b"0\r\n\r\n" + HIDDEN),
    "a tab before the coding's colon": lines(b"Transfer-Encoding\t: chunked", rest=b"0\r\n\r\n" + HIDDEN),
    "chunked of HTTP/1.0": lines(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.0", rest=b"0\r\n\r\n" + HIDDEN),
    # Chunks
    "a chunk's size with a prefix": chunk(b"0x3\r\nabc\r\n0\r\n\r\n"),
    "a chunk's size with a sign": chunk(b"+3\r\nabc\r\n0\r\n\r\n"),
    "a chunk's size with a space before": chunk(b" 3\r\nabc\r\n0\r\n\r\n"),
    "a chunk's size with a space behind": chunk(b"3 \r\nabc\r\n0\r\n\r\n"),
    "a chunk's size with an underscore": chunk(b"0_3\r\nabc\r\n0\r\n\r\n"),
    "a chunk's size that is none": chunk(b"g\r\nabc\r\n0\r\n\r\n"),
    "a chunk without a size": chunk(b"\r\nabc\r\n0\r\n\r\n"),
    "a chunk's size beyond 64 bits": chunk(b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
    "a chunk that is longer than its size": chunk(b"3\r\nabcd\r\n0\r\n\r\n"),
    "a line feed behind a chunk's size": chunk(b"3\nabc\r\n0\r\n\r\n"),
    "a carriage return behind a chunk's size": chunk(b"3\rabc\r\n0\r\n\r\n"),
    "a line feed behind a chunk": chunk(b"3\r\nabc\n0\r\n\r\n"),
    "a line feed at the end of the chunks": chunk(b"3\r\nabc\r\n0\n\n"),
    "a line feed in an extension": chunk(b"3;a\nabc\r\n0\r\n\r\n"),
    "a carriage return in an extension": chunk(b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    "a NUL in an extension": chunk(b"3;\x00\r\nabc\r\n0\r\n\r\n"),
    "a length in a trailer": chunk(b"0\r\nContent-Length: 50\r\n\r\n"),
    "a coding in a trailer": chunk(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    # Lines
    "bare line feeds": b"GET / HTTP/1.1\nHost: x\n\n" + HIDDEN,
    "a line feed behind the request line": b"GET / HTTP/1.1\nHost: x\r\n\r\n" + HIDDEN,
    "a line feed behind a header": b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n" + HIDDEN,
    "a line feed at the end of the head": b"GET / HTTP/1.1\r\nHost: x\r\n\n" + HIDDEN,
    "a carriage return behind a header": b"GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n" + HIDDEN,
    "a carriage return in a value": lines(b"X: a\rb"),
    "a NUL in a value": lines(b"X: a\x00b"),
    "a NUL in a name": lines(b"X\x00: a"),
    "a folded header": lines(b"X: a", b" b"),
    "a header folded with a tab": lines(b"X: a", b"\tb"),
    "a folded first header": b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    "a folded coding": lines(b"Transfer-Encoding:", b" chunked", rest=b"0\r\n\r\n" + HIDDEN),
    "a folded length": lines(b"Content-Length:", b" 3", rest=b"abc" + HIDDEN),
    "a header without a colon": lines(b"X"),
    "a header without a name": lines(b": x"),
    "a space in a name": lines(b"X Y: a"),
    "a space before a colon": lines(b"X : a"),
    "a name in parentheses": lines(b"(X): a"),
    "a name in Latin-1": lines("Ä: a".encode("latin-1")),
    # Request lines
    "no version": b"GET /\r\n\r\n" + HIDDEN,
    "version 0.9": lines(start=b"GET / HTTP/0.9"),
    "version 1.2": lines(start=b"GET / HTTP/1.2"),
    "version 2.0": lines(start=b"GET / HTTP/2.0"),
    "a version of three": lines(start=b"GET / HTTP/1.1.1"),
    "a version in small letters": lines(start=b"GET / http/1.1"),
    "a version behind a word": lines(start=b"GET / x HTTP/1.1"),
    "a space behind the version": lines(start=b"GET / HTTP/1.1 "),
    "tabs between the words": lines(start=b"GET\t/\tHTTP/1.1"),
    "a space before the method": b" " + get(),
    "a method in small letters": lines(start=b"get / HTTP/1.1"),
    "no method": lines(start=b"/ HTTP/1.1"),
    "a NUL in the address": lines(start=b"GET /\x00 HTTP/1.1"),
    "a byte beyond ASCII in the address": lines(start=b"GET /\xc3\xa4 HTTP/1.1"),
    "a carriage return in the address": lines(start=b"GET /\r HTTP/1.1"),
    # Hosts
    "two hosts": lines(b"Host: y"),
    "the same host twice": lines(b"Host: x"),
    "two hosts, in other letters": lines(b"HOST: y"),
}


@pytest.mark.parametrize("split", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_ambiguous_is_refused(name: str, split: bool) -> None:
    """400, once, and the connection ends: what stands behind is not read as a request, and no door sees a body."""
    raw, door = REFUSED[name], Door()
    async with receiving(door, head_s=30, body_s=30, idle_s=30) as server:
        pieces = [raw[at : at + 1] for at in range(len(raw))] if split else [raw + LAST]
        async with server.caller() as caller:
            await caller.say(*pieces, pause_s=0)
            heard = await caller.hear()
    assert statuses(heard) == [400], heard
    assert problem(heard)["status"] == 400
    assert [path for _, path, *_ in door.seen if path != "/"] == []
    assert [body for *_, body in door.seen if body is not None] == []


ONE: dict[str, tuple[bytes, bytes]] = {
    "a length": (lines(b"Content-Length: 3", rest=b"abc"), b"abc"),
    "a length with zeros before": (lines(b"Content-Length: 0003", rest=b"abc"), b"abc"),
    "a length among spaces": (lines(b"Content-Length:  3  ", rest=b"abc"), b"abc"),
    "a length with an underscore in its name": (lines(b"Content_Length: 300"), b""),
    "chunks": (lines(b"Transfer-Encoding: chunked", rest=b"3\r\nabc\r\n0\r\n\r\n"), b"abc"),
    "chunks in capitals": (lines(b"TRANSFER-ENCODING: CHUNKED", rest=b"03\r\nabc\r\n000\r\n\r\n"), b"abc"),
    "chunks with extensions": (lines(b"Transfer-Encoding: chunked", rest=b'3;a=b;c="d"\r\nabc\r\n0\r\n\r\n'), b"abc"),
    "a request as a body": (lines(b"Content-Length: %d" % len(HIDDEN), rest=HIDDEN), HIDDEN),
    "a request in a chunk": (
        lines(b"Transfer-Encoding: chunked", rest=b"%x\r\n%b\r\n0\r\n\r\n" % (len(HIDDEN), HIDDEN)),
        HIDDEN,
    ),
    "a body of a GET": (lines(b"Content-Length: 3", start=b"GET / HTTP/1.1", rest=b"abc"), b"abc"),
    "empty lines before": (b"\r\n\r\n" + lines(), b""),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", b""),
}


@pytest.mark.parametrize("name", ONE)
async def test_what_has_one_meaning_is_one_request(name: str) -> None:
    """At once and byte by byte, and the next one behind it is its own."""
    raw, body = ONE[name]
    door = Door()
    async with receiving(door, head_s=30, body_s=30, idle_s=30) as server:
        for pieces in ([raw + LAST], [raw[at : at + 1] for at in range(len(raw))] + [LAST]):
            async with server.caller() as caller:
                await caller.say(*pieces, pause_s=0)
                assert statuses(await caller.hear()) == [200, 200]
    assert [(path, got) for _, path, _, got in door.seen] == [("/", body), ("/last", b"")] * 2


async def test_a_trailer_is_no_header() -> None:
    """What comes behind a body speaks for nobody: neither for this request nor for the next."""
    door = Door()
    async with receiving(door) as server:
        raw = lines(b"Transfer-Encoding: chunked", rest=b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
        assert statuses(await server.ask(raw + LAST)) == [200, 200]
    assert [body for *_, body in door.seen] == [b"abc", b""]
    assert not [given for _, _, given, _ in door.seen if "authorization" in given]


async def test_nothing_behind_a_closing_request_is_read() -> None:
    """Nor answered."""
    door = Door()
    async with receiving(door) as server:
        assert statuses(await server.ask(LAST + HIDDEN)) == [200]
    assert [path for _, path, *_ in door.seen] == ["/last"]
