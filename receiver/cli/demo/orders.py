"""What the demo orders: one task for each provider, from the examples in the providers' own documents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A task to submit."""

    provider: str
    model: str
    input: Mapping[str, Any]


ORDERS = (
    Order(  # seed 002: takes a callback URL
        provider="apikley",
        model="bytedance/v1-pro-text-to-video",
        input={
            "prompt": (
                "A boy with curly hair and a backpack rides a bike down a golden-lit rural road at sunset.\n"
                "[Cut to] He slows down and looks toward a field of tall grass.\n"
                "[Wide shot] His silhouette halts in the orange haze."
            ),
            "aspect_ratio": "16:9",
            "resolution": "720p",
            "duration": "5",
        },
    ),
    Order(  # seed 001: polled
        provider="reapi",
        model="doubao-seedance-2.0-face",
        input={
            "prompt": "A kitten yawning at the camera, cinematic warm tones",
            "resolution": "720p",
            "size": "16:9",
            "duration": 5,
        },
    ),
    Order(  # seed 000: polled
        provider="reelbyte",
        model="bytedance/seedance-1-lite",
        input={
            "mediaType": "video",
            "provider": "replicate",
            "scene": "text-to-video",
            "prompt": "A cinematic aerial shot of a neon city at night",
            "options": {"duration": 5, "resolution": "720p", "aspect_ratio": "16:9"},
        },
    ),
    Order(  # seed 003: a synchronous model, whose result comes with the answer to the submit
        provider="reve2img",
        model="reve-2.0",
        input={"prompt": "A lighthouse in a storm, seen from the sea, oil on canvas", "aspect_ratio": "16:9"},
    ),
)
