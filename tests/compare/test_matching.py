"""Events of two annotations, one to one."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.annotation.types import AnnotationError
from server.compare import matching
from server.compare.matching import interval_iou, match_events
from tests.compare.annotations import coded

SPANS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), max_size=4)


def _events(spans):
    return [coded(begin, None, begin + length, f"{place}") for place, (begin, length) in enumerate(spans)]


@pytest.mark.parametrize(
    ("one", "other", "iou"),
    [
        ((0, 2), (1, 3), 1 / 3),
        ((0, 1), (0, 1), 1.0),
        ((0, 1), (2, 3), 0.0),
        ((0, 1), (1, 2), 0.0),
        ((1, 1), (1, 1), 1.0),
    ],
)
def test_overlap_is_intersection_over_union(one, other, iou):
    """In time, without counting frames; touching is no overlap, the same moment is all of it."""
    assert interval_iou(coded(one[0], None, one[1]), coded(other[0], None, other[1])) == pytest.approx(iou)


def test_the_assignment_is_the_best_of_all_and_not_the_greedy_one():
    """Machine A 0 to 6 and B 4 to 10, human X 2 to 8 and Y 0 to 4: A with X is 4/8, A with Y 4/6, B with X 4/8.

    Taking A and X because they come first would leave Y and B alone; A with Y and B with X is two pairs.
    """
    found = match_events(
        [coded(0, None, 6, "A"), coded(4, None, 10, "B")], [coded(2, None, 8, "X"), coded(0, None, 4, "Y")], 0.5
    )
    assert [(m.machine.label, m.human.label, m.iou) for m in found] == [("A", "Y", 4 / 6), ("B", "X", 0.5)]


@settings(max_examples=60)
@given(SPANS, SPANS, st.sampled_from([0.1, 0.5, 0.7]))
def test_no_assignment_is_better(ours, theirs, least):
    """Against every permutation: as many pairs as can be, and of these the largest sum of overlaps."""
    machine, human = _events(ours), _events(theirs)
    short, long = sorted((machine, human), key=len)
    best = (0, 0.0)
    for order in itertools.permutations(long, len(short)):
        overlaps = [interval_iou(one, other) for one, other in zip(short, order, strict=True)]
        kept = [iou for iou in overlaps if iou >= least]
        best = max(best, (len(kept), sum(kept)))
    found = match_events(machine, human, least)
    assert (len(found), sum(match.iou for match in found)) == (best[0], pytest.approx(best[1]))
    assert len({id(match.machine) for match in found}) == len({id(match.human) for match in found}) == len(found)


def test_ties_do_not_depend_on_the_order_of_the_file():
    """Two equal events of one side and one of the other: the same pair, whatever comes first."""
    machine = [coded(0, 1, 2, "a"), coded(0, 1, 2, "b"), coded(0, 1, 2, "c")]
    human = [coded(0, 1, 2, "x"), coded(0, 1, 2, "y")]
    found = set()
    for seed in range(6):
        random.Random(seed).shuffle(machine)
        random.Random(seed + 9).shuffle(human)
        found.add(tuple((match.machine.label, match.human.label) for match in match_events(machine, human, 0.5)))
    assert len(found) == 1


def test_an_overlap_of_exactly_the_bound_counts():
    """0.1 to 0.3 of 0.1 to 0.5 is a half, whatever the last bits of these numbers."""
    assert len(match_events([coded(0.1, None, 0.3)], [coded(0.1, None, 0.5)], 0.5)) == 1


def test_faces_are_told_apart_where_both_name_them():
    """Face 1 is never matched with face 2; a coder who names no face may have meant either."""
    ours = [coded(0, 1, 2, track_id=1)]
    assert match_events(ours, [coded(0, 1, 2, track_id=2)], 0.5) == []
    assert len(match_events(ours, [coded(0, 1, 2)], 0.5)) == 1


def test_a_hundred_thousand_events_are_matched():
    """Each with its own, though neighbours overlap a little."""
    ours = [coded(i, None, i + 1.05) for i in range(100_000)]
    assert len(match_events(ours, list(ours), 0.5)) == 100_000


def test_more_overlaps_than_can_be_told_apart_are_refused(monkeypatch):
    """An annotation made to be expensive is an error instead of hours."""
    monkeypatch.setattr(matching, "_MOST_PAIRS", 100)
    ours = [coded(0, None, 1)] * 50
    with pytest.raises(AnnotationError, match="more events overlap than can be matched"):
        match_events(ours, ours, 0.5)
