"""The 468 points of the face mesh as the 68 points in which most of the literature annotates a face.

The 68 points are those of 300-W (Sagonas, Tzimiropoulos, Zafeiriou and Pantic, "300 Faces in-the-Wild Challenge", ICCV
Workshops 2013), in its order; left and right are those of the picture. The mesh is that of `server.faces.landmarks`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from server.types import Float32Array

Points: TypeAlias = npt.NDArray[np.floating]

# fmt: off
MESH_POINTS: tuple[int, ...] = (
    # 0-16, jaw: from the left temple at the height of the eyes along the mesh's oval to the chin (152) and up again, in
    # nine about even steps of it on either side.
    127, 234, 132, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 361, 454, 356,
    # 17-21 and 22-26, brows: the upper row of the mesh's brow, outer to inner end on the left, inner to outer on the
    # right.
    70, 63, 105, 66, 107,
    336, 296, 334, 293, 300,
    # 27-30, ridge of the nose: from between the eyes (168) to the tip (4), in even steps.
    168, 197, 5, 4,
    # 31-35, below the nose: nostril and its inner end on the left, the septum's foot (2), and the twins on the right.
    75, 97, 2, 326, 305,
    # 36-41, left eye: outer corner, two points of the upper lid, inner corner, two of the lower lid, clockwise.
    33, 160, 158, 133, 153, 144,
    # 42-47, right eye: inner corner, upper lid, outer corner, lower lid, clockwise.
    362, 385, 387, 263, 373, 380,
    # 48-59, outer edge of the lips: left corner, over the two peaks (37, 267) and the dip (0) of the upper lip to the
    # right corner (291), and back along the lower lip, whose middle is 17.
    61, 39, 37, 0, 267, 269, 291, 321, 314, 17, 84, 91,
    # 60-67, inner edge of the lips: left corner, three points of the upper lip, right corner, three of the lower lip.
    78, 82, 13, 312, 308, 317, 14, 87,
)
"""For each of the 68 points the number of the mesh point that is nearest to what it means.

No table is given by the makers of either scheme. Points that have a meaning (corners of eyes and mouth, chin, peaks and
middle of the lips, tip of the nose) are those of the same meaning. Others only divide a contour; here they are the
points of the mesh's own contours (oval, brows, lids, lips; Kartynnik, Ablavatski, Grishchenko and Grundmann, 2019) that
divide it about as the annotation does. The jaw is where the two schemes differ most: the annotation follows the outline
that is seen, the mesh a line on the head.
"""

MIRRORED: tuple[int, ...] = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1),
    *range(64, 59, -1), *range(67, 64, -1),
)
"""For each of the 68 points the one that takes its place when the picture is mirrored."""
# fmt: on

JAW, LEFT_BROW, RIGHT_BROW, NOSE = slice(0, 17), slice(17, 22), slice(22, 27), slice(27, 36)
LEFT_EYE, RIGHT_EYE, OUTER_LIPS, INNER_LIPS = slice(36, 42), slice(42, 48), slice(48, 60), slice(60, 68)


def of_mesh(landmarks: Float32Array) -> Float32Array:
    """The 68 points float32 [..., 68, 2] of mesh points float32 [..., 468, 2], in the same unit."""
    return landmarks[..., MESH_POINTS, :]
