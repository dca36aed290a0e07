"""Who matches whom, and what the counts say: arithmetic done by hand."""

import pytest

from bench.long_scores import Watched, agreement, cause, spells, system_scores
from bench.scoring import counts, iou, matches, measures


def _event(onset, offset, kind="micro", apex=None, **more):
    return {
        "onset_s": onset,
        "apex_s": (onset + offset) / 2 if apex is None else apex,
        "offset_s": offset,
        "kind": kind,
    } | more


def _truth(*events, **more):
    going_on = {"duration_s": 60.0, "fps": 30, "head": {}, "speech": [], "blinks": []}
    return {"events": list(events), **going_on, **more}


def test_overlap_is_measured_against_both_together():
    """One second of two that share it with another two is a third; apart is none, and so is nothing at all."""
    assert iou(_event(0, 2), _event(1, 3)) == pytest.approx(1 / 3)
    assert iou(_event(0, 1), _event(2, 3)) == 0
    assert iou(_event(1, 1), _event(1, 1)) == 0


def test_half_of_both_together_is_enough():
    """An overlap of exactly one half counts, a little less does not."""
    assert counts([_event(0, 1)], [_event(0, 0.5)]) == (1, 0, 0)
    assert counts([_event(0, 1)], [_event(0, 0.49)]) == (0, 1, 1)


def test_an_event_is_found_once():
    """The better of two claims to one event counts; the other one is false."""
    true = [_event(1, 2)]
    found = [_event(1, 1.6), _event(1.02, 2)]
    assert matches(true, found) == [(0, 1)]
    assert counts(true, found) == (1, 1, 0)


def test_measures_follow_from_counts():
    """Three found, one false, one missed."""
    assert measures(3, 1, 1) == {"tp": 3, "fp": 1, "fn": 1, "precision": 0.75, "recall": 0.75, "f1": 0.75}
    assert measures(0, 0, 0)["f1"] is None


def test_kinds_are_scored_apart_and_together():
    """A micro-expression told as macro is found, and is a miss of the one kind and a false event of the other."""
    truth = _truth(_event(1, 1.4), _event(5, 7, "macro"))
    video = Watched(truth, {"us": [_event(1, 1.4, "macro"), _event(5, 7, "macro")]})
    scores = system_scores([video], "us")
    assert scores["all"]["f1"] == 1
    assert (scores["micro"]["fn"], scores["micro"]["fp"]) == (1, 0)
    assert (scores["macro"]["tp"], scores["macro"]["fp"]) == (1, 1)
    assert scores["recall_by_true_kind"]["micro"] == {"events": 1, "found": 1, "named_so": 0, "recall": 1.0}


def test_false_events_are_counted_by_the_minute():
    """Three in two minutes, whatever was found where there are expressions."""
    quiet = [
        Watched(_truth(), {"us": [_event(1, 1.4), _event(3, 3.4)]}),
        Watched(_truth(), {"us": [_event(9, 9.3)]}),
    ]
    loud = Watched(_truth(_event(1, 2)), {"us": [_event(30, 31)]})
    found = system_scores([*quiet, loud], "us")["quiet"]
    assert found["per_minute"] == 1.5
    assert found["by_cause"]["nothing"] == 3
    assert found["most_in_a_video"] == 2


@pytest.mark.parametrize(
    ("at", "expected"), [(1.0, "turn"), (5.0, "light"), (10.7, "speech"), (20.0, "blink"), (30.0, "nothing")]
)
def test_a_false_event_is_put_down_to_what_went_on(at, expected):
    """A turn before a lamp before speech before a blink; the pauses of a speaker are speech."""
    truth = _truth(
        head={"turns": [{"start_s": 0.5, "end_s": 2.5}]},
        light_changes=[{"start_s": 5.1, "seconds": 0.1}],
        speech=[{"start_s": 9, "end_s": 10}, {"start_s": 11.4, "end_s": 12}],
        blinks=[{"start_s": 1.1}, {"start_s": 20.1}],
    )
    assert cause(_event(at, at + 0.2), truth) == expected


def test_a_long_pause_ends_a_spell():
    """A second is a pause, three are silence."""
    assert spells([(1, 2), (3, 4), (7, 8)]) == [(1, 4), (7, 8)]


def test_an_apex_is_right_while_the_expression_is_held():
    """Boundaries err by what they are off; an apex within the hold by nothing."""
    truth = _truth(_event(1, 3, "macro", apex=1.5, hold_s=0.6))
    video = Watched(truth, {"us": [_event(1.1, 2.95, "macro", apex=2.0)]})
    errors = system_scores([video], "us")["boundaries_ms"]
    assert errors["onset_s"]["median"] == pytest.approx(100)
    assert errors["apex_s"]["median"] == 0
    assert errors["offset_s"]["median"] == pytest.approx(-50)


def test_systems_agree_on_what_both_found():
    """Of three events, two are in both, and one of these has an offset three frames away."""
    one = [_event(1, 1.4), _event(3, 3.5), _event(8, 8.4)]
    other = [_event(1, 1.4), _event(3, 3.6, apex=3.25)]
    found = agreement([Watched(_truth(), {"a": one, "b": other})], "a", "b")
    assert (found["either"], found["both"]) == (3, 2)
    assert found["within_2_frames"] == {"onset_s": 1.0, "apex_s": 1.0, "offset_s": 0.5, "all": 0.5}
