"""The files that results point to are what they claim to be."""

import struct
import zlib
from collections.abc import Iterator

from adapters.sandbox.samples import sample

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl"}


def _content(name: str) -> bytes:
    found = sample(name)
    assert found is not None
    return found.content


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Every box of an ISO media file with where its content starts and ends; sizes must add up exactly."""
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        assert 8 <= size <= end - start
        yield name, start + 8, start + size
        if name in CONTAINERS:
            yield from _boxes(data, start + 8, start + size)
        start += size
    assert start == end


def test_the_video_is_a_consistent_file() -> None:
    """Its boxes nest without a gap, and the one sample that they promise is the frame in the media data."""
    data = _content("x.mp4")
    boxes = {name: (start, end) for name, start, end in _boxes(data, 0, len(data))}
    media_start, media_end = boxes[b"mdat"]
    (place,) = struct.unpack_from(">I", data, boxes[b"stco"][0] + 8)
    (size,) = struct.unpack_from(">I", data, boxes[b"stsz"][0] + 12)
    assert (place, place + size) == (media_start, media_end)
    (unit,) = struct.unpack_from(">I", data, place)
    assert unit == size - 4
    assert data[place + 4] & 0x1F == 5, "an IDR picture"


def test_the_video_has_its_settings_in_the_sample_entry() -> None:
    """A player learns the codec from `avcC`: its profile bytes repeat those of the sequence parameters in it."""
    data = _content("x.mp4")
    at = data.index(b"avcC") + 4
    (length,) = struct.unpack_from(">H", data, at + 6)
    sequence = data[at + 8 : at + 8 + length]
    assert data[at + 1 : at + 4] == sequence[1:4]
    assert sequence[0] & 0x1F == 7
    (next_length,) = struct.unpack_from(">H", data, at + 9 + length)
    picture = data[at + 11 + length : at + 11 + length + next_length]
    assert picture[0] & 0x1F == 8
    assert b"\x00\x00\x01" not in sequence + picture, "no start code inside a unit"


def test_the_picture_has_sound_checksums() -> None:
    """Every chunk of the PNG has the right checksum, and its rows unpack to the size in its header."""
    data = _content("x.png")
    at, chunks = 8, {}
    while at < len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(name + content),)
        chunks[name] = content
        at += 12 + size
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    assert len(zlib.decompress(chunks[b"IDAT"])) == (width + 1) * height


def test_the_silence_is_whole_frames() -> None:
    """Each MP3 frame starts where its header says that the last one ended."""
    data = _content("x.mp3")
    assert len(data) % 417 == 0
    assert all(data[at : at + 3] == b"\xff\xfb\x90" for at in range(0, len(data), 417))


def test_other_files_do_not_exist() -> None:
    """Only suffixes that a result can have are served."""
    assert sample("x.exe") is None
    assert sample("mp4x") is None
