"""Faces to render: one picture of a face becomes many, by smooth changes of its proportions, skin and camera."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from export.synthesis.mesh_motion import MIRROR, FaceFrame
from server.errors import ConfigurationError, GlimpseError, InputError, NoFace, OptionError
from server.faces.detect import FaceDetector
from server.faces.find import find_faces
from server.faces.landmarks import FaceLandmarker
from server.media.image import read_image
from server.media.limits import MediaLimits
from server.types import Float32Array, UInt8Array

BASE_SCALE = 2
"""Pixels of the base picture for each pixel of a clip: a linear sample of it costs no sharpness that shows."""
MARGIN_PX = 32
"""Pixels of a clip that the base picture extends beyond it on each side, for a head that moves."""
SMALLEST_IOD_PX = 24.0

_LIMITS = MediaLimits(clip_seconds=1.0, clip_frames=1, frame_pixels=1 << 26)
_INVERSION_STEPS = 8
_CELL = 8
_MOUTH_BELOW_CENTRE = 0.10

# what changes -> ([(landmark, outward, down)], sigma in IOD, sigma of the amplitude in IOD)
_PROPORTIONS: tuple[tuple[str, tuple[tuple[int, float, float], ...], float, float], ...] = (
    ("eye_spacing", ((33, 1.0, 0.0), (133, 1.0, 0.0)), 0.30, 0.020),
    ("eye_size", ((159, 0.0, -1.0), (145, 0.0, 1.0)), 0.12, 0.012),
    ("brow_height", ((55, 0.0, -1.0), (52, 0.0, -1.0), (46, 0.0, -1.0)), 0.20, 0.025),
    ("nose_length", ((1, 0.0, 1.0), (64, 0.0, 1.0)), 0.25, 0.030),
    ("nose_width", ((64, 1.0, 0.0),), 0.14, 0.018),
    ("mouth_height", ((61, 0.0, 1.0), (0, 0.0, 1.0), (17, 0.0, 1.0)), 0.30, 0.030),
    ("mouth_width", ((61, 1.0, 0.0),), 0.22, 0.030),
    ("lip_fullness", ((0, 0.0, -1.0), (17, 0.0, 1.0)), 0.14, 0.012),
    ("chin_length", ((152, 0.0, 1.0), (199, 0.0, 1.0)), 0.35, 0.045),
    ("cheek_width", ((205, 1.0, 0.0), (50, 1.0, 0.0)), 0.40, 0.030),
    ("jaw_asymmetry", ((152, 1.0, 0.0),), 0.40, 0.015),
)


@dataclass(frozen=True, slots=True)
class FacePicture:
    """A picture of a face, uint8 [H, W, 3] RGB, and its landmarks, float32 [468, 2] in px."""

    name: str
    rgb: UInt8Array
    landmarks: Float32Array


@dataclass(frozen=True, slots=True)
class IdentityDraw:
    """What makes one person of a picture: `proportions` in IOD by name, `gains` of red, green and blue, `gamma`,
    `saturation`, `skin` the strength of the skin's own texture in grey levels, and whether the picture is mirrored.
    """

    name: str
    face: str
    seed: int
    mirrored: bool
    proportions: dict[str, float]
    gains: tuple[float, float, float]
    gamma: float
    saturation: float
    skin: float

    def record(self) -> dict[str, Any]:
        """As JSON-able data."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Identity:
    """A person, framed for a clip of `size` px width and height.

    `luma` float32 [2 (size + 64), 2 (size + 64)] and `chroma` float32 [size + 64, size + 64, 2] as video codes them
    (BT.601, 16..235); `landmarks` float32 [468, 2] in px of the clip.
    """

    draw: IdentityDraw
    luma: Float32Array
    chroma: Float32Array
    landmarks: Float32Array
    size: int


def read_face(path: Path) -> FacePicture:
    """The largest face of a picture file.

    Raises:
        InputError: the file does not exist or is no picture.
        NoFace: no face is in it, or one too small to render.
    """
    try:
        frame = read_image(path.read_bytes(), _LIMITS)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", stage="synthesis") from None
    except GlimpseError as error:
        raise InputError(f"{path}: {error.message}", stage="synthesis") from None
    return find_face(path.stem, frame.rgb())


