"""What providers document that they refuse is refused at our door, with their own code, before anything is spent."""

from pathlib import Path
from typing import Any

import pytest

from tests.service.asking import codes, complaint, counts, failures
from tests.service.world import APIKLEY_MODEL, World, a_world, created, scripted

pytestmark = pytest.mark.anyio

SEEDANCE = "doubao-seedance-2.0"
URL = "https://files.example/a.png"
FRAME = {"url": URL, "role": "first_frame"}
CLIP = {"mediaType": "video", "provider": "replicate", "scene": "text-to-video", "prompt": "a red panda"}

NO_RATIO: list[Any] = ["2:1", "16x9", "", None, 1.5, ["16:9"]]
NO_RESOLUTION: list[Any] = ["4k", "720P", 720, None, {}]
NO_DURATION: list[Any] = [5, 10, "7", "05", None, []]
NO_URL: list[Any] = [None, 1, {}, []]
NO_NAME: list[Any] = [None, "", "  ", 1, ["replicate"]]
NO_MEDIA: list[Any] = [None, "", "VIDEO", "film", 1, ["video"], {}]
NO_SCENE: list[Any] = ["text2video", "", 1, [], {}]

Row = tuple[str, Any, dict[str, Any], str, Any]


def apikley(name: str, value: Any) -> Row:
    """Seed 002: code 422, "Validation Error"."""
    return "apikley", APIKLEY_MODEL, {"prompt": "a red panda", name: value}, f"input.{name}", 422


def reapi(path: str, code: int, *, model: str = SEEDANCE, **fields: Any) -> Row:
    """Seed 001, its validation table."""
    return "reapi", model, {"prompt": "a red panda", **fields}, f"input.{path}", code


def reelbyte(name: str, value: Any) -> Row:
    """Seed 000: `invalid params`."""
    return "reelbyte", "bytedance/seedance-1-lite", CLIP | {name: value}, f"input.{name}", "invalid params"


REFUSALS: list[Row] = [
    ("apikley", APIKLEY_MODEL, {}, "input.prompt", 422),
    *(apikley("prompt", value) for value in (None, 1, ["x"], "x" * 10_001)),
    *(apikley("aspect_ratio", value) for value in NO_RATIO),
    *(apikley("resolution", value) for value in NO_RESOLUTION),
    *(apikley("duration", value) for value in NO_DURATION),
    *(apikley("camera_fixed", value) for value in ("true", 1, None)),
    *(apikley("enable_safety_checker", value) for value in ("false", 0, None)),
    *(apikley("seed", value) for value in (-2, 2_147_483_648, 1.5, "1", True, None, 10**4000, -1e308)),
    ("reapi", SEEDANCE, {}, "input.prompt", 20002),
    reapi("prompt", 20002, prompt=""),
    *(reapi("prompt", 20003, prompt=value) for value in ("ab", "x" * 4001, None, 5, ["a cat"])),
    *(reapi("duration", 20003, duration=value) for value in (3, 16, -5, 4.5, "5", None, True, 10**4000)),
    *(reapi("size", 20005, size=value) for value in ("2:1", "", "16:9 ", "ADAPTIVE")),
    *(reapi("size", 20003, size=value) for value in (None, 169, ["16:9"])),
    *(reapi("resolution", 20003, resolution=value) for value in ("1080P", "8k", "", None, 1080)),
    *(
        reapi("resolution", 20003, model=f"{SEEDANCE}-{variant}", resolution=value)
        for variant in ("fast", "fast-face", "fast-official")
        for value in ("1080p", "4k")
    ),
    *(reapi("tools[0].type", 20003, tools=[{"type": value}]) for value in ("web-search", None, 1)),
    reapi("tools[1].type", 20003, tools=[{"type": "web_search"}, {}]),
    reapi("tools[0]", 20003, tools=["web_search"]),
    reapi("tools", 20003, tools="web_search"),
    reapi("generate_audio", 20003, generate_audio="yes"),
    reapi("return_last_frame", 20003, return_last_frame=1),
    reapi("nsfw_checker", 20003, nsfw_checker=None),
    reapi("fallback", 20003, fallback=False),
    reapi("fallback.enabled", 20003, fallback={"enabled": "no"}),
    reapi("image_with_roles", 20003, image_urls=[URL], image_with_roles=[FRAME]),
    reapi("image_with_roles", 20003, image_with_roles=[FRAME], video_urls=[URL]),
    reapi("image_with_roles", 20003, image_with_roles=[FRAME], audio_urls=[URL]),
    reapi("audio_urls", 20003, audio_urls=[URL]),
    reapi("image_with_roles", 20003, image_with_roles=[FRAME] * 10),
    reapi("video_urls", 20003, video_urls=[URL] * 4),
    reapi("audio_urls", 20003, image_urls=[URL], audio_urls=[URL] * 4),
    reapi("image_urls", 20003, image_urls=[URL] * 10),
    reapi("image_urls[98]", 20003, image_urls=[1] * 150_000),
    *(reapi("image_with_roles[0].role", 20003, image_with_roles=[FRAME | {"role": role}]) for role in ("mid", None, 1)),
    reapi("image_urls[0]", 20003, image_urls=["data:x"]),
    reapi("video_urls[0]", 20003, video_urls=["data:x"]),
    reapi("audio_urls[0]", 20003, audio_urls=["data:x"]),
    reapi("image_urls[1]", 20003, image_urls=[URL, " DATA:image/png;base64,AAAA"]),
    reapi("image_with_roles[0].url", 20003, image_with_roles=[FRAME | {"url": "data:x"}]),
    *(reapi("image_urls[0]", 20003, image_urls=[value]) for value in NO_URL),
    *(reelbyte("mediaType", value) for value in NO_MEDIA),
    *(reelbyte("provider", value) for value in NO_NAME),
    *(reelbyte("prompt", value) for value in (None, "", " ", 7)),
    *(reelbyte("scene", value) for value in NO_SCENE),
    *(("reelbyte", model, CLIP, "model", "invalid params") for model in (None, "", "\t")),
    *(("reve2img", model, {"prompt": "a red panda"}, "model", "INVALID_MODEL") for model in (None, "", "  ")),
    ("reve2img", "reve-2.0", {}, "input.prompt", "INVALID_PROMPT"),
    *(("reve2img", "reve-2.0", {"prompt": value}, "input.prompt", "INVALID_PROMPT") for value in ("", " ", None, 1)),
    ("reve2img", "kling3-pro-text-to-video", {"prompt": ""}, "input.prompt", "INVALID_PROMPT"),
]

