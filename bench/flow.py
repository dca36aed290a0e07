"""Flow estimators against known motion: `python -m bench.flow`.

First table: sub-pixel warps of an aligned face with sensor noise; end-point error (EPE) in px of the 256 px crop over
moving pixels, the recovered share of the motion, EPE where nothing moves, and milliseconds. Second table: the same
with 3 % more light on the apex. Third table: what the default network makes of rendered onset-apex pairs whose class
is known, with each estimator; the one flow per event should be chosen by this one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import cv2
import numpy as np

from export.synthesis.clips import portrait
from export.synthesis.render import Renderer
from export.synthesis.script import Script, Sway, expression
from server.faces.align import crop_transform, warp
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.recipes.registry import RECIPES
from server.types import EventSample

METHODS = ("fast", "accurate", "tvl1")
AMPLITUDES_PX = (0.6, 1.2, 2.0, 3.0, 5.0)
NOISE = 1.5
MODEL = "ststnet"
CLASSES = {
    "negative": ((4,), (4, 7), (15,), (9,), (10,), (17,)),
    "positive": ((12,), (6, 12), (12, 25)),
    "surprise": ((1, 2), (1, 2, 5), (2,), (1, 2, 25)),
}
PEAKS_IOD = (0.02, 0.03, 0.045, 0.06)
_Y, _X = np.mgrid[:256, :256].astype(np.float32)


def face_crop() -> np.ndarray:
    """The aligned default portrait, float32 [256, 256]."""
    subject = portrait()
    gray = cv2.cvtColor(subject.rgb, cv2.COLOR_RGB2GRAY)
    return warp(gray, crop_transform(subject.landmarks))


def bumps(amplitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Four smooth movements, brows and mouth corners, of `amplitude` px."""
    u, v = np.zeros_like(_X), np.zeros_like(_X)
    for x, y, du, dv in ((85, 78, 0.3, 0.95), (171, 78, -0.3, 0.95), (88, 205, -0.7, -0.7), (168, 205, 0.7, -0.7)):
        shape = np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / (2 * 16.0**2))
        u += amplitude * du * shape
        v += amplitude * dv * shape
    return u, v


def moved(picture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """`picture` after each pixel p went to p + (u, v)(p)."""
    back_u, back_v = u, v
    for _ in range(6):
        back_u, back_v = (cv2.remap(f, _X - back_u, _Y - back_v, cv2.INTER_LINEAR) for f in (u, v))
    return cv2.remap(picture, _X - back_u, _Y - back_v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def warps(gain: float) -> None:
    """Print the table of known warps, the apex being `gain` times as bright."""
    rng = np.random.default_rng(0)
    face = face_crop()
    print(f"{'method':10}{'motion px':>10}{'EPE':>8}{'recovered':>11}{'EPE still':>11}{'ms':>8}")
    for method in METHODS:
        for amplitude in AMPLITUDES_PX:
            u, v = bumps(amplitude)
            size = np.hypot(u, v)
            moving, still = size > 0.3 * amplitude, size < 0.02 * amplitude
            onset = face + NOISE * rng.standard_normal(face.shape, dtype=np.float32)
            apex = gain * moved(face, u, v) + NOISE * rng.standard_normal(face.shape, dtype=np.float32)
            times = []
            for _ in range(5):
                start = time.perf_counter()
                got_u, got_v = estimate(onset, apex.astype(np.float32), method)
                times.append(1e3 * (time.perf_counter() - start))
            error = np.hypot(got_u - u, got_v - v)
            share = float((got_u * u + got_v * v)[moving].sum() / (size[moving] ** 2).sum())
            print(
                f"{method:10}{amplitude:10.1f}{error[moving].mean():8.3f}{share:11.2f}{error[still].mean():11.3f}"
                f"{np.median(times):8.1f}"
            )


def pairs() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Rendered (label, onset crop, apex crop) of every class, combination and peak, with noise and a moved head."""
    subject = portrait()
    renderer = Renderer(subject)
    transform = crop_transform(subject.landmarks)
    found = []
    for label, combinations in CLASSES.items():
        for number, units in enumerate(combinations):
            for peak in PEAKS_IOD:
                movement = expression(label, units, at_s=1.0, rise_s=0.2, fall_s=0.2, peak_iod=peak)
                script = Script(2.0, (movement,), sway=Sway(), noise=NOISE, seed=1000 * number + round(1000 * peak))
                frames = list(renderer.frames(Script(0.2, noise=NOISE, seed=script.seed + 1), 5))[:1]
                apex = [f for i, f in enumerate(renderer.frames(script, 5)) if i == 6]
                crops = [warp(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), transform) for f in (*frames, *apex)]
                found.append((label, crops[0], crops[1]))
    return found


async def classified() -> None:
    """Print how many rendered pairs the default network labels rightly with each estimator."""
    repository = ModelRepository(Path("model_repository"), RECIPES)
    predictor = LocalPredictor(repository, threads=1)
    contract = (await predictor.model(MODEL)).contract
    recipe, labels = RECIPES[contract["recipe"]], list(contract["labels"])
    samples = pairs()
    blank = np.zeros((468, 2), np.float32)
    print(f"{'method':10}{'right':>8}{'of':>5}{'mean p(true)':>14}" + "".join(f"{p:>8.3f}" for p in PEAKS_IOD))
    for method in METHODS:
        tensors = [
            recipe.make(EventSample(a, b, blank, flow_field(*estimate(a, b, method))))["flow"] for _, a, b in samples
        ]
        outputs = await predictor.predict(MODEL, {"flow": np.stack(tensors)}, deadline=time.monotonic() + 60)
        truth = np.array([labels.index(label) for label, _, _ in samples])
        probabilities = outputs["probabilities"]
        right = probabilities.argmax(axis=1) == truth
        by_peak = right.reshape(-1, len(PEAKS_IOD)).mean(axis=0)
        print(
            f"{method:10}{right.sum():8d}{len(right):5d}{probabilities[np.arange(len(truth)), truth].mean():14.3f}"
            + "".join(f"{share:8.2f}" for share in by_peak)
        )
    await predictor.close()


def main() -> None:
    """Print all three tables."""
    cv2.setNumThreads(1)
    print("Known warps, equal light")
    warps(1.0)
    print("\nKnown warps, apex 3 % brighter")
    warps(1.03)
    print("\nRendered pairs: share labelled rightly, in all and by peak displacement (IOD)")
    asyncio.run(classified())


if __name__ == "__main__":
    main()
