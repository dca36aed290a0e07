"""Reports as JSON, CSV and pictures."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from server.contract import ModelContract, Provenance, TensorSpec
from server.documents import REPORT, event_dict, report_json
from server.report.build import event, predictions
from server.report.export import as_dict, events_csv
from server.report.render.documents import report_png
from server.types import ClipInfo, Evidence, FaceQuality, FaceSummary, Interval, ModelRef, Report
from tests.shown import PICTURES, SIGNALS


def _contract(**changes):
    values = {
        "name": "net",
        "recipe": "flow_uvs_28",
        "inputs": (TensorSpec(name="flow", dims=(3, 28, 28)),),
        "outputs": (TensorSpec(name="probabilities", dims=(3,)),),
        "labels": ("negative", "positive", "surprise"),
        "provenance": Provenance(network="net", source="trained", command="x", training_data="none"),
    }
    return ModelContract(**(values | changes))


def _report(n=1, abstain=0.0):
    interval = Interval("micro", 30, 36, 42, 1.0, 1.2, 1.4, 0.04, 0.8, ("brow_inner_left",))
    (prediction,) = predictions(
        {"probabilities": np.array([[0.2, 0.7, 0.1]], np.float32)}, _contract(abstain_below=abstain), [{}]
    )
    quality = FaceQuality(96.0, 200.0, 1.0, 2.0, 0.0, 1.0)
    return Report(
        id="r1",
        clip=ClipInfo(3.0, 90, 30.0, 640, 480, "h264"),
        faces=[FaceSummary(0, 0.0, 3.0, quality, Evidence("good"))],
        events=[event(0, interval, Evidence("good"), prediction)] * n,
        model=ModelRef("net", "1", "flow_uvs_28", "local"),
        timings_ms={"total": 1.0},
    )


def test_the_most_probable_label_wins():
    """Label and confidence are those of the largest probability."""
    got = _report().events[0]
    assert (got.label, round(got.confidence, 4), got.abstained) == ("positive", 0.7, False)


def test_a_low_confidence_is_withheld():
    """Below the contract's bound the event says that the model abstained."""
    assert _report(abstain=0.8).events[0].abstained


def test_action_units_name_their_side():
    """A unit that moved on one side only is reported for that side, weak units and those that move no skin not at all.

    The model says which unit moved and how sure that is, the flow how far it went on that side.
    """
    contract = _contract(
        action_units=(4, 12, 17, 61),
        outputs=(TensorSpec(name="probabilities", dims=(3,)), TensorSpec(name="action_units", dims=(2, 4))),
    )
    units = np.array([[[0.9, 0.75, 0.1, 0.9], [0.1, 0.7, 0.2, 0.9]]], np.float32)
    went = {4: (0.2, 0.6), 12: (0.3, 0.25), 17: (0.9, 0.9)}
    outputs = {"probabilities": np.array([[0.2, 0.7, 0.1]], np.float32), "action_units": units}
    (got,) = predictions(outputs, contract, [went])
    found = [(a.au, a.side, a.intensity, a.confidence) for a in got.action_units]
    assert found == [(4, "left", 0.2, pytest.approx(0.9)), (12, "both", 0.3, pytest.approx(0.75))]


def test_json_is_complete_and_strict():
    """The document parses and has the fields that the API promises."""
    document = json.loads(json.dumps(as_dict(_report()), allow_nan=False))
    assert set(document) == {"id", "clip", "faces", "events", "model", "timings_ms", "warnings", "detail", "notice"}
    assert document["events"][0]["evidence"] == {"grade": "good", "reasons": []}


def test_what_nobody_asked_for_is_not_in_the_document():
    """Neither empty nor null; of several events, those have pictures that have some; what is sent is the same."""
    plain = _report(2)
    asked = replace(plain, events=(replace(plain.events[0], pictures=PICTURES), plain.events[1]), signals=(SIGNALS,))
    for report, signals, pictures in ((plain, False, [False, False]), (asked, True, [True, False])):
        document = json.loads(report_json(report))
        assert document == json.loads(json.dumps(as_dict(report), allow_nan=False))
        assert ("signals" in document) == signals
        assert ["pictures" in each for each in document["events"]] == pictures
        assert not [each for each in document["events"] if "explanation" in each]
        assert report_json(REPORT.validate_json(report_json(report))) == report_json(report)
    alone = json.loads(json.dumps(event_dict(plain.events[0]), allow_nan=False))
    assert alone == json.loads(report_json(plain))["events"][0]


def test_csv_has_a_row_per_event():
    """A real CSV parser reads back labels, times and probabilities."""
    rows = list(csv.DictReader(io.StringIO(events_csv(_report(2)))))
    assert len(rows) == 2
    assert rows[0]["label"] == "positive"
    assert float(rows[0]["p_positive"]) == pytest.approx(0.7)
    assert "clip" not in rows[0]


def test_csv_runs_no_formula_of_a_stranger():
    """A report that somebody sends names a model as he likes."""
    report = _report(1)
    row = next(csv.DictReader(io.StringIO(events_csv(replace(report, model=replace(report.model, name="=1+1"))))))
    assert row["model"] == "'=1+1"


def test_csv_of_several_clips_names_them():
    """With several reports a first column says which clip an event is from; a clip without events has no row."""
    rows = list(csv.DictReader(io.StringIO(events_csv([("a.mp4", _report(1)), ("b.mp4", _report(0))]))))
    assert [row["clip"] for row in rows] == ["a.mp4"]


def test_a_report_without_events_is_still_a_table_and_a_picture():
    """No event found is a valid answer in every format."""
    empty = _report(0)
    assert events_csv(empty).count("\n") == 1
    assert report_png(empty).startswith(b"\x89PNG")


def test_the_timeline_shows_each_event_in_its_colour():
    """An event adds ink where it lies; an abstained one is grey instead of its label's colour."""
    import cv2

    def picture(report):
        return cv2.imdecode(np.frombuffer(report_png(report), np.uint8), cv2.IMREAD_COLOR).astype(int)

    def green(image):
        return int(((image[..., 1] - image[..., 2] > 40) & (image[..., 1] - image[..., 0] > 30)).sum())

    assert green(picture(_report(1))) > 500
    assert green(picture(_report(0))) == 0
    assert green(picture(_report(1, abstain=0.8))) == 0
