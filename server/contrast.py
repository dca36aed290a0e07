"""Pictures with the light taken out of them, which motion is looked for in."""

from __future__ import annotations

import cv2
import numpy as np

from server.types import Float32Array, UInt8Array

_CONTRAST = 36.0
_CONTRAST_FLOOR = 6.0
_MIDDLE = 128.0


def even_light(gray: Float32Array, *, cell_px: int, cells: int) -> UInt8Array:
    """Texture around 128 with its local contrast equalised: neither more light nor less is taken for motion.

    Mean and contrast are those of `cells` x `cells` cells around each pixel, taken cell by cell: between cells of a
    few pixels they hardly change, and all pixels' own would cost far more.

    Args:
        gray: float32 [H, W], 0..255; H and W are whole numbers of cells.
        cell_px: width of a cell.
        cells: how many of them, odd.

    Returns:
        uint8 [H, W].
    """
    height, width = gray.shape
    grid, whole, around = (width // cell_px, height // cell_px), (width, height), (cells, cells)
    mean = cv2.blur(cv2.resize(gray, grid, interpolation=cv2.INTER_AREA), around)
    detail = cv2.subtract(gray, cv2.resize(mean, whole, interpolation=cv2.INTER_LINEAR))
    energy = cv2.blur(cv2.resize(cv2.multiply(detail, detail), grid, interpolation=cv2.INTER_AREA), around)
    gain = (_CONTRAST / (np.sqrt(np.maximum(energy, 0.0)) + _CONTRAST_FLOOR)).astype(np.float32)
    flat = cv2.multiply(detail, cv2.resize(gain, whole, interpolation=cv2.INTER_LINEAR))
    return np.asarray(cv2.addWeighted(flat, 1.0, flat, 0.0, _MIDDLE, dtype=cv2.CV_8U), dtype=np.uint8)
