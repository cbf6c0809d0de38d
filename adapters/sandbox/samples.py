"""Tiny but real files for results to point to: one grey video frame, a grey picture, a quarter second of silence."""

import struct
import zlib
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    content: bytes
    media_type: str


def sample(name: str) -> Sample | None:
    """The file that a URL ending in `name` shows, by its suffix alone; None for suffixes that no result has."""
    return _samples().get(name.rpartition(".")[2])


@cache
def _samples() -> dict[str, Sample]:
    return {
        "mp4": Sample(content=_video(), media_type="video/mp4"),
        "png": Sample(content=_picture(), media_type="image/png"),
        "mp3": Sample(content=_silence(), media_type="audio/mpeg"),
        "txt": Sample(content=b"A result of the Taskweir sandbox.\n", media_type="text/plain"),
    }


_BLOCKS_WIDE, _BLOCKS_HIGH = 10, 6
_WIDTH, _HEIGHT = 16 * _BLOCKS_WIDE, 16 * _BLOCKS_HIGH
_SECOND = 1000


def _picture() -> bytes:
    """PNG: 8-bit grey, each row preceded by its filter type 0."""
    rows = zlib.compress((b"\x00" + b"\x80" * _WIDTH) * _HEIGHT)
    header = struct.pack(">IIBBBBB", _WIDTH, _HEIGHT, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _silence() -> bytes:
    """MP3: frames of 417 bytes (128 kbit/s, 44.1 kHz) whose side information says that there is no sound data."""
    return (b"\xff\xfb\x90\x00" + bytes(413)) * 10


def _video() -> bytes:
    """MP4: one second, one H.264 frame. The file type box and the movie box come first, so its place is known."""
    frame = _annotated(_grey_frame())
    kind = _box(b"ftyp", b"isom" + struct.pack(">I", 512) + b"isomiso2avc1mp41")
    place = len(kind) + len(_movie(len(frame), 0)) + 8
    return kind + _movie(len(frame), place) + _box(b"mdat", frame)


def _movie(size: int, place: int) -> bytes:
    samples = (
        _full_box(b"stsd", struct.pack(">I", 1) + _sample_entry())
        + _full_box(b"stts", struct.pack(">III", 1, 1, _SECOND))
        + _full_box(b"stsc", struct.pack(">IIII", 1, 1, 1, 1))
        + _full_box(b"stsz", struct.pack(">III", 0, 1, size))
        + _full_box(b"stco", struct.pack(">II", 1, place))
    )
    data = _box(b"dinf", _full_box(b"dref", struct.pack(">I", 1) + _full_box(b"url ", b"", flags=1)))
    media_info = _full_box(b"vmhd", bytes(8), flags=1) + data + _box(b"stbl", samples)
    handler = _full_box(b"hdlr", bytes(4) + b"vide" + bytes(12) + b"video\x00")
    clock = _full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, _SECOND, _SECOND, 0x55C4, 0))
    track = _full_box(b"tkhd", _track_header(), flags=3)
    media = _box(b"mdia", clock + handler + _box(b"minf", media_info))
    return _box(b"moov", _full_box(b"mvhd", _movie_header()) + _box(b"trak", track + media))


_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _movie_header() -> bytes:
    times = struct.pack(">IIII", 0, 0, _SECOND, _SECOND)
    return times + struct.pack(">IH", 0x10000, 0x100) + bytes(10) + _MATRIX + bytes(24) + struct.pack(">I", 2)


def _track_header() -> bytes:
    times = struct.pack(">IIIII", 0, 0, 1, 0, _SECOND)
    return times + bytes(16) + _MATRIX + struct.pack(">II", _WIDTH << 16, _HEIGHT << 16)


def _sample_entry() -> bytes:
    size = struct.pack(">HHIII", _WIDTH, _HEIGHT, 0x480000, 0x480000, 0)
    content = (
        bytes(6) + struct.pack(">H", 1) + bytes(16) + size + struct.pack(">H", 1) + bytes(32) + b"\x00\x18\xff\xff"
    )
    return _box(b"avc1", content + _box(b"avcC", _decoder_settings()))


def _decoder_settings() -> bytes:
    sequence, picture = _sequence_parameters(), _picture_parameters()
    head = b"\x01" + sequence[1:4] + b"\xff\xe1"
    return head + struct.pack(">H", len(sequence)) + sequence + b"\x01" + struct.pack(">H", len(picture)) + picture


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _full_box(name: bytes, content: bytes, *, flags: int = 0) -> bytes:
    return _box(name, struct.pack(">I", flags) + content)


def _annotated(unit: bytes) -> bytes:
    return struct.pack(">I", len(unit)) + unit


def _golomb(number: int) -> str:
    """An unsigned Exp-Golomb code, in which H.264 writes most of its numbers."""
    bits = f"{number + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _unit(kind: int, bits: str) -> bytes:
    """A NAL unit: one byte of kind, the bits, a stop bit, zeros to the byte."""
    padded = bits + "1"
    padded += "0" * (-len(padded) % 8)
    return bytes([kind]) + int(padded, 2).to_bytes(len(padded) // 8, "big")


def _sequence_parameters() -> bytes:
    """Constrained baseline at level 1.1: order of pictures as decoded, no reference frames, no cropping."""
    profile = f"{66:08b}" + f"{0xC0:08b}" + f"{11:08b}"
    counters = _golomb(0) + _golomb(0) + _golomb(2) + _golomb(0) + "0"
    return _unit(0x67, profile + counters + _golomb(_BLOCKS_WIDE - 1) + _golomb(_BLOCKS_HIGH - 1) + "1100")


def _picture_parameters() -> bytes:
    """CAVLC, one slice group, no weights, quantiser 26, no control of the deblocking."""
    return _unit(0x68, _golomb(0) * 2 + "00" + _golomb(0) * 3 + "000" + _golomb(0) * 3 + "000")


def _grey_frame() -> bytes:
    """An IDR slice in which each block is predicted as flat (16x16, DC) and nothing is added: all of it is grey."""
    header = _golomb(0) + _golomb(7) + _golomb(0) + "0000" + _golomb(0) + "00" + _golomb(0)
    block = _golomb(3) + _golomb(0) + _golomb(0) + "1"
    return _unit(0x65, header + block * (_BLOCKS_WIDE * _BLOCKS_HIGH))
