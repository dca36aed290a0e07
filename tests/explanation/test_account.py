"""From answers with parts hidden to an explanation, and what is asked in order to get one."""

from __future__ import annotations

import base64
from itertools import count

import numpy as np
import pytest

from server.explanation.account import account, attention_field
from server.explanation.occlude import MOST_UNITS, most_variants, occlude, region_parts, unit_parts
from server.explanation.parts import Occlusion, Part
from server.flow.contraction import FULL_MOTION, MIRRORED
from server.flow.derive import flow_field
from server.recipes.registry import RECIPES
from server.types import EventSample
from tests.explanation.faces import landmarks

PARTS = (Part("region", "brow", "both"), Part("region", "chin", "both"), Part("action-unit", "AU4", "left"))


def _sample() -> EventSample:
    rng = np.random.default_rng(3)
    still = np.full((256, 256), 100, np.float32)
    u, v = rng.normal(0, 1, (2, 256, 256)).astype(np.float32)
    return EventSample(still, still + 1, landmarks(), flow_field(u, v))


def test_drops_are_what_the_whole_movement_has_more() -> None:
    """Regions and units each strongest first, the map row by row, negative where hiding raises the label."""
    told = np.array([0.9, 0.8, 0.95, 0.4, *(0.9 - 0.1 * place for place in range(4))], np.float32)
    why = account(Occlusion(PARTS, 2, {}), told, "negative", 0.9)
    assert [(part.name, part.side, part.drop) for part in why.regions] == [
        ("brow", "both", 0.1),
        ("chin", "both", -0.05),
    ]
    assert [(part.name, part.side, part.drop) for part in why.action_units] == [("AU4", "left", 0.5)]
    assert (why.method, why.label, why.probability, why.attention) == ("occlusion", "negative", 0.9, None)
    assert why.map is not None
    values = np.frombuffer(base64.b64decode(why.map.values), "<i2").reshape(why.map.height, why.map.width)
    np.testing.assert_allclose(values * why.map.scale, [[0, 0.1], [0.2, 0.3]], atol=1e-4)


def test_no_drop_is_minus_zero() -> None:
    """A loss too small to tell is 0, as readers expect it; and without places there is no map."""
    told = np.array([0.9, 0.900001, 0.9, 0.9], np.float32)
    why = account(Occlusion(PARTS, 0, {}), told, "negative", 0.9)
    assert [str(part.drop) for part in why.regions] == ["0.0", "0.0"]
    assert why.map is None


def test_attention_lies_where_the_network_looks() -> None:
    """On the square of the crop that the recipe shows, and 0 around it."""
    attention = np.zeros((7, 7), np.float32)
    attention[0, 0] = 1
    shows = RECIPES["apex_gray_224"].shows
    assert shows is not None
    field = attention_field(attention, shows)
    values = np.frombuffer(base64.b64decode(field.values), "<i2").reshape(field.height, field.width) * field.scale
    assert values.shape == (32, 32)
    assert values[6, 4] == pytest.approx(1, abs=0.01)
    assert values[:6].max() == values[:, :4].max() == 0
    assert values[20, 20] == 0


def test_units_that_moved_are_asked_about_the_farthest_first() -> None:
    """At most eight, none that went less than a twentieth, on both sides unless one went less than half as far."""
    went = {12: (0.4, 0.3), 4: (0.5, 0.2), 6: (0.04, 0.04), 1: (0.0, 0.1)}
    assert unit_parts(went) == (
        Part("action-unit", "AU4", "left"),
        Part("action-unit", "AU12", "both"),
        Part("action-unit", "AU1", "right"),
    )
    assert len(unit_parts(dict.fromkeys(range(1, 20), (0.3, 0.3)))) == MOST_UNITS


@pytest.mark.parametrize("recipe", ["flow_uvs_28", "apex_gray_128", "flow_uvs_28+apex_gray_128"])
def test_a_model_is_asked_about_the_whole_the_parts_and_the_places(recipe: str) -> None:
    """One row each, in this order; the first is what the recipe makes of the movement; no more than announced."""
    made = RECIPES[recipe]
    went = {1: (0.3, 0.3), 12: (0.2, 0.2)}
    occlusion = occlude(_sample(), made.make_within, went, FULL_MOTION, MIRRORED, cells=3)
    assert occlusion is not None
    assert occlusion.parts == (*region_parts(), *unit_parts(went))
    assert set(occlusion.inputs) == set(made.dims)
    for name, dims in made.dims.items():
        assert occlusion.inputs[name].shape == (1 + len(occlusion.parts) + 9, *dims)
        np.testing.assert_array_equal(occlusion.inputs[name][0], made.make(_sample())[name])
    assert len(occlusion.inputs[next(iter(made.dims))]) <= most_variants(3)


def test_hidden_motion_gets_the_value_of_no_motion() -> None:
    """A recipe that stretches each plane keeps the scale of the whole movement: what is left has the values that it
    had, and what is hidden is the grey of zero motion.
    """
    sample = _sample()
    occlusion = occlude(sample, RECIPES["flow_uvs_28"].make_within, {}, FULL_MOTION, MIRRORED, cells=0)
    assert occlusion is not None
    whole, hidden = (
        occlusion.inputs["flow"][0],
        occlusion.inputs["flow"][1 + occlusion.parts.index(Part("region", "upper_face", "both"))],
    )
    np.testing.assert_allclose(hidden[:, 20:], whole[:, 20:], atol=1e-3)
    assert np.ptp(hidden[:2, :8], axis=(1, 2)).max() < 1e-3
    assert 0 < hidden[0, 0, 0] < 255


def test_nothing_is_half_explained() -> None:
    """Once there is no time left there is no explanation, whatever was made by then."""
    asked = count()
    made = RECIPES["flow_uvs_28"].make_within
    assert occlude(_sample(), made, {}, FULL_MOTION, MIRRORED, cells=2, go_on=lambda: next(asked) < 5) is None
    assert next(asked) == 6
