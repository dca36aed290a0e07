"""Alignment error and cost on a synthetic sway with known transforms: `python -m bench.align`.

The error is the mean distance, over the central 192 px of the crop, between where a method puts the face and where it
is, against the method's own first frame, in px of a 128 px crop.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from skimage.data import astronaut

from server.faces.align import apply, compose, crop_transform, invert, similarity, warp
from server.faces.detect import FaceDetector
from server.faces.find import find_faces, largest
from server.faces.landmarks import FaceLandmarker
from server.faces.track import FaceTracker
from server.types import Float64Array, Frame, UInt8Array

WIDTH, HEIGHT = 640, 480
NOISE_LEVELS = 1.5
PICTURE_SCALE = 1.6
FACE_CENTRE = (224.0, 122.0)
_TICKS = np.linspace(32, 224, 9)
GRID = np.stack(np.meshgrid(_TICKS, _TICKS + 16), axis=-1).reshape(-1, 2)


def sway(time_s: float) -> Float64Array:
    """Picture px -> frame px at one moment: the head drifts, nods and comes nearer by a few per cent."""
    angle = 0.04 * np.sin(2 * np.pi * 0.31 * time_s)
    scale = PICTURE_SCALE * (1 + 0.03 * np.sin(2 * np.pi * 0.23 * time_s))
    x = WIDTH / 2 + 9 * np.sin(2 * np.pi * 0.47 * time_s)
    y = HEIGHT / 2 - 20 + 6 * np.sin(2 * np.pi * 0.37 * time_s + 1)
    turned = apply(similarity(scale, angle, (0, 0)), np.array([FACE_CENTRE]))[0]
    return similarity(scale, angle, (x - turned[0], y - turned[1]))


def frames(fps: float, seconds: float, seed: int = 0) -> Iterator[tuple[Frame, Float64Array]]:
    """Frames of the sway with sensor noise, each with its true picture -> frame transform."""
    rng = np.random.default_rng(seed)
    picture = astronaut()
    for index in range(round(fps * seconds)):
        truth = sway(index / fps)
        clean = cv2.warpAffine(picture, truth, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        noisy = clean + rng.normal(0, NOISE_LEVELS, clean.shape)
        rgb = np.clip(np.round(noisy), 0, 255).astype(np.uint8)
        luma: UInt8Array = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        yield Frame(index, index / fps, luma, lambda rgb=rgb: rgb), truth


def error_px(transforms: Sequence[Float64Array], truths: Sequence[Float64Array]) -> float:
    """Mean alignment error against the first frame, px of a 128 px crop."""
    first = compose(transforms[0], truths[0])
    back = apply(invert(first), GRID)
    errors = [
        np.linalg.norm(apply(compose(found, truth), back) - GRID, axis=1).mean()
        for found, truth in zip(transforms[1:], truths[1:], strict=True)
    ]
    return float(np.mean(errors)) / 2


Method = Callable[[Frame], Float64Array]


def unaligned(detector: FaceDetector, landmarker: FaceLandmarker) -> Method:
    """The first frame's landmarks, for ever."""
    held: list[Float64Array] = []

    def step(frame: Frame) -> Float64Array:
        if not held:
            held.append(every_frame(detector, landmarker)(frame))
        return held[0]

    return step


def every_frame(detector: FaceDetector, landmarker: FaceLandmarker) -> Method:
    """Landmarks anew in each frame."""
    last = []

    def step(frame: Frame) -> Float64Array:
        rgb = frame.rgb()
        face = landmarker.landmarks_near(rgb, last[-1]) if last else largest(find_faces(rgb, detector, landmarker))
        assert face is not None
        last[:] = [face.landmarks]
        return crop_transform(face.landmarks)

    return step


def tracked(detector: FaceDetector, landmarker: FaceLandmarker) -> Method:
    """What the service does."""
    tracker = FaceTracker(detector, landmarker, max_faces=1)

    def step(frame: Frame) -> Float64Array:
        faces = tracker.update(frame)
        assert len(faces) == 1, "the face was lost"
        return faces[0].transform

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    seconds = parser.parse_args().seconds
    cv2.setNumThreads(1)
    detector, landmarker = FaceDetector(), FaceLandmarker()
    print(f"{'method':22}{'fps':>5}{'error px of 128':>17}{'ms per frame':>14}{'with warp':>11}")
    for fps in (30.0, 200.0):
        for method in (unaligned, every_frame, tracked):
            step = method(detector, landmarker)
            transforms, truths, costs, warps = [], [], [], []
            for frame, truth in frames(fps, seconds):
                start = time.perf_counter()
                transform = step(frame)
                costs.append(time.perf_counter() - start)
                warp(frame.luma, transform)
                warps.append(time.perf_counter() - start)
                transforms.append(transform)
                truths.append(truth)
            cost, whole = (1e3 * statistics.median(values) for values in (costs, warps))
            print(f"{method.__name__:22}{fps:5.0f}{error_px(transforms, truths):17.3f}{cost:14.2f}{whole:11.2f}")


if __name__ == "__main__":
    main()
