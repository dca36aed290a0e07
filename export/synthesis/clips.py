"""The sample clips: rendered from a public-domain portrait, encoded as real video, with ground truth beside each.

The portrait is NASA's picture of astronaut Eileen Collins as it comes with scikit-image (public domain).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from export.synthesis.mesh_motion import FaceFrame
from export.synthesis.render import Portrait, Renderer
from export.synthesis.script import Blink, Script, Sway, expression
from server.errors import ConfigurationError, NoFace
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.landmarks import FaceLandmarker
from server.types import UInt8Array

WIDTH_PX, HEIGHT_PX = 640, 480
IOD_PX = 96.0
CODEC_OPTIONS = {"crf": "16", "preset": "medium", "x264-params": "threads=1"}

_STILL = Sway(shift_iod=0.01, roll_deg=0.3, seed=1)
_NODDING = Sway(shift_iod=0.12, roll_deg=2.5, scale=0.02, seed=2)

SAMPLES: dict[str, Script] = {
    "positive": Script(
        duration_s=2.5,
        movements=(expression("positive", (6, 12), at_s=0.9, rise_s=0.17, fall_s=0.2, peak_iod=0.045),),
        sway=_STILL,
        seed=11,
    ),
    "negative": Script(
        duration_s=2.5,
        movements=(expression("negative", (4,), at_s=1.1, rise_s=0.2, fall_s=0.2, peak_iod=0.045),),
        sway=_STILL,
        seed=12,
    ),
    "surprise": Script(
        duration_s=2.5,
        movements=(expression("surprise", (1, 2), at_s=0.8, rise_s=0.15, fall_s=0.22, peak_iod=0.05),),
        sway=_STILL,
        seed=13,
    ),
    "neutral_blink": Script(duration_s=3.0, blinks=(Blink(0.7), Blink(1.9)), sway=_STILL, seed=14),
    "interview": Script(
        duration_s=20.0,
        movements=(
            expression("surprise", (1, 2), at_s=2.2, rise_s=0.15, fall_s=0.2, peak_iod=0.05),
            expression("positive", (12,), at_s=5.5, rise_s=0.2, fall_s=0.25, peak_iod=0.05),
            expression("negative", (4,), at_s=8.6, rise_s=0.17, fall_s=0.2, peak_iod=0.045),
            expression("positive", (6, 12), at_s=12.0, rise_s=0.6, fall_s=0.8, peak_iod=0.11, kind="macro"),
            expression("negative", (4,), at_s=16.1, rise_s=0.2, fall_s=0.25, peak_iod=0.06),
            expression("surprise", (1, 2), at_s=18.3, rise_s=0.17, fall_s=0.22, peak_iod=0.045),
        ),
        blinks=tuple(Blink(t) for t in (1.0, 4.1, 7.3, 10.4, 14.8, 17.2)),
        sway=_NODDING,
        seed=15,
    ),
}
"""Every sample by name. Peaks are micro scale, 0.02 to 0.06 IOD; the interview's macro smile is larger and longer."""

RATES: dict[str, tuple[int, ...]] = {
    "positive": (30, 60, 200),
    "negative": (30, 60, 200),
    "surprise": (30, 60, 200),
    "neutral_blink": (30, 60, 200),
    "interview": (30,),
}
"""Frame rates in which each sample is rendered; the first has the bare name."""


def portrait() -> Portrait:
    """The default portrait, framed as 640x480 with an eye distance of 96 px.

    Raises:
        ConfigurationError: scikit-image is not installed.
        NoFace: the face networks do not find the face.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise ConfigurationError("the default portrait comes with scikit-image: install glimpse[export]") from error
    picture = np.asarray(data.astronaut(), dtype=np.uint8)  # type: ignore[no-untyped-call]
    face = _landmarks(picture)
    scale = IOD_PX / FaceFrame.of(face).iod_px
    middle = face[[33, 263, 61, 291]].mean(axis=0)
    place = np.array(
        [[scale, 0, WIDTH_PX / 2 - scale * middle[0]], [0, scale, HEIGHT_PX / 2 - scale * middle[1]]], dtype=np.float64
    )
    framed = cv2.warpAffine(
        picture, place, (WIDTH_PX, HEIGHT_PX), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    rgb = np.asarray(framed, dtype=np.uint8)
    return Portrait(rgb=rgb, landmarks=_landmarks(rgb))


def _landmarks(rgb: UInt8Array) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    faces = find_faces(rgb, FaceDetector(), FaceLandmarker())
    if not faces:
        raise NoFace("no face was found in the portrait", stage="faces")
    return faces[0].landmarks


def encode(frames: Iterable[UInt8Array], path: Path, fps: float, codec: str = "libx264") -> None:
    """Write RGB frames (uint8 [H, W, 3], even sides) as a video file."""
    rate = Fraction(fps).limit_denominator(1000)
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate, options=CODEC_OPTIONS)
        assert isinstance(stream, av.VideoStream)
        stream.pix_fmt = "yuv420p"
        for index, picture in enumerate(frames):
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            # Converted here: the encoder's own conversion runs in slices, whose borders it gets wrong at times.
            planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = index
            frame.time_base = 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def synthesize_samples(output: Path, on_progress: Callable[[str], None] | None = None) -> list[Path]:
    """Render every sample into `output`: NAME.mp4, NAME_60fps.mp4, ... with NAME.json beside each.

    Returns:
        The clips that were written.
    """
    output.mkdir(parents=True, exist_ok=True)
    renderer = Renderer(portrait())
    written = []
    for name, script in SAMPLES.items():
        for fps in RATES[name]:
            stem = name if fps == RATES[name][0] else f"{name}_{fps}fps"
            path = output / f"{stem}.mp4"
            if on_progress is not None:
                on_progress(f"{path.name}: {round(script.duration_s * fps)} frames")
            write_clip(renderer, script, fps, path)
            written.append(path)
    return written


def write_clip(renderer: Renderer, script: Script, fps: float, path: Path) -> None:
    """Render one script to `path`, with its ground truth as .json beside it."""
    encode(renderer.frames(script, fps), path, fps)
    truth = {"clip": path.name, **script.ground_truth(fps)}
    path.with_suffix(".json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