# What no version of a provider could take: not even without checks.
SHAPES: list[tuple[str, str, dict[str, Any], str]] = [
    *((name, "", {"prompt": "a red panda"}, "model") for name in ("apikley", "reapi", "reelbyte", "reve2img")),
    *((name, "m" * 201, {"prompt": "a red panda"}, "model") for name in ("apikley", "reapi", "reelbyte", "reve2img")),
    *((name, "m", {"prompt": "x", "model": "n"}, "input.model") for name in ("reapi", "reelbyte", "reve2img")),
    ("apikley", "m", {"prompt": "x", "callBackUrl": "http://x"}, "input.callBackUrl"),
]


def everywhere(directory: Path, base_url: str) -> Any:
    return a_world(directory, base_urls=dict.fromkeys(("apikley", "reapi", "reelbyte", "reve2img"), base_url))


async def ask(world: World, provider: str, model: str | None, value: dict[str, Any], **fields: Any) -> Any:
    named = {} if model is None else {"model": model}
    return await world.api.post("/v1/tasks", json={"provider": provider, **named, "input": value, **fields})


async def test_every_documented_refusal_has_the_providers_own_code(tmp_path: Path) -> None:
    """422, its path, its code: and not one request left, nor a row stayed."""
    wrong = {}
    async with scripted(created()) as provider, everywhere(tmp_path, provider.base_url) as world:
        for number, (name, model, value, path, code) in enumerate(REFUSALS):
            answer = await ask(world, name, model, value)
            wrong[f"{number}: {name} {model} {value}"] = complaint(answer, 422, path)
            assert codes(answer).get(path) == code, (name, model, str(value)[:200])
        assert failures(wrong) == {}
        assert (provider.lines, counts(tmp_path)) == ([], {})


async def test_without_checks_a_documented_refusal_is_the_providers_to_say(tmp_path: Path) -> None:
    """`checks: false`: for a provider that is newer than we are. It is handed over as it was given."""
    let_through = [row for row in REFUSALS if row[1] and row[1].strip()]
    async with scripted((429, b"")) as provider, everywhere(tmp_path, provider.base_url) as world:
        for name, model, value, _, _ in let_through:
            world.clock.advance(3600)  # by then the provider may be asked again
            answer = await ask(world, name, model, value, checks=False)
            assert (answer.status_code, answer.json()["input"]) == (202, value), (name, value)
        assert len(provider.lines) == counts(tmp_path)["tasks"] == len(let_through)


@pytest.mark.parametrize("checks", [True, False])
async def test_shape_is_checked_always(tmp_path: Path, checks: bool) -> None:
    """A body that could not even be written down for the provider."""
    async with scripted(created()) as provider, everywhere(tmp_path, provider.base_url) as world:
        wrong = {
            f"{name} {path}": complaint(await ask(world, name, model, value, checks=checks), 422, path)
            for name, model, value, path in SHAPES
        }
        assert failures(wrong) == {}
        assert (provider.lines, counts(tmp_path)) == ([], {})


async def test_all_faults_of_a_body_are_told_at_once(tmp_path: Path) -> None:
    """Each field once, though both the checks and the shape could name it."""
    value = {"prompt": 1, "aspect_ratio": "2:1", "duration": 5, "seed": "x", "callBackUrl": "http://x"}
    async with a_world(tmp_path) as world:
        answer = await ask(world, "apikley", APIKLEY_MODEL, value)
        assert codes(answer) == {
            "input.prompt": 422,
            "input.aspect_ratio": 422,
            "input.duration": 422,
            "input.seed": 422,
            "input.callBackUrl": None,
        }
        assert len(answer.json()["errors"]) == 5
