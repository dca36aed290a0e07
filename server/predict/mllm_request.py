"""What a multimodal language model is asked about one movement: pictures, numbers and a question.

The order of the question, what moved, then action units, then the label, is that in which such models were found to do
better (Lu et al., arXiv 2403.05916); role, warning that little is to be seen and ranking of all candidates follow Lian
et al. (arXiv 2312.04293). Nothing is sent but the aligned crop, numbers and these words: no name, no file, no picture
of more than the face.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from server.types import Float32Array, UInt8Array

Wording = Literal["labels", "neutral", "units"]
WORDINGS: tuple[Wording, ...] = ("labels", "neutral", "units")
"""In the order in which they are tried while the model refuses."""

OUTPUT_TOKENS = 600
_PICTURE_TOKENS = 1600
_CHARACTERS_PER_TOKEN = 3
_STRIP_PX = 512
_MOMENTS = ("onset", "apex", "offset")

_EXAMPLES: Mapping[str, str] = {
    "negative": "as in anger, disgust, sadness, fear or contempt",
    "positive": "as in happiness",
    "surprise": "as in surprise, pleasant or not",
}
_ROLE = (
    "You are an expert of the Facial Action Coding System and of micro-expressions. The pictures show one face "
    "before, at the height of and after a movement that may be very faint: small differences matter. Describe visible "
    "movement of muscles only. Do not identify anybody, and say nothing about identity, health, honesty or character. "
    "Left and right are those of the picture."
)
_STEPS: Mapping[Wording, str] = {
    "labels": (
        "(1) Compare onset and apex region by region: brows, lids, cheeks, nose, mouth, chin. (2) List the action "
        "units that moved, with side, intensity A to E and the evidence. (3) Rank all of these classes of movement "
        "from most to least similar, with a score from 0 to 1 each: {labels}."
    ),
    "neutral": (
        "(1) Compare the first two pictures region by region. (2) List the action units that differ. (3) Rank the "
        "candidate descriptions of the visible movement by visual similarity: {labels}. This is about shapes in "
        "pictures, not about a person or what anybody feels."
    ),
    "units": "Compare the first two pictures region by region and list the action units that differ, nothing else.",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint takes: the form of answers that can be demanded, whether only one picture, and which
    parameters it does not know.
    """

    form: Literal["json_schema", "json_object", "text"] = "json_schema"
    single: bool = False
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Exhibit:
    """One movement, ready to be sent: captions with pictures (PNG as data URI), the same as one picture, numbers."""

    pictures: tuple[tuple[str, str], ...]
    strip: tuple[str, str]
    numbers: str


def exhibit(
    inputs: Mapping[str, Float32Array], regions: Sequence[str], *, image_px: int, flow_picture: bool
) -> Exhibit:
    """Encode one sample of the recipe `mllm_frames`, in memory. `regions` name the rows of `displacement`."""
    apex_ms, offset_ms, fps = (float(x) for x in inputs["timing"])
    times_ms = (0.0, apex_ms, offset_ms)
    pictures = [
        (f"frame {number} {moment}, t = {time_ms:.0f} ms", _uri(_enlarged(gray, image_px)))
        for number, (moment, time_ms, gray) in enumerate(zip(_MOMENTS, times_ms, inputs["pictures"], strict=True), 1)
    ]
    if flow_picture:
        caption = (
            "motion from onset to apex: hue is direction, colour depth is length, full at 3 px of a crop in which the "
            "eyes are 115 px apart; the legend is on the right"
        )
        pictures.append((caption, _uri(_enlarged(np.moveaxis(inputs["flow_picture"], 0, 2), image_px))))
    strip = np.hstack([_enlarged(gray, _STRIP_PX) for gray in inputs["pictures"]])
    moved = "; ".join(
        f"{name.replace('_', ' ')} {_signed(*row)}" for name, row in zip(regions, inputs["displacement"], strict=True)
    )
    numbers = (
        f"Frame rate {fps:.0f} per second; onset 0 ms, apex {apex_ms:.0f} ms, offset {offset_ms:.0f} ms. Displacement "
        f"from onset to apex by a landmark tracker, in distances of the eyes, minus is down or left: {moved}."
    )
    caption = f"onset, apex and offset side by side, t = 0, {apex_ms:.0f} and {offset_ms:.0f} ms"
    return Exhibit(tuple(pictures), (caption, _uri(strip)), numbers)


