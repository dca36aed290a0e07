"""Stretched flow images as inputs of DSSN."""

from __future__ import annotations

import numpy as np

from export.data.dual_images import RMS_PX, dual_images
from server.recipes.flow_dual_227 import DIMS, MAGNITUDE, STRAIN


def _image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 200, (3, 28, 28)).astype(np.uint8)


def test_shapes_and_greys_are_those_of_the_recipe() -> None:
    """Each picture has the recipe's shape, within 0..255."""
    made = dual_images(np.stack([_image(0), _image(1)]))
    assert {name: values.shape[1:] for name, values in made.items()} == dict(DIMS)
    assert all(values.min() >= 0 and values.max() <= 255 for values in made.values())


def test_the_nose_stands_still() -> None:
    """Where motion is that of the nose, the picture is the grey of no motion, whatever the stretched level was."""
    image = np.full((3, 28, 28), 90, np.uint8)
    image[:2, 20:, :] = 200
    made = dual_images(image[None])
    assert np.allclose(made[MAGNITUDE][0, :2, 100, 113], 128)
    assert (made[MAGNITUDE][0, :2, 220] > 128).all()


def test_stretching_does_not_matter() -> None:
    """An image whose motion was stretched by another factor and shifted gives the same pictures."""
    image = _image()
    other = image.copy()
    other[:2] = (image[:2].astype(int) - 60) // 2 + 10
    first, second = (
        dual_images(each[None]) for each in (np.stack([(image[0] // 2) * 2, (image[1] // 2) * 2, image[2]]), other)
    )
    assert np.allclose(first[STRAIN], second[STRAIN], atol=0.1)


def test_motion_has_the_stated_spread() -> None:
    """The root mean square of u and v is that of rendered expressions, at 16 grey levels a pixel."""
    flow = (dual_images(_image()[None])[MAGNITUDE][0, :2] - 128) / 16
    assert 0.6 * RMS_PX < np.sqrt(np.square(flow).mean()) < 1.05 * RMS_PX


def test_an_image_without_motion_is_grey() -> None:
    """Nothing is divided by a spread of zero."""
    made = dual_images(np.full((1, 3, 28, 28), 77, np.uint8))
    assert (made[MAGNITUDE][0, :2] == 128).all()
    assert not made[STRAIN][0, 2].any()
