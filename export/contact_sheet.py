"""Contact sheet of ICE-GAN's generator: what it makes of neutral faces, to be looked at.

A row for each person: the onset, the rendered apex, the face made for each class, and what was changed for it.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from export.labels import LABELS
from export.networks.icegan_generator import NOISE, GeneratorGraph
from export.repository import replace_file
from export.synthesis.events import EventSamples
from server.types import Float32Array, UInt8Array

CHANGE_GAIN = 4.0
"""Changes are small: they are shown so many times as large, around the middle grey."""
_HEAD_PX = 20
_MARGIN_PX = 4


def made_faces(graph: GeneratorGraph, onset: Float32Array, seed: int) -> Float32Array:
    """float32 [N, classes, 1, 128, 128], 0..255: each face of `onset` [N, 1, 128, 128] as each class, one noise for all
    classes of a face.
    """
    noise = torch.randn(len(onset), NOISE, generator=torch.Generator().manual_seed(seed))
    classes = torch.eye(len(LABELS))
    with torch.inference_mode():
        made = [graph(torch.from_numpy(onset), label.expand(len(onset), -1), noise).face.numpy() for label in classes]
    return np.stack(made, axis=1)


def contact_sheet(graph: GeneratorGraph, samples: EventSamples, seed: int) -> UInt8Array:
    """uint8 [H, W] of the faces of `samples`, which have the extra `onset`; noise is drawn by `seed`."""
    onset, apex = samples.extras["onset"].astype(np.float32), samples.inputs["apex"].astype(np.float32)
    made = made_faces(graph, onset, seed)
    middle = 127.5
    rows = []
    for face, real, label, each in zip(onset, apex, samples.labels, made, strict=True):
        changes = middle + CHANGE_GAIN * np.concatenate([real[None] - face, each - face])
        pictures = np.concatenate([face[None], real[None], each, changes])[:, 0]
        names = ["onset", f"apex: {LABELS[label]}", *LABELS, "apex - onset", *(f"{name} - onset" for name in LABELS)]
        rows.append(np.hstack([_titled(*pair) for pair in zip(pictures, names, strict=True)]))
    return np.asarray(np.vstack(rows), np.uint8)


def write_sheet(path: Path, sheet: UInt8Array) -> None:
    """`sheet` as a PNG file."""
    _, data = cv2.imencode(".png", sheet)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, data.tobytes())


def _titled(picture: Float32Array, name: str) -> UInt8Array:
    tile = np.full((picture.shape[0] + _HEAD_PX, picture.shape[1] + _MARGIN_PX), 255, np.uint8)
    tile[_HEAD_PX:, : picture.shape[1]] = np.rint(picture.clip(0, 255))
    cv2.putText(tile, name, (1, _HEAD_PX - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.36, 0, 1, cv2.LINE_AA)
    return tile
