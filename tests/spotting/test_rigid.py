"""What the head does, told from what the face does."""

import numpy as np
import pytest

from server.spotting.rigid import BONES, PARAMETERS, RigidFit
from server.spotting.signal import REGIONS

BROWS = [r for r, name in enumerate(REGIONS) if name.startswith("brow")]
MOUTH = [r for r, name in enumerate(REGIONS) if name.startswith(("mouth", "lip", "chin"))]
REST = np.zeros(PARAMETERS)


@pytest.fixture(scope="module")
def fit():
    return RigidFit(REGIONS)


def _noise(seed=0, size=0.001):
    return size * np.random.default_rng(seed).standard_normal((len(REGIONS) + len(BONES), 2)).astype(np.float32)


@pytest.mark.parametrize("parameter", range(PARAMETERS))
@pytest.mark.parametrize("size", [-0.08, 0.03])
def test_each_motion_of_the_head_is_found(fit, parameter, size):
    """A shift, a change of scale, and turns about all three axes leave nothing in the regions."""
    head = np.zeros(PARAMETERS)
    head[parameter] = size
    shift = fit.moved(head) + _noise()
    found = fit.fit(shift, REST)
    assert found == pytest.approx(head, abs=0.01)
    assert np.abs(shift - fit.moved(found)).max() < 0.006


@pytest.mark.parametrize("regions", [BROWS, MOUTH, [*BROWS[:2], *MOUTH]], ids=["brows", "mouth", "both"])
def test_an_expression_is_not_taken_for_the_head(fit, regions):
    """What brows or mouth do stays in the signal while the head moves as well."""
    head = np.array([0.01, -0.02, 0.02, 0.03, 0.05, -0.04])
    shift = fit.moved(head) + _noise()
    shift[regions, 1] -= 0.05
    rest = shift - fit.moved(fit.fit(shift, REST))
    assert rest[regions, 1] == pytest.approx(-0.05, abs=0.006)
    others = [r for r in range(len(REGIONS)) if r not in regions]
    assert np.abs(rest[others]).max() < 0.006


def test_brows_that_rise_bit_by_bit_are_no_nod(fit):
    """At 200 frames per second each is hardly higher than before; compared with the usual pose they are."""
    head = REST
    for frame in range(60):
        shift = _noise(frame)
        shift[BROWS, 1] -= 0.06 * np.sin(np.pi / 120 * frame) ** 2
        head = fit.fit(shift, head, REST)
    assert (shift - fit.moved(head))[BROWS, 1] == pytest.approx(-0.06, abs=0.006)
