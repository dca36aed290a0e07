"""Geometry of the aligned crop: similarity transforms, their robust fit, and sub-pixel warps.

A transform is float64 [2, 3] and maps (x, y, 1) of one picture to (x, y) of another.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from server.types import (
    CROP_EYE_Y_PX,
    CROP_IOD_PX,
    CROP_SIZE_PX,
    Float32Array,
    Float64Array,
    UInt8Array,
)

IMAGE_LEFT_EYE = (33, 133)
"""Corners of the eye on the left of the picture (the subject's right eye) in the 468-point mesh."""
IMAGE_RIGHT_EYE = (263, 362)

_CROP_EYES = np.array(
    [
        [CROP_SIZE_PX / 2 - CROP_IOD_PX / 2, CROP_EYE_Y_PX],
        [CROP_SIZE_PX / 2 + CROP_IOD_PX / 2, CROP_EYE_Y_PX],
    ]
)
_TICKS = (np.arange(16) + 0.5) * CROP_SIZE_PX / 16
_GRID = np.stack(np.meshgrid(_TICKS, _TICKS), axis=-1).reshape(-1, 2)
_BELOW_PX = 64
_AVERAGE_BELOW = 0.6
_FIT_ROUNDS = 6
_MIN_SPREAD_PX = 1e-6


def eye_centres(landmarks: npt.NDArray[np.floating]) -> Float64Array:
    """Centres of the two eyes, float64 [2, 2], the one on the left of the picture first.

    Each is the mean of the eye's two corners. `landmarks` [468, 2].
    """
    points = np.asarray(landmarks, np.float64)
    return np.stack([points[list(IMAGE_LEFT_EYE)].mean(axis=0), points[list(IMAGE_RIGHT_EYE)].mean(axis=0)])


def crop_transform(landmarks: npt.NDArray[np.floating]) -> Float64Array:
    """The transform from frame px to crop px that puts the eye centres where the crop wants them.

    `landmarks` [468, 2] in frame px. Raises `ValueError` when both eyes coincide.
    """
    source, target = _complex(eye_centres(landmarks)), _complex(_CROP_EYES)
    span = source[1] - source[0]
    if abs(span) < _MIN_SPREAD_PX:
        raise ValueError("the eye centres coincide")
    factor = (target[1] - target[0]) / span
    return _from_complex(factor, target[0] - factor * source[0])


def similarity(scale: float, angle_rad: float, shift: tuple[float, float]) -> Float64Array:
    """The transform that scales, turns (positive from x towards y) and then shifts."""
    return _from_complex(scale * complex(math.cos(angle_rad), math.sin(angle_rad)), complex(*shift))


def compose(outer: Float64Array, inner: Float64Array) -> Float64Array:
    """The transform that applies `inner` first and `outer` to its result."""
    (a, b, c), (d, e, f) = outer.tolist()
    (u, v, w), (x, y, z) = inner.tolist()
    return np.array(
        [[a * u + b * x, a * v + b * y, a * w + b * z + c], [d * u + e * x, d * v + e * y, d * w + e * z + f]]
    )


def invert(transform: Float64Array) -> Float64Array:
    """The inverse. Raises `numpy.linalg.LinAlgError` for a singular transform."""
    (a, b, c), (d, e, f) = transform.tolist()
    determinant = a * e - b * d
    if determinant == 0.0:
        raise np.linalg.LinAlgError("the transform is singular")
    a, b, d, e = e / determinant, -b / determinant, -d / determinant, a / determinant
    return np.array([[a, b, -a * c - b * f], [d, e, -d * c - e * f]])


def apply(transform: Float64Array, points: npt.NDArray[np.floating]) -> Float64Array:
    """The points [N, 2] under the transform, float64 [N, 2]."""
    return np.asarray(points, np.float64) @ transform[:, :2].T + transform[:, 2]


def scale_of(transform: Float64Array) -> float:
    """Linear magnification."""
    return math.sqrt(abs(transform[0, 0] * transform[1, 1] - transform[0, 1] * transform[1, 0]))


def angle_of(transform: Float64Array) -> float:
    """Rotation in radians, positive from x towards y."""
    return math.atan2(transform[1, 0], transform[0, 0])


def iod_of(transform: Float64Array) -> float:
    """Inter-ocular distance in frame px of a face whose frame -> crop transform this is."""
    return CROP_IOD_PX / scale_of(transform)


def fit_similarity(
    source: npt.NDArray[np.floating],
    target: npt.NDArray[np.floating],
    weights: npt.NDArray[np.floating] | None = None,
) -> tuple[Float64Array, float]:
    """The similarity that best maps `source` to `target`, both [N, 2], and the median distance that it leaves.

    Weighted Procrustes in closed form (Umeyama 1991, in complex numbers), repeated with Geman-McClure weights whose
    scale follows the median distance, so that about a third of the points may be anywhere. `weights` [N] >= 0 scale
    each point's say; points of weight 0 take no part.

    Raises `ValueError` for fewer than two distinct points of positive weight.
    """
    prior = np.ones(len(source)) if weights is None else np.asarray(weights, np.float64)
    used = prior > 0
    start, goal = _complex(source)[used], _complex(target)[used]
    prior = prior[used]
    if len(prior) == 0:
        raise ValueError("no point has weight")
    centre, aim = complex(start.mean()), complex(goal.mean())
    start, goal = start - centre, goal - aim
    products = _products(start, goal)
    factor, shift = _procrustes(prior @ products)
    distances = np.abs(goal - factor * start - shift)
    for _ in range(_FIT_ROUNDS):
        spread = max(_median(distances), _MIN_SPREAD_PX)
        pull = prior / (1 + (distances / spread) ** 2) ** 2
        factor, shift = _procrustes(pull @ products)
        distances = np.abs(goal - factor * start - shift)
    return _from_complex(factor, shift + aim - factor * centre), _median(distances)


def warp(luma: UInt8Array, transform: Float64Array) -> Float32Array:
    """The crop of one frame: float32 [256, 256], 0..255, of `luma` uint8 [H, W] under a frame -> crop transform."""
    return sample(luma, transform, CROP_SIZE_PX)


def warp_with_chin(luma: UInt8Array, transform: Float64Array) -> Float32Array:
    """The crop of one frame continued downwards, where the chin is: float32 [320, 256], otherwise as `warp`."""
    return sample(luma, transform, CROP_SIZE_PX, CROP_SIZE_PX + _BELOW_PX)


def sample(image: UInt8Array, transform: Float64Array, width: int, height: int | None = None) -> Float32Array:
    """A box of `width` x `height` px, a square where no height is given, cut out of uint8 [H, W] or [H, W, 3]; float32
    [height, width] or [height, width, 3].

    Bilinear with exact coordinates. Where the box is smaller than its source by more than a factor of about 1.7,
    whole pixels are averaged first, so that nothing aliases. Outside the picture its border repeats.
    """
    size = (width, width if height is None else height)
    scale = scale_of(transform)
    step = max(1, round(1 / scale)) if scale < _AVERAGE_BELOW else 1
    x0, y0, x1, y1 = _source_box((image.shape[1], image.shape[0]), transform, size, step)
    patch = image[y0:y1, x0:x1]
    if step > 1:
        averaged = ((x1 - x0) // step, (y1 - y0) // step)
        patch = np.asarray(cv2.resize(patch, averaged, interpolation=cv2.INTER_AREA), np.uint8)
    centre = (step - 1) / 2
    local = np.array([[step, 0, x0 + centre], [0, step, y0 + centre]], np.float64)
    return cv2.warpAffine(
        patch.astype(np.float32),
        compose(transform, local),
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    ).astype(np.float32, copy=False)


def inside_share(transform: Float64Array, width: int, height: int) -> float:
    """The share of the crop, 0..1, that lies inside a picture of that size; counted on a 16 x 16 grid."""
    x, y = apply(invert(transform), _GRID).T
    within = (x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1)
    return float(np.count_nonzero(within)) / len(_GRID)


def _source_box(
    whole: tuple[int, int], transform: Float64Array, size: tuple[int, int], step: int
) -> tuple[int, int, int, int]:
    """The part of the picture that the box needs, in whole steps, so that averaging has one grid per picture."""
    width, height = size
    corners = apply(invert(transform), np.array([[0, 0], [width, 0], [0, height], [width, height]]))
    bounds = []
    for low, high, limit in zip(corners.min(axis=0).tolist(), corners.max(axis=0).tolist(), whole, strict=True):
        start = min(max(int((low - 2 * step) // step), 0), limit // step - 1)
        stop = min(max(int((high + 2 * step) // step) + 1, start + 1), limit // step)
        bounds.append((start * step, stop * step))
    return bounds[0][0], bounds[1][0], bounds[0][1], bounds[1][1]


def _products(source: npt.NDArray[np.complex128], target: npt.NDArray[np.complex128]) -> Float64Array:
    """What the sums of the closed form are sums of, [N, 8]: they are summed anew with every change of weights."""
    cross = source.conj() * target
    squares = source.real**2 + source.imag**2
    columns = (source.real, source.imag, target.real, target.imag, squares, cross.real, cross.imag)
    return np.stack([np.ones(len(source)), *columns], axis=1)


def _procrustes(sums: Float64Array) -> tuple[complex, complex]:
    """Factor and shift of the similarity that fits best, by the weighted sums of `_products`."""
    total, *means = sums.tolist()
    if total <= 0:
        raise ValueError("no point has weight")
    x, y, u, v, squares, real, imaginary = (each / total for each in means)
    source_mean, target_mean = complex(x, y), complex(u, v)
    spread = squares - abs(source_mean) ** 2
    if spread < _MIN_SPREAD_PX**2:
        raise ValueError("a similarity needs two distinct points")
    factor = (complex(real, imaginary) - source_mean.conjugate() * target_mean) / spread
    return factor, target_mean - factor * source_mean


def _median(values: Float64Array) -> float:
    # The upper median: numpy's own costs as much as a round of the fit.
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _complex(points: npt.NDArray[np.floating]) -> npt.NDArray[np.complex128]:
    pairs = np.ascontiguousarray(points, np.float64)
    return pairs.view(np.complex128)[:, 0]


def _from_complex(factor: complex, shift: complex) -> Float64Array:
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]], np.float64)
