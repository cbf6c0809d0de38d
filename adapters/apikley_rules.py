"""What Apikley documents that it refuses, for the one model whose schema is known (seed 002)."""

from collections.abc import Iterator
from typing import Any

from adapters.base import Input
from adapters.reading import number_at
from receiver import json_text
from receiver.errors import Fault

MODEL = "bytedance/v1-pro-text-to-video"

_CODE = 422  # seed 002: "Validation Error"
_PROMPT_LIMIT = 10_000
_CHOICES = {
    "aspect_ratio": ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16"),
    "resolution": ("480p", "720p", "1080p"),
    "duration": ("5", "10"),
}
_SWITCHES = ("camera_fixed", "enable_safety_checker")
_SEED_RANGE = (-1, 2_147_483_647)


def faults_of(input: Input) -> Iterator[Fault]:
    """Every fault of the parameters under `input`. Fields that the schema does not name pass, null does not."""
    yield from _prompt_faults(input)
    for name, allowed in _CHOICES.items():
        if name in input and input[name] not in allowed:
            words = ", ".join(f'"{word}"' for word in allowed)
            yield _fault(name, f"must be one of the texts {words}, got {json_text.write(input[name])[:80]}")
    for name in _SWITCHES:
        if name in input and not isinstance(input[name], bool):
            yield _fault(name, "must be true or false")
    if "seed" in input and not _is_seed(input["seed"]):
        yield _fault("seed", f"must be a whole number from {_SEED_RANGE[0]} to {_SEED_RANGE[1]}")


def _prompt_faults(input: Input) -> Iterator[Fault]:
    prompt = input.get("prompt")
    if "prompt" not in input:
        yield _fault("prompt", "is required")
    elif not isinstance(prompt, str):
        yield _fault("prompt", "must be text")
    elif len(prompt) > _PROMPT_LIMIT:
        yield _fault("prompt", f"must have at most {_PROMPT_LIMIT} characters, got {len(prompt)}")


def _is_seed(value: Any) -> bool:
    """5.0 is the whole number 5: the schema's type is number, its step 1."""
    number = number_at(value)
    return number is not None and _SEED_RANGE[0] <= number <= _SEED_RANGE[1] and number == int(number)


def _fault(name: str, message: str) -> Fault:
    return Fault(path=f"input.{name}", code=_CODE, message=message)