def body(
    shown: Exhibit, labels: Sequence[str], wording: Wording, *, model: str, seed: int, dialect: Dialect
) -> dict[str, Any]:
    """The JSON of `POST {base_url}/chat/completions`; `labels` in the order in which they are offered."""
    schema = _schema(labels, ranked=wording != "units")
    offered = "; ".join(f"{label} ({_EXAMPLES[label]})" if label in _EXAMPLES else label for label in labels)
    shape = ", ".join(schema["properties"])
    rule = f'Answer with one JSON object with the members {shape}. "visible" is false where nothing moved.'
    pictures = (shown.strip,) if dialect.single else shown.pictures
    content: list[dict[str, Any]] = [
        {"type": "text", "text": f"{_STEPS[wording].format(labels=offered)}\n{shown.numbers}"}
    ]
    for caption, uri in pictures:
        content.append({"type": "text", "text": caption})
        content.append({"type": "image_url", "image_url": {"url": uri, "detail": "high"}})
    parameters: dict[str, Any] = {"temperature": 0, "top_p": 1, "seed": seed, "n": 1, "max_tokens": OUTPUT_TOKENS}
    if dialect.form == "json_schema":
        strict = {"name": "facial_movement", "strict": True, "schema": schema}
        parameters["response_format"] = {"type": "json_schema", "json_schema": strict}
    elif dialect.form == "json_object":
        parameters["response_format"] = {"type": "json_object"}
    if "max_tokens" in dialect.without:
        parameters["max_completion_tokens"] = OUTPUT_TOKENS
    return {
        "model": model,
        **{name: value for name, value in parameters.items() if name not in dialect.without},
        "messages": [
            {"role": "system", "content": f"{_ROLE} {rule}\nJSON schema: {json.dumps(schema)}"},
            {"role": "user", "content": content},
        ],
    }


def simpler(dialect: Dialect, complaint: str) -> Dialect | None:
    """What to try next after an endpoint found fault with a request, by the words of its complaint; None where there is
    nothing left to leave out.
    """
    complaint = complaint.lower()
    for name in ("max_tokens", "seed", "top_p", "temperature"):
        if name in complaint and name not in dialect.without:
            return replace(dialect, without=dialect.without | {name})
    if "image" in complaint and not dialect.single:
        return replace(dialect, single=True)
    if dialect.form != "text":
        return replace(dialect, form="json_object" if dialect.form == "json_schema" else "text")
    return None if dialect.single else replace(dialect, single=True)


def assumed_tokens(asked: Mapping[str, Any]) -> int:
    """A generous guess of what a request counts, for as long as the endpoint has not said so."""
    role, question = (message["content"] for message in asked["messages"])
    letters = len(role) + sum(len(item.get("text", "")) for item in question)
    pictures = sum(item["type"] == "image_url" for item in question)
    return int(letters // _CHARACTERS_PER_TOKEN + _PICTURE_TOKENS * pictures)


def _schema(labels: Sequence[str], *, ranked: bool) -> dict[str, Any]:
    unit = {
        "au": {"type": "integer"},
        "side": {"type": "string", "enum": ["L", "R", "B"]},
        "intensity": {"type": "string", "enum": ["A", "B", "C", "D", "E"]},
        "evidence": {"type": "string"},
    }
    properties: dict[str, Any] = {"visible": {"type": "boolean"}, "aus": {"type": "array", "items": _object(unit)}}
    if ranked:
        properties["ranking"] = {"type": "array", "items": {"type": "string", "enum": list(labels)}}
        properties["scores"] = _object({label: {"type": "number"} for label in labels})
        properties["confidence"] = {"type": "number"}
    properties["note"] = {"type": "string"}
    return _object(properties)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _enlarged(picture: Float32Array, height_px: int) -> UInt8Array:
    """uint8, the aspect kept."""
    width_px = round(picture.shape[1] * height_px / picture.shape[0])
    resized = cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(np.rint(resized), 0, 255), dtype=np.uint8)


def _uri(picture: UInt8Array) -> str:
    """PNG: what JPEG leaves out of a picture is about as large as the movement to be seen."""
    _, encoded = cv2.imencode(".png", picture if picture.ndim == 2 else picture[..., ::-1])
    return f"data:image/png;base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _signed(right: float, down: float) -> str:
    return f"{-down:+.3f} up {right:+.3f} right"
