"""Reports with signals, pictures and explanations, made from formulas: nobody's face, and the same on every machine.

`python -m tests.report.made` writes `looks.json`, to which tests compare drawings; look at them before.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from server.types import (
    ActionUnit,
    ClipInfo,
    Event,
    Evidence,
    FaceQuality,
    FaceSummary,
    ModelRef,
    Report,
    ReportWarning,
)
from server.visuals import Candidate, EventPictures, Explanation, FaceSignals, Field, Influence, Picture

LOOKS = Path(__file__).with_name("looks.json")
_SIDED = ("brow_inner", "brow_middle", "brow_outer", "cheek", "nose_wing", "mouth_corner")
REGIONS = (
    *(f"{name}_{side}" for name in _SIDED for side in ("left", "right")),
    *("lip_upper", "lip_lower", "chin", "lid_left", "lid_right"),
)
_Y, _X = np.mgrid[0:256, 0:256].astype(np.float64)


def text(values) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def picture(values) -> Picture:
    height, width = values.shape
    return Picture(width, height, text(values.astype(np.uint8)))


def field(values, scale=1e-3) -> Field:
    height, width = values.shape
    return Field(width, height, scale, text(np.round(values / scale).astype("<i2")))


def blob(x, y, size):
    return np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / (2 * size**2))


def face(lift=0.0):
    """A drawn face whose mouth corners are lifted by so many px."""
    gray = 60 + 130.0 * (((_X - 128) / 95) ** 2 + ((_Y - 138) / 125) ** 2 < 1)
    for x in (70, 186):
        gray -= 90 * blob(x, 96, 9) + 55 * np.exp(-((_Y - 74) ** 2) / 18) * (abs(_X - x) < 26)
    across = np.clip((_X - 128) / 42, -1, 1)
    gray -= 80 * np.exp(-((_Y - 196 + lift * across**2) ** 2) / 14) * (abs(_X - 128) < 42)
    return np.clip(gray - 35 * blob(128, 152, 12), 0, 255)


def pictures() -> EventPictures:
    lift = 2.4 * (blob(86, 192, 22) + blob(170, 192, 22))[::2, ::2]
    u = 1.1 * (blob(170, 192, 22) - blob(86, 192, 22))[::2, ::2]
    dy, dx = np.gradient(-lift)
    points = [(128.0 + 80 * np.cos(k), 140.0 + 100 * np.sin(k)) for k in np.linspace(0, 6.28, 468)]
    return EventPictures(
        onset=picture(face()),
        apex=picture(face(3.0)),
        u=field(u),
        v=field(-lift),
        strain=field(np.hypot(dx, dy) / 2, 1e-4),
        course=[picture(face(lift)[::2, ::2]) for lift in (0.0, 1.5, 3.0, 1.0)],
        course_s=[0.88, 0.98, 1.07, 1.25],
        landmarks=points,
    )


def explanation() -> Explanation:
    drop = 0.5 * blob(86, 192, 26) + 0.4 * blob(170, 192, 26) - 0.12 * blob(128, 70, 30)
    return Explanation(
        method="occlusion",
        label="positive",
        probability=0.93,
        regions=[
            Influence("mouth_corner", "left", 0.51),
            Influence("mouth_corner", "right", 0.42),
            Influence("brow", "both", -0.08),
        ],
        action_units=[Influence("AU12", "both", 0.66), Influence("AU6", "left", 0.11)],
        map=field(drop[4::8, 4::8]),
    )


def event(**changes) -> Event:
    values = {
        "track_id": 1,
        "kind": "micro",
        "onset_s": 0.892,
        "apex_s": 1.072,
        "offset_s": 1.267,
        "onset_frame": 27,
        "apex_frame": 32,
        "offset_frame": 38,
        "label": "positive",
        "probabilities": {"negative": 0.05, "positive": 0.93, "surprise": 0.02},
        "confidence": 0.93,
        "abstained": False,
        "regions": ("mouth_corner_right", "mouth_corner_left", "cheek_left"),
        "action_units": (
            ActionUnit(12, 0.38, "both", 0.88),
            ActionUnit(6, 0.22, "left", 0.61),
            ActionUnit(4, 0.9, "right", 0.55),
        ),
        "evidence": Evidence("fair", ("the frame rate is low: 30 per second",)),
        "pictures": pictures(),
        "explanation": explanation(),
    }
    return Event(**(values | changes))


def signals(track_id=1, seconds=2.5, peaks=((1.07, 0.06, "mouth_corner_left"), (1.07, 0.05, "mouth_corner_right"))):
    times = np.arange(int(seconds * 30)) / 30
    motion = 0.004 + 0.003 * np.abs(np.sin(np.outer(np.arange(1, len(REGIONS) + 1), times)))
    for at, size, name in (*peaks, (1.9, 0.14, "lid_left"), (1.9, 0.14, "lid_right")):
        motion[REGIONS.index(name)] += size * np.exp(-(((times - at) / 0.09) ** 2))
    rows = motion.round(5).tolist()
    rows[2][40:44] = [None] * 4
    return FaceSignals(
        track_id=track_id,
        every=1,
        times_s=times.round(4).tolist(),
        regions=REGIONS,
        motion_iod=rows,
        transforms=[(1.2, 0.0, -260.0, 0.0, 1.2, -160.0)] * len(times),
        candidates=[
            Candidate("micro", 0.892, 1.072, 1.267, 0.06, ("mouth_corner_left",), "reported"),
            Candidate("micro", 1.8, 1.9, 2.0, 0.14, ("lid_left", "lid_right"), "withdrawn", "blink"),
        ],
    )


def report(*events: Event, faces=(1,), **changes) -> Report:
    quality = FaceQuality(96.0, 200.0, 1.0, 2.0, 0.0, 1.0)
    values = {
        "id": "6f1c2c0e8f7d4f0d9f0a6b6a1d6a3b52",
        "clip": ClipInfo(2.5, 75, 30.0, 640, 480, "h264"),
        "faces": [FaceSummary(track, 0.0, 2.4667, quality, Evidence("fair", ("30 per second",))) for track in faces],
        "events": list(events),
        "model": ModelRef("glimpse_flow", "1", "flow_uvs_28", "local"),
        "timings_ms": {"total": 812.0},
        "signals": [signals(track) for track in faces],
    }
    return Report(**(values | changes))


def states() -> dict[str, Report]:
    """A report in each state that is drawn otherwise."""
    bare = event(pictures=None, explanation=None)
    macro = event(kind="macro", onset_s=1.5, apex_s=1.9, offset_s=2.3, label="negative", explanation=None)
    withheld = event(
        abstained=True,
        confidence=0.41,
        probabilities={"negative": 0.31, "positive": 0.41, "surprise": 0.28},
        evidence=Evidence("poor", ("nothing moved between onset and apex", "the face is small: 41 px")),
        action_units=(),
    )
    long = "a_label_that_is_very_long_and_has_$dollars$_and_\\alpha"
    strange = event(label=long, probabilities={long: 0.7, "other\x07\u202e": 0.2, "日本": 0.1}, confidence=0.7)
    warning = ReportWarning(
        "speech", "face 1 seemed to speak for 1.2 s: movements of the mouth alone were not taken for expressions then"
    )
    return {
        "none": report(),
        "one": report(event()),
        "several": report(event(), macro, withheld),
        "withheld": report(withheld),
        "faces": report(event(), replace(bare, track_id=2, onset_s=1.4, apex_s=1.5, offset_s=1.6), faces=(1, 2)),
        "strange": report(strange, warnings=(warning,)),
        "bare": report(bare, signals=()),
    }


def look(png: bytes) -> np.ndarray:
    """What a drawing looks like from afar: float [32, 32], 0..1, mean brightness of each part of the PNG."""
    import cv2

    image = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    return cv2.resize(image.astype(np.float32) / 255, (32, 32), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Write what the drawings of today look like, for the tests of tomorrow."""
    from server.report.render.documents import report_png

    looks = {
        name: "".join(f"{round(value * 255):02x}" for value in look(report_png(states()[name], threshold=0.5)).flat)
        for name in ("none", "one", "several", "faces")
    }
    LOOKS.write_text(json.dumps(looks, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
