"""A comparison of which every number was worked out by hand."""

from collections import Counter
from dataclasses import replace

import pytest

from server.annotation.types import AnnotationError, CodedClip
from server.compare.agreement import compare_clips
from server.compare.classes import selected
from server.compare.pairing import ClipPair
from server.compare.timelines import frame_table
from tests.compare.annotations import coded

MACHINE = (
    coded(1.0, 1.2, 1.4, "positive", units=(12,)),
    coded(3.0, 3.2, 3.4, "negative", units=(4,)),
    coded(5.0, 5.2, 5.4, "surprise", units=(1, 2)),
    coded(8.0, 8.1, 8.2, "positive", units=(12,)),
)
HUMAN = (
    coded(1.0, 1.3, 1.5, "Positive", units=(12,)),
    coded(3.1, 3.2, 3.4, "joy", units=(4, 7)),
    coded(5.3, 5.4, 5.7, "surprise", units=(2,)),
)


def _pair(machine=MACHINE, human=HUMAN, *, name="c", fps=10.0, duration_s=10.0):
    clips = CodedClip(name, tuple(machine)), CodedClip(name, tuple(human))
    return ClipPair(name, *clips, fps, duration_s)


def _compared(*pairs, **options):
    chosen = selected(pairs, frozenset(options.pop("kinds", ("micro", "macro"))), {"joy": "positive"})
    return compare_clips(chosen, **options)


def test_events_are_counted_as_by_hand():
    """IoU 0.4/0.5 and 0.3/0.4 match, 0.1/0.7 does not: 2 matched of 4 and 3, F1 = 4/7, mean IoU 0.775."""
    found = _compared(_pair()).pooled.spotting
    assert (found.matched, found.machine_only, found.human_only) == (2, 2, 1)
    assert (found.precision, found.recall) == (0.5, pytest.approx(2 / 3))
    assert (found.f1, found.mean_iou) == (pytest.approx(4 / 7), pytest.approx(0.775))


def test_differences_are_as_by_hand():
    """Onsets 0 and -0.1, apexes -0.1 and 0, offsets -0.1 and 0: median -0.05, quartiles -0.075 and -0.025."""
    for found in _compared(_pair()).pooled.differences.values():
        assert (found.matched, found.median_s) == (2, pytest.approx(-0.05))
        assert found.iqr_s == pytest.approx(0.05)


def test_classes_of_matched_events_are_as_by_hand():
    """Positive with positive, negative with positive: agreed 1/2, by chance 1/2 * 1 = 1/2, so kappa is 0."""
    pooled = _compared(_pair()).pooled
    assert {(cell.machine, cell.human): cell.count for cell in pooled.classes} == {
        ("positive", "positive"): 1,
        ("negative", "positive"): 1,
    }
    assert (pooled.class_kappa.value, pooled.class_kappa.items) == (0.0, 2)


def test_frames_are_as_by_hand():
    """100 frames at 10 per second, ends included: machine 10-14, 30-34, 50-54, 80-82; human 10-15, 31-34, 53-57.

    Agreed: 5 positive, 2 surprise, 78 none of 100. By chance: (8 * 10 + 5 * 5 + 82 * 85) / 10000 = 0.7075.
    Kappa: (0.85 - 0.7075) / (1 - 0.7075) = 1425/2925.
    """
    pooled = _compared(_pair()).pooled
    assert {(cell.machine, cell.human): cell.count for cell in pooled.frames} == {
        ("positive", "positive"): 5,
        ("none", "positive"): 1,
        ("negative", "none"): 1,
        ("negative", "positive"): 4,
        ("surprise", "none"): 3,
        ("surprise", "surprise"): 2,
        ("none", "surprise"): 3,
        ("positive", "none"): 3,
        ("none", "none"): 78,
    }
    assert pooled.frame_kappa.value == pytest.approx(1425 / 2925)


def test_action_units_are_as_by_hand():
    """Of the two matched events: AU 4 and AU 12 once by both, kappa 1; AU 7 by the human alone, kappa 0."""
    found = {
        u.au: (u.both, u.machine_only, u.human_only, u.neither, u.kappa.value) for u in _compared(_pair()).pooled.units
    }
    assert found == {4: (1, 0, 0, 1, 1.0), 7: (0, 0, 1, 1, 0.0), 12: (1, 0, 0, 1, 1.0)}


