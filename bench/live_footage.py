"""Pictures for live streams: clips with ground truth, rendered once, and their frames as a camera would send them.

Rendered clips come from `export.synthesis`, as those of `bench.rendered` do, with a seed of their own. The renderer
makes squares; what is missing of a picture on the left and on the right is the square mirrored.

`python -m bench.live_footage CLIP FOLDER` writes the frames of a clip as JPEG files 0.jpg, 1.jpg, ...
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

SEED = 20269
"""Development used the seeds 900 to 999, `bench.rendered` uses 20260, and no other clips have this one."""
WORK = Path("runs/live_bench")
SAMPLES = Path("samples")
JPEG_QUALITY = 90
PEAK_IOD = (0.02, 0.06)


@dataclass(frozen=True)
class Footage:
    """Pictures of one clip: `width` and `height` of what is sent, from frames that may be narrower."""

    path: str
    rate: int
    width: int
    height: int
    encoding: str

    @property
    def name(self) -> str:
        """How it stands in a table."""
        return f"{self.width}x{self.height} @ {self.rate} {self.encoding.upper()}"

    def record(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)


@dataclass(frozen=True)
class Reel:
    """Clips to render: `clips` people, each for `seconds` with `expressions` micro-expressions."""

    rate: int
    width: int
    height: int
    clips: int
    seconds: float
    expressions: int
    iod_px: float

    @property
    def paths(self) -> list[str]:
        """Where the clips lie in the working folder."""
        return [f"{self.height}p{self.rate}/{number}.mp4" for number in range(self.clips)]


REELS = {
    (640, 480, 25): Reel(25, 640, 480, clips=2, seconds=10, expressions=4, iod_px=110),
    (640, 480, 30): Reel(30, 640, 480, clips=5, seconds=7, expressions=4, iod_px=110),
    (640, 480, 60): Reel(60, 640, 480, clips=5, seconds=7, expressions=4, iod_px=110),
    (640, 480, 200): Reel(200, 640, 480, clips=5, seconds=7, expressions=4, iod_px=110),
    (1280, 720, 60): Reel(60, 1280, 720, clips=1, seconds=5, expressions=3, iod_px=130),
}
"""By width, height and rate; 20 events at each of 30, 60 and 200 frames per second."""


def render(reel: Reel, work: Path = WORK) -> list[Path]:
    """Render what is missing of a reel, with the ground truth beside each clip."""
    from export.synthesis.corpus import ClipPlan, render_plans
    from export.synthesis.identities import default_face
    from export.synthesis.scenes import SceneOptions, draw_performance

    folder = work / f"seed-{SEED}"
    paths = [folder / path for path in reel.paths]
    if all(path.with_suffix(".json").is_file() for path in paths):
        return paths
    scene = SceneOptions(
        seconds=(reel.seconds, reel.seconds),
        expressions=(reel.expressions, reel.expressions),
        peak_iod=PEAK_IOD,
        speech=0,
    )
    plans = []
    for number, path in enumerate(reel.paths):
        entropy = (SEED, reel.height, reel.rate, number)
        rng = np.random.default_rng(entropy)
        crf = int(rng.integers(16, 27))
        performance = draw_performance(rng, scene)
        plans.append(ClipPlan(path, number, reel.rate, crf, reel.iod_px, performance, entropy))
    render_plans(
        folder, plans, [default_face()], seed=SEED, size=reel.height,
        on_progress=lambda done, total: print(
            f"{reel.height}p at {reel.rate}: rendered {done} of {total}", end="\r", file=sys.stderr
        ),
    )  # fmt: skip
    print(file=sys.stderr)
    return paths


def footage(width: int, height: int, rate: int, encoding: str, work: Path = WORK) -> list[Footage]:
    """The clips of a reel, rendered where they are not there."""
    reel = REELS[width, height, rate]
    return [Footage(str(path), rate, width, height, encoding) for path in render(reel, work)]


@lru_cache(maxsize=2)
def pictures(source: Footage, most: int | None = None) -> Sequence[bytes]:
    """The first `most` frames of a clip, or all, as they are sent."""
    return [_encoded(frame, source.encoding) for frame in _frames(source, most)]


def ping_pong(number: int, length: int) -> int:
    """Which of `length` pictures is shown at `number`, forward and backward in turn, so that motion never jumps."""
    if length == 1:
        return 0
    place = number % (2 * length - 2)
    return place if place < length else 2 * length - 2 - place


def _frames(source: Footage, most: int | None) -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    with av.open(source.path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if most is not None and number >= most:
                return
            picture = frame.to_ndarray(format="gray" if source.encoding == "gray8" else "bgr24")
            yield _widened(np.asarray(picture, np.uint8), source)


def _widened(picture: np.ndarray[Any, np.dtype[np.uint8]], source: Footage) -> np.ndarray[Any, np.dtype[np.uint8]]:
    height, width = picture.shape[:2]
    left, below = (source.width - width) // 2, source.height - height
    return np.asarray(
        cv2.copyMakeBorder(picture, 0, below, left, source.width - width - left, cv2.BORDER_REFLECT_101), np.uint8
    )


def _encoded(picture: np.ndarray[Any, np.dtype[np.uint8]], encoding: str) -> bytes:
    if encoding == "gray8":
        return picture.tobytes()
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()


def write_pictures(clip: Path, folder: Path) -> int:
    """Write the frames of a clip as JPEG files; returns how many."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        source = Footage(str(clip), 0, stream.width, stream.height, "jpeg")
    folder.mkdir(parents=True, exist_ok=True)
    written = pictures(source)
    for number, picture in enumerate(written):
        (folder / f"{number}.jpg").write_bytes(picture)
    return len(written)


def main() -> None:
    """Write the frames of one clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(write_pictures(options.clip, options.folder))


if __name__ == "__main__":
    main()
