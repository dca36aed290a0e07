"""Telling faces apart."""

from __future__ import annotations

import numpy as np
import pytest

from server.faces.align import compose, similarity
from server.faces.identity import Reunion, centre_px, cheapest, distance_iod, moved, reunion_cost, similar_size
from server.types import CROP_IOD_PX, Float64Array


def _face(x: float, y: float = 200, iod: float = 60) -> Float64Array:
    scale = CROP_IOD_PX / iod
    return compose(similarity(1, 0, (128, 128)), similarity(scale, 0, (-x * scale, -y * scale)))


def test_place_and_distance_are_those_of_the_frame() -> None:
    """The middle of the crop is the place of the face; distances count in eye distances."""
    np.testing.assert_allclose(centre_px(_face(100)), (100, 200))
    assert distance_iod(_face(100), _face(160)) == pytest.approx(1)
    assert distance_iod(_face(100), _face(160, iod=30)) == pytest.approx(1)


def test_a_moved_face_is_where_it_moved() -> None:
    """Moving a face moves its place and nothing else."""
    there = moved(_face(100), np.array([7.0, -3.0]))
    np.testing.assert_allclose(centre_px(there), (107, 197))
    assert similar_size(there, _face(100))


@pytest.mark.parametrize(
    ("found", "gap_s", "likeness", "possible"),
    [
        (_face(130), 0.1, 0.9, True),
        (_face(400), 0.1, 0.9, False),
        (_face(280), 0.9, 0.9, True),
        (_face(130, iod=110), 0.1, 0.9, False),
        (_face(130), 0.1, 0.2, False),
    ],
)
def test_a_reunion_needs_place_size_and_likeness(
    found: Float64Array, gap_s: float, likeness: float, *, possible: bool
) -> None:
    """Too far for the time, too different in size, or unlike: not the same face."""
    assert (reunion_cost(_face(100), gap_s, found, likeness) is not None) == possible


def test_likeness_outweighs_place() -> None:
    """Of two places, the one that looks like the lost face is cheaper, though farther."""
    near = reunion_cost(_face(100), 0.5, _face(110), 0.55)
    far = reunion_cost(_face(100), 0.5, _face(150), 0.95)
    assert near is not None
    assert far is not None
    assert far < near


def test_every_face_is_matched_once() -> None:
    """The cheapest match goes first and uses up both of its sides."""
    offers = [Reunion(0, 0, 0.5), Reunion(0, 1, 0.1), Reunion(1, 0, 0.9), Reunion(1, 1, 0.2)]
    assert cheapest(offers) == {1: 0, 0: 1}