def find_face(name: str, rgb: UInt8Array) -> FacePicture:
    """The largest face of `rgb`. Raises `NoFace`, naming the picture."""
    faces = find_faces(rgb, FaceDetector(), FaceLandmarker())
    if not faces:
        raise NoFace(f"no face was found in {name}", stage="synthesis")
    best = max(faces, key=lambda face: FaceFrame.of(face.landmarks).iod_px)
    iod = FaceFrame.of(best.landmarks).iod_px
    if iod < SMALLEST_IOD_PX:
        message = f"the face in {name} is too small: its eyes are {iod:.0f} px apart, {SMALLEST_IOD_PX:.0f} are needed"
        raise NoFace(message, stage="synthesis")
    return FacePicture(name, rgb, best.landmarks)


def default_face() -> FacePicture:
    """NASA's portrait of astronaut Eileen Collins, public domain, as it comes with scikit-image.

    Raises `ConfigurationError` where scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise ConfigurationError("the default portrait comes with scikit-image: install glimpse[export]") from error
    return find_face("astronaut", np.asarray(data.astronaut(), dtype=np.uint8))  # type: ignore[no-untyped-call]


def draw_identity(faces: Sequence[FacePicture], number: int, seed: int) -> IdentityDraw:
    """Person `number` of `seed`; pictures are used in turn. The same numbers give the same person."""
    if not faces:
        raise OptionError("at least one face picture is needed", option="face")
    rng = np.random.default_rng([seed, 1, number])
    face = faces[number % len(faces)]
    return IdentityDraw(
        name=f"{face.name}-{seed}-{number:04d}",
        face=face.name,
        seed=seed,
        mirrored=bool(rng.random() < 0.5),
        proportions={name: round(float(s * rng.standard_normal()), 5) for name, _, _, s in _PROPORTIONS},
        gains=tuple(round(float(g), 4) for g in rng.uniform(0.88, 1.08, 3)),  # type: ignore[arg-type]
        gamma=round(float(rng.uniform(0.8, 1.3)), 4),
        saturation=round(float(rng.uniform(0.6, 1.15)), 4),
        skin=round(float(rng.uniform(0.8, 2.0)), 4),
    )


def make_identity(face: FacePicture, draw: IdentityDraw, *, size: int, iod_px: float) -> Identity:
    """Frame `face` as the person of `draw` in a square of `size` px with an eye distance of about `iod_px`.

    The eyes and mouth lie around the middle. All changes are made by one warp of the picture.
    """
    rgb, mesh = (face.rgb, face.landmarks) if not draw.mirrored else _mirrored(face)
    middle = mesh[[33, 263, 61, 291]].mean(axis=0)
    frame = FaceFrame.of(mesh)
    scale = iod_px / frame.iod_px
    back = np.array([frame.axis, [-frame.axis[1], frame.axis[0]]], dtype=np.float32)  # rows: right and down
    centre = np.array([size / 2, size * (0.5 + _MOUTH_BELOW_CENTRE / 2)], dtype=np.float32)
    framed = ((mesh - middle) @ back.T * scale + centre).astype(np.float32)

    side = BASE_SCALE * (size + 2 * MARGIN_PX)
    # The change of shape is smooth: every eighth pixel tells it. One more at each end, for the edges.
    ticks = (_CELL * (np.arange(-1, side // _CELL + 1, dtype=np.float32) + 0.5)) / BASE_SCALE - 0.5 - MARGIN_PX
    target = np.stack(np.meshgrid(ticks, ticks), axis=-1).astype(np.float32)
    source = target
    for _ in range(_INVERSION_STEPS):
        source = np.asarray(target - _reshape(draw, framed, source, scale * frame.iod_px), np.float32)
    coarse = ((source - centre) @ back / scale + middle).astype(np.float32)
    wide = cv2.resize(coarse, (side + 2 * _CELL, side + 2 * _CELL), interpolation=cv2.INTER_CUBIC)
    place = np.ascontiguousarray(wide[_CELL:-_CELL, _CELL:-_CELL])
    shrink = scale * BASE_SCALE
    if shrink < 1:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), 0.4 / shrink), np.uint8)
    columns, rows = (np.ascontiguousarray(place[..., axis]) for axis in range(2))
    picture = cv2.remap(rgb.astype(np.float32), columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    moved = framed + _reshape(draw, framed, framed[None], scale * frame.iod_px)[0]
    luma, chroma = _video_planes(_toned(np.asarray(picture, np.float32), draw))
    return Identity(draw, luma, chroma, moved.astype(np.float32), size)


def _mirrored(face: FacePicture) -> tuple[UInt8Array, Float32Array]:
    """The picture and its mesh as in a mirror. Only points that are used as left and right change their names."""
    width = face.rgb.shape[1]
    mesh = face.landmarks.copy()
    mesh[:, 0] = width - 1 - mesh[:, 0]
    swap = mesh.copy()
    for left, right in (*MIRROR.items(), *CONTOUR_MIRROR.items()):
        swap[left], swap[right] = mesh[right], mesh[left]
    return np.ascontiguousarray(face.rgb[:, ::-1]), swap


CONTOUR_MIRROR = {
    246: 466, 161: 388, 160: 387, 158: 385, 157: 384, 173: 398, 7: 249, 163: 390, 144: 373, 153: 380, 154: 381,
    155: 382, 78: 308, 191: 415, 80: 310, 81: 311, 82: 312, 95: 324, 88: 318, 178: 402, 87: 317,
}  # fmt: skip
"""Points of the eye and inner lip contours, and their twins."""


def _reshape(draw: IdentityDraw, mesh: Float32Array, points: Float32Array, iod_px: float) -> Float32Array:
    """How far each point of the resting face moves to give it the proportions of `draw`, px."""
    out = np.zeros_like(points)
    for name, rows, sigma, _ in _PROPORTIONS:
        amplitude = draw.proportions[name] * iod_px
        weight_sum = np.zeros(points.shape[:-1], np.float32)
        part = np.zeros_like(points)
        for landmark, outward, down in rows:
            twins = ((landmark, -1.0), (MIRROR[landmark], 1.0)) if landmark in MIRROR else ((landmark, 1.0),)
            for index, sign in twins:
                gap = points - mesh[index]
                weight = np.exp(-np.sum(gap * gap, axis=-1) / (2 * (sigma * iod_px) ** 2))
                part += weight[..., None] * np.array([sign * outward, down], np.float32)
                weight_sum += weight
        out += amplitude * part / np.maximum(weight_sum, 1.0)[..., None]
    return out


def _toned(rgb: Float32Array, draw: IdentityDraw) -> Float32Array:
    """Skin texture of its own, camera gamma, colour and saturation."""
    rng = np.random.default_rng([draw.seed, 2, _number_of(draw.name)])
    height, width = rgb.shape[:2]
    texture = np.zeros((height, width), np.float32)
    for sigma, share in ((1.5, 0.7), (4.0, 0.3), (20.0, 0.6)):
        shrink = max(int(sigma / 1.5), 1)
        grain = rng.standard_normal((height // shrink, width // shrink), dtype=np.float32)
        layer = cv2.resize(
            cv2.GaussianBlur(grain, (0, 0), sigma / shrink), (width, height), interpolation=cv2.INTER_CUBIC
        )
        texture += share * layer / layer.std()
    rgb = rgb + draw.skin * texture[..., None]
    toned = 255 * np.clip(rgb * np.array(draw.gains, np.float32) / 255, 0, 1) ** draw.gamma
    gray = toned.mean(axis=-1, keepdims=True)
    return np.asarray(np.clip(gray + draw.saturation * (toned - gray), 0, 255), np.float32)


def _number_of(text: str) -> int:
    """A number that is the same in every process, unlike `hash`."""
    return zlib.crc32(text.encode())


def _video_planes(rgb: Float32Array) -> tuple[Float32Array, Float32Array]:
    red, green, blue = (rgb[..., k] for k in range(3))
    luma = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    u = 128 + (-37.797 * red - 74.203 * green + 112.0 * blue) / 255
    v = 128 + (112.0 * red - 93.786 * green - 18.214 * blue) / 255
    half = (rgb.shape[1] // 2, rgb.shape[0] // 2)
    chroma = cv2.resize(np.stack([u, v], axis=-1), half, interpolation=cv2.INTER_AREA)
    return np.asarray(luma, np.float32), np.asarray(chroma, np.float32)