def test_a_unit_in_every_event_has_no_kappa():
    """Both say present, always: undefined, with the reason."""
    pair = _pair([coded(0, 1, 2, units=(12,))], [coded(0, 1, 2, units=(12,))])
    [unit] = _compared(pair).pooled.units
    assert (unit.both, unit.kappa.value) == (1, None)
    assert unit.kappa.undefined == "all matched events with coded action units are of one class for both: present"


def test_units_that_one_side_never_codes_are_not_compared():
    """A model without action units reports none of every event, which says nothing."""
    pair = _pair([coded(0, 1, 2, units=())], [coded(0, 1, 2, units=(12,))])
    assert _compared(pair).pooled.units == ()


def test_clips_are_pooled_by_their_counts():
    """Twice the same clip: all counts double, the shares stay; no mean of clips is taken."""
    once, twice = _compared(_pair()).pooled, _compared(_pair(), _pair(name="d"), _pair([], [], name="e"))
    assert twice.pooled.spotting == replace(once.spotting, matched=4, machine_only=4, human_only=2)
    assert [clip.clip for clip in twice.clips] == ["c", "d", "e"]
    assert twice.clips[0] == replace(once, clip="c")
    frames = Counter({(cell.machine, cell.human): 2 * cell.count for cell in once.frames})
    frames["none", "none"] += 100
    assert {(cell.machine, cell.human): cell.count for cell in twice.pooled.frames} == frames


def test_nothing_is_divided_by_nothing():
    """Without events there is no precision and no kappa of classes; over time all is none, which is no kappa either."""
    found = _compared(_pair([], [])).pooled
    assert (found.spotting.precision, found.spotting.recall, found.spotting.f1) == (None, None, None)
    assert (found.class_kappa.value, found.class_kappa.undefined) == (None, "no matched events")
    assert found.frame_kappa.undefined == "all frames are of one class for both: none"
    assert found.differences["apex"].median_s is None


def test_a_withheld_answer_is_a_class_of_its_own():
    """Its label is not counted as an answer."""
    [cell] = _compared(_pair([coded(0, 1, 2, withheld=True)], [coded(0, 1, 2)])).pooled.classes
    assert (cell.machine, cell.human) == ("withheld", "positive")


def test_kinds_are_chosen_by_what_was_coded_else_by_length():
    """Half a second is still micro; of 5.0 to 5.6 the coder says nothing, so that it is macro."""
    events = [coded(0, 0.1, 0.5), coded(5, 5.1, 5.6), coded(7, 7.1, 9, kind="micro")]
    assert _compared(_pair(events, []), kinds=("micro",)).pooled.spotting.machine_only == 2
    assert _compared(_pair(events, []), kinds=("macro",)).pooled.spotting.machine_only == 1


@pytest.mark.parametrize(
    ("missing", "why"),
    [
        ({"fps": None}, "the frame rate is not known (--fps)"),
        ({"duration_s": None}, "the length of the clip is not known (--duration-s)"),
    ],
)
def test_without_frames_there_is_no_agreement_over_time(missing, why):
    """The reason is with the figure, and how many clips are left out of the pooled one is said."""
    found = _compared(_pair(**missing), _pair(name="d"))
    assert found.clips[0].frame_kappa.undefined == why
    assert found.pooled.frame_kappa.items == 100
    assert found.notes == (f"agreement over time leaves out 1 of 2 clips: {why}",)


def test_faces_have_timelines_of_their_own():
    """Two faces that smile at different times do not cover each other; each is counted over the whole clip."""
    machine = [coded(0, 0.1, 0.4, track_id=1), coded(0, 0.1, 0.4, track_id=2)]
    table, _ = frame_table(_pair(machine, machine[:1], duration_s=1.0))
    assert table == {("positive", "positive"): 5, ("positive", "none"): 5, ("none", "none"): 10}


def test_of_two_events_at_a_time_the_first_counts():
    """Frames 0 to 4 are of the one, 5 and 6 of the other, which began later."""
    machine = [coded(0.2, 0.3, 0.6, "b"), coded(0, 0.1, 0.4, "a")]
    table, _ = frame_table(_pair(machine, [], duration_s=1.0))
    assert table == {("a", "none"): 5, ("b", "none"): 2, ("none", "none"): 3}


def test_a_clip_without_end_is_refused():
    """A time made to need more memory than there is."""
    with pytest.raises(AnnotationError, match="more frames than can be counted"):
        frame_table(_pair([coded(0, 1, 1e9)], []))
