"""What reAPI documents that it refuses, for doubao-seedance-2.0: the rows of its validation table (seed 001).

Left out are the rows that need the media themselves (clip sizes and lengths, the probe). Where the page contradicts
its own table ("any other combination is rejected"), only the table counts. A field that is null is of the wrong type;
an empty list sets nothing. Codes are the seed's; so are messages, as far as it gives them.
"""

from collections.abc import Callable, Iterator
from typing import Any

from adapters.base import Input
from receiver.errors import Fault

MODELS = frozenset(
    {
        "doubao-seedance-2.0",
        "doubao-seedance-2.0-face",
        "doubao-seedance-2.0-fast",
        "doubao-seedance-2.0-fast-face",
        "doubao-seedance-2.0-official",
        "doubao-seedance-2.0-fast-official",
    }
)

_MISSING = 20002
_INVALID = 20003
_INVALID_SIZE = 20005

_PROMPT_MIN, _PROMPT_MAX = 3, 4000
_DURATION_MIN, _DURATION_MAX = 4, 15
_SIZES = ("16:9", "9:16", "1:1", "4:3", "3:4", "21:9", "adaptive")
_RESOLUTIONS = ("480p", "720p", "1080p", "4k")
_ABOVE_FAST = ("1080p", "4k")
_ROLES = ("first_frame", "last_frame")
_LISTS = {"image_urls": 9, "image_with_roles": 9, "video_urls": 3, "audio_urls": 3}
_SWITCHES = ("generate_audio", "return_last_frame", "nsfw_checker")


def faults_of(model: str, input: Input) -> Iterator[Fault]:
    """Every fault of the parameters beside `model`; fields that the page does not name pass."""
    yield from _prompt_faults(input)
    yield from _duration_faults(input)
    yield from _size_faults(input)
    yield from _resolution_faults(model, input)
    for name in _SWITCHES:
        yield from _type_faults(input, name, "boolean", _is_switch)
    yield from _fallback_faults(input)
    yield from _tool_faults(input)
    for name, most in _LISTS.items():
        yield from _list_faults(input, name, most)
    yield from _combination_faults(input)


def _prompt_faults(input: Input) -> Iterator[Fault]:
    prompt = input.get("prompt")
    if "prompt" not in input:
        yield Fault(path="input.prompt", code=_MISSING, message=_wrong_type("prompt", "string", _ABSENT))
    elif not isinstance(prompt, str):
        yield Fault(path="input.prompt", code=_INVALID, message=_wrong_type("prompt", "string", prompt))
    elif len(prompt) < _PROMPT_MIN:
        message = f"prompt: Too small: expected string to have >={_PROMPT_MIN} characters"
        yield Fault(path="input.prompt", code=_INVALID if prompt else _MISSING, message=message)
    elif len(prompt) > _PROMPT_MAX:
        message = f"prompt: Too big: expected string to have <={_PROMPT_MAX} characters"
        yield Fault(path="input.prompt", code=_INVALID, message=message)


def _duration_faults(input: Input) -> Iterator[Fault]:
    """5.0 is the integer 5, as it is to the provider's own JSON parser."""
    yield from _type_faults(input, "duration", "number", _is_number)
    value: Any = input.get("duration")
    if not _is_number(value):
        return
    if value != int(value):
        yield _invalid("duration", "duration: Invalid input: expected int, received number")
    elif not _DURATION_MIN <= value <= _DURATION_MAX:
        message = f"duration must be {_DURATION_MIN}-{_DURATION_MAX} seconds, got {_number(value)}"
        yield _invalid("duration", message)


def _size_faults(input: Input) -> Iterator[Fault]:
    yield from _type_faults(input, "size", "string", _is_text)
    size = input.get("size")
    if isinstance(size, str) and size not in _SIZES:
        message = f'invalid size "{_short(size)}" (allowed: {" / ".join(_SIZES)})'
        yield Fault(path="input.size", code=_INVALID_SIZE, message=message)


