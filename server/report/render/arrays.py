"""Pictures and fields of a report (`server.visuals`) as arrays, strictly: what does not fit is refused, not guessed."""

from __future__ import annotations

import base64
import binascii
import math

import numpy as np

from server.errors import InputError
from server.types import Float32Array, UInt8Array
from server.visuals import Field, Picture

STAGE = "rendering"
MOST_SIDE_PX = 512
"""Twice the largest side that a report of ours has."""


def gray(picture: Picture, name: str) -> UInt8Array:
    """uint8 [height, width]. Raises `InputError` where size and bytes disagree; `name` says which picture it was."""
    content = _decoded(picture.gray, name, picture.width, picture.height, 1)
    return np.frombuffer(content, np.uint8).reshape(picture.height, picture.width)


def numbers(field: Field, name: str) -> Float32Array:
    """float32 [height, width], in the unit of the field's owner. Raises `InputError` as `gray`, also for a scale that
    is no positive number.
    """
    if not (math.isfinite(field.scale) and 0 < field.scale < 1e6):
        raise InputError(f"{name}: the scale is no positive number", stage=STAGE)
    content = _decoded(field.values, name, field.width, field.height, 2)
    whole = np.frombuffer(content, "<i2").reshape(field.height, field.width)
    return np.asarray(whole, np.float32) * np.float32(field.scale)


def _decoded(text: str, name: str, width: int, height: int, bytes_each: int) -> bytes:
    if not (0 < width <= MOST_SIDE_PX and 0 < height <= MOST_SIDE_PX):
        raise InputError(f"{name}: width and height must be 1 to {MOST_SIDE_PX}", stage=STAGE)
    wanted = width * height * bytes_each
    # Compared before anything is decoded: a text may be as long as the request.
    if len(text) != 4 * ((wanted + 2) // 3):
        raise InputError(f"{name}: not the base64 text of {wanted} bytes", stage=STAGE)
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name}: not base64", stage=STAGE) from None
    if len(content) != wanted:
        raise InputError(f"{name}: {len(content)} bytes instead of {wanted}", stage=STAGE)
    return content
