"""JetStream: what a message holds, and what NATS itself does with repeats."""

import json

import pytest

from receiver.domain import Format
from tests.rendered.samples import FORMATS
from tests.senders.remotely import a_place, a_remote, an_owed, arrives, arrives_rendered, attempts, error_of, ids
from tests.senders.servers import SUBJECT, Nats, a_server

pytestmark = pytest.mark.anyio


@pytest.fixture
def running(nats_server: Nats) -> Nats:
    return nats_server


@pytest.mark.parametrize("format", FORMATS)
async def test_a_message_is_the_event_in_its_format(server: Nats, format: Format) -> None:
    """The body that a webhook would get, its headers, and the event's id for NATS."""
    got, message = await arrives_rendered(server, format)
    assert got["body"] == message.body
    assert {name: got[name] for name in message.headers} == message.headers
    assert got["Nats-Msg-Id"] == "evt_7"


async def test_nats_says_where_an_event_is_and_what_it_had_before(server: Nats) -> None:
    """In words that the delivery's attempt keeps."""
    place = a_place("nats", server.url())
    async with a_remote("nats") as sender:
        assert await arrives(sender, place, an_owed(1)) == ["stream EVENTS, sequence 1"]
        assert await arrives(sender, place, an_owed(1)) == ["stream EVENTS, sequence 1, a repeat"]
        assert await arrives(sender, place, an_owed(2)) == ["stream EVENTS, sequence 2"]


async def test_a_subject_without_a_stream_is_a_failed_attempt(server: Nats) -> None:
    """Core NATS would drop it, and nobody would know; the error says what to run."""
    url = server.url().replace(SUBJECT, "nobody.listens")
    async with a_remote("nats") as sender:
        error = await error_of(sender, a_place("nats", url))
    assert error == (
        "no JetStream stream takes the subject nobody.listens: nats stream add --subjects 'nobody.listens'"
    )


async def test_who_may_not_publish_hears_so_at_once(server: Nats) -> None:
    """NATS gives no answer then but a word to the connection."""
    url = server.url("reader:reader-password@")
    async with a_remote("nats", deadline_s=10) as sender:
        error = await error_of(sender, a_place("nats", url))
    assert "permissions violation for publish" in error.lower()


async def test_a_stream_that_is_full_says_so(server: Nats) -> None:
    """JetStream's own words; the others of its stream arrive once there is room."""
    await server.empty(max_msgs=1, discard="new")
    place = a_place("nats", server.url())
    async with a_remote("nats") as sender:
        await arrives(sender, place, an_owed(1))
        assert await error_of(sender, place, an_owed(2)) == "JetStream refused it: maximum messages exceeded"
    assert ids(await server.got()) == ["evt_1"]


async def test_an_event_that_is_larger_than_the_server_takes(server: Nats) -> None:
    """Told with its size; the connection is of use for the next one."""
    place = a_place("nats", server.url())
    large = an_owed(1, metadata={str(number): "x" * 500 for number in range(3000)})
    async with a_remote("nats") as sender:
        [made] = await attempts(sender, place, large)
        assert made.error is not None
        assert "max_payload" in made.error
        await arrives(sender, place, an_owed(2))
    assert [json.loads(each["body"])["id"] for each in await server.got()] == ["evt_2"]


async def test_a_user_name_alone_is_a_token() -> None:
    """As NATS has it."""
    with a_server(Nats, token="a-token-of-theirs") as server:
        await server.empty()
        async with a_remote("nats") as sender:
            await arrives(sender, a_place("nats", server.url("a-token-of-theirs@")))
            wrong = a_place("nats", server.url("another-token@"), id="dst_2")
            error = await error_of(sender, wrong)
            assert "Authorization Violation" in error
            assert "another-token" not in error