def _resolution_faults(model: str, input: Input) -> Iterator[Fault]:
    """Lower case only; the fast variants end at 720p."""
    yield from _type_faults(input, "resolution", "string", _is_text)
    resolution = input.get("resolution")
    if isinstance(resolution, str) and resolution not in _RESOLUTIONS:
        yield _invalid("resolution", f'invalid resolution "{_short(resolution)}" (allowed: {" / ".join(_RESOLUTIONS)})')
    elif resolution in _ABOVE_FAST and "-fast" in model:
        remedy = "(use doubao-seedance-2.0 or doubao-seedance-2.0-face)"
        yield _invalid("resolution", f"resolution={resolution} is not supported by {model} {remedy}")


def _fallback_faults(input: Input) -> Iterator[Fault]:
    yield from _type_faults(input, "fallback", "object", _is_object)
    fallback = input.get("fallback")
    if isinstance(fallback, dict) and not isinstance(fallback.get("enabled", True), bool):
        message = _wrong_type("fallback.enabled", "boolean", fallback["enabled"])
        yield _invalid("fallback.enabled", message)


def _tool_faults(input: Input) -> Iterator[Fault]:
    yield from _type_faults(input, "tools", "array", _is_list)
    for at, tool in _items(input, "tools"):
        if not isinstance(tool, dict):
            yield _invalid(at, _wrong_type(at, "object", tool))
        elif tool.get("type") != "web_search":
            got = _quoted(tool.get("type", _ABSENT))
            yield _invalid(f"{at}.type", f'{at}.type must be "web_search", got {got}')


def _list_faults(input: Input, name: str, most: int) -> Iterator[Fault]:
    """How many, of what, and no data: URIs; `image_with_roles` holds {url, role}, the others URLs."""
    yield from _type_faults(input, name, "array", _is_list)
    items = list(_items(input, name))
    if len(items) > most:
        yield _invalid(name, f"at most {most} {name} allowed, got {len(items)}")
    for at, item in items:
        if name != "image_with_roles":
            yield from _url_faults(name, at, item)
        elif not isinstance(item, dict):
            yield _invalid(at, _wrong_type(at, "object", item))
        else:
            yield from _url_faults(name, f"{at}.url", item.get("url", _ABSENT))
            if item.get("role") not in _ROLES:
                got = _quoted(item.get("role", _ABSENT))
                yield _invalid(f"{at}.role", f"{at}.role must be first_frame or last_frame, got {got}")


def _url_faults(name: str, at: str, url: Any) -> Iterator[Fault]:
    if not isinstance(url, str):
        yield _invalid(at, _wrong_type(at, "string", url))
    elif url.strip().lower().startswith("data:"):
        yield _invalid(at, f"{name} entries must be public URLs; base64 data URIs are not supported")


def _combination_faults(input: Input) -> Iterator[Fault]:
    images, framed, videos, audios = (
        bool(input.get(name)) for name in ("image_urls", "image_with_roles", "video_urls", "audio_urls")
    )
    if images and framed:
        yield _invalid("image_with_roles", "image_urls and image_with_roles cannot be used simultaneously")
    if framed and (videos or audios):
        yield _invalid("image_with_roles", "image_with_roles cannot be combined with video_urls or audio_urls")
    if audios and not images and not videos:
        yield _invalid("audio_urls", "audio_urls must be used together with image_urls or video_urls")


def _type_faults(input: Input, name: str, expected: str, is_right: Callable[[Any], bool]) -> Iterator[Fault]:
    if name in input and not is_right(input[name]):
        yield _invalid(name, _wrong_type(name, expected, input[name]))


def _items(input: Input, name: str) -> list[tuple[str, Any]]:
    value = input.get(name)
    return [(f"{name}[{index}]", item) for index, item in enumerate(value)] if isinstance(value, list) else []


def _invalid(at: str, message: str) -> Fault:
    return Fault(path=f"input.{at}", code=_INVALID, message=message)


class _Absent:
    """Stands for a field that is not there, which is not null."""


_ABSENT = _Absent()
_TYPE_NAMES = {_Absent: "undefined", type(None): "null", bool: "boolean", str: "string", list: "array", dict: "object"}


def _wrong_type(at: str, expected: str, value: Any) -> str:
    return f"{at}: Invalid input: expected {expected}, received {_TYPE_NAMES.get(type(value), 'number')}"


def _quoted(value: Any) -> str:
    return f'"{_short(value) if isinstance(value, str) else _TYPE_NAMES.get(type(value), "number")}"'


def _short(text: str) -> str:
    return text[:80]


def _number(value: float) -> str:
    return str(int(value))[:20]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)
