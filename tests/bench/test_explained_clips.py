"""What moved in a rendered event, by the action units of its truth."""

import numpy as np
import pytest

from bench.explained_clips import REGION_OF, Moved, moved
from export.synthesis.mesh_motion import ACTION_UNITS
from server.explanation.masks import region_mask
from server.flow.contraction import FULL_MOTION
from tests.explanation.faces import landmarks


def _event(**units):
    named = [{"au": int(name.removeprefix("au")), "intensity": intensity} for name, intensity in units.items()]
    return {"label": "negative", "action_units": named}


def _at(name, point):
    x, y = np.rint(landmarks()[point]).astype(int)
    return region_mask(landmarks(), name, "both")[y, x]


@pytest.mark.parametrize("unit", ACTION_UNITS)
def test_a_unit_moves_its_region_and_one_half_of_the_face(unit):
    """The point that the renderer moves farthest lies in the region that is named for the unit, and all its points in
    that half; a unit without a region moves points in both halves.
    """
    rows = FULL_MOTION[unit]
    upper = {_at("upper_face", point) > 0.5 for point, _, _ in rows}
    what = moved(_event(**{f"au{unit}": 0.5}))
    if what is None:
        assert upper == {True, False}
        return
    farthest = max(rows, key=lambda row: np.hypot(*row[1:]))[0]
    assert _at(what.region, farthest) == 1
    assert upper == {what.half == "upper_face"}


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        ({"au1": 0.3, "au2": 0.3}, ("brow", "upper_face")),
        ({"au4": 0.1, "au7": 0.9}, ("eye", "upper_face")),
        ({"au12": 0.3, "au25": 0.3}, ("mouth_corner", "lower_face")),
        ({"au12": 0.1, "au26": 0.3}, ("lips", "lower_face")),
    ],
)
def test_of_several_units_the_one_that_goes_farthest_names_the_region(units, expected):
    """How far it goes is what counts, not its intensity: full intensity of a lid is less than that of a brow."""
    assert moved(_event(**units)) == Moved("negative", *expected)


@pytest.mark.parametrize("units", [{"au1": 0.3, "au15": 0.3}, {"au6": 0.4, "au12": 0.4}, {"au4": 0.3, "au9": 0.1}])
def test_an_event_in_both_halves_is_left_out(units):
    """Where both halves of the face moved, hiding either may change the answer."""
    assert moved(_event(**units)) is None


def test_units_without_a_region_are_those_that_move_both_halves():
    """Every other unit that can be rendered has one."""
    assert set(ACTION_UNITS) - set(REGION_OF) == {6, 9}
