"""Our JSON and JSON Lines, also where people have edited them."""

import json

import pytest

from server.annotation.documents import read_json, read_json_lines
from server.annotation.types import AnnotationError, Reading

EVENT = {"onset_s": 1.0, "apex_s": 1.2, "offset_s": 1.4, "label": "positive"}


def _json(document):
    return read_json(json.dumps(document).encode(), "r.json", Reading())


def test_the_truth_of_a_sample_is_read():
    """Name, frame rate and length of the clip stand beside the events; nobody named a face."""
    truth = {"clip": "positive.mp4", "duration_s": 2.5, "fps": 30, "events": [{**EVENT, "action_units": [{"au": 12}]}]}
    [clip] = _json(truth)
    assert (clip.name, clip.duration_s, clip.fps) == ("positive.mp4", 2.5, 30.0)
    assert [unit.au for unit in clip.events[0].action_units] == [12]
    assert clip.events[0].track_id is None


def test_units_that_were_not_coded_are_not_none():
    """Without the member nothing is known; an empty list says that none moved."""
    [clip] = _json({"events": [EVENT, {**EVENT, "action_units": []}]})
    assert [event.action_units for event in clip.events] == [None, ()]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"events": [EVENT, {**EVENT, "onset_s": "1"}]}, r"r\.json, event 2: onset_s: Input should be a valid number"),
        ({"events": [{**EVENT, "offset_s": 0.5}]}, r"r\.json, event 1: the offset \(0\.5\) lies before"),
        ({"events": [{**EVENT, "onset_s": float("nan")}]}, r"event 1: onset_s: Input should be a finite"),
        ({"events": [{**EVENT, "action_units": [{"au": 0}]}]}, r"event 1: action_units\.0\.au"),
        ({"events": [7]}, "event 1: Input should be a valid dictionary"),
        ({"events": {}}, "a list of events"),
        ([{"events": []}, 3], r"r\.json, report 2: a report is an object"),
    ],
)
def test_what_is_wrong_is_named(document, message):
    """The event and its member, without showing its value."""
    with pytest.raises(AnnotationError, match=message):
        _json(document)


def test_lines_are_named_by_their_number():
    """Empty lines count."""
    text = json.dumps({"path": "a.mp4", **EVENT}) + "\n\n{"
    with pytest.raises(AnnotationError, match=r"^e\.jsonl, row 3: it is no JSON"):
        read_json_lines(text.encode(), "e.jsonl", Reading())


def test_nesting_without_end_is_refused():
    """A hundred thousand brackets are an error, not the end of the process."""
    with pytest.raises(AnnotationError, match=r"nested too deeply|no JSON"):
        read_json(b"[" * 100_000, "r.json", Reading())
