"""Reports that clients send, read as strangers' documents."""

import json

import pytest

from server.api.reports import MOST_OBJECTS, MOST_VALUES, read_report
from server.documents import report_json
from server.errors import InputError
from server.report.check import MOST_EVENTS
from tests.report import made

ONE = made.report(made.event())
BARE = made.report(made.event(pictures=None, explanation=None), signals=())


def changed(path: str, value: object) -> bytes:
    """A report with one place changed."""
    document = json.loads(report_json(ONE))
    *before, last = path.split(".")
    place = document
    for step in before:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(document).encode()


def test_what_the_service_sends_can_be_sent_back():
    """With pictures, signals and explanation, and without."""
    for report in (ONE, BARE):
        assert report_json(read_report(report_json(report))) == report_json(report)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("id", 7),
        ("more", 1),
        ("events.0.more", "x"),
        ("events.0.confidence", "0.9"),
        ("events.0.confidence", 1.5),
        ("events.0.onset_s", float("nan")),
        ("events.0.onset_s", float("inf")),
        ("events.0.onset_s", 1e300),
        ("events.0.onset_frame", 10**400),
        ("events.0.onset_frame", 1.5),
        ("events.0.kind", "nano"),
        ("events.0.abstained", "yes"),
        ("events.0.label", "x" * 5000),
        ("events.0.probabilities", {"a": None}),
        ("events.0.action_units.0.intensity", 1e12),
        ("events.0.pictures.landmarks", [[0, 0]] * 2000),
        ("events.0.explanation.regions.0.drop", 1e12),
        ("clip.duration_s", -1e30),
        ("clip.frames", True),
        ("faces.0.evidence.grade", "great"),
        ("signals.0.motion_iod", [[0.0]]),
        ("signals.0.times_s", list(range(5, 0, -1))),
        ("signals.0.transforms", []),
        ("signals.0.regions", ["x"] * 1000),
        ("signals.0", {**json.loads(report_json(ONE))["signals"][0], "regions": [], "motion_iod": []}),
        ("signals.0.candidates.0.reason", "bored"),
        ("warnings", [{"code": "x"}]),
    ],
)
def test_what_no_report_says_is_refused(path, value):
    """Unknown members, wrong types, numbers without an end, lists that do not fit each other."""
    with pytest.raises(InputError) as refused:
        read_report(changed(path, value))
    assert refused.value.code == "invalid-input"
    assert len(refused.value.message) < 1500


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"{}",
        b'{}, "x": {}',
        b"\xff\xfe",
        b'"' + b"x" * 1000,
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"id": "\\ud800"}',
        b"1" * 100_000,
        b"[" + b"0," * MOST_VALUES + b"0]",
    ],
    ids=range(13),
)
def test_what_is_no_report_at_all_is_refused(body):
    """Broken, deep, long: each costs a moment and one typed error."""
    with pytest.raises(InputError):
        read_report(body)


def test_events_are_counted():
    """One too many."""
    document = json.loads(report_json(BARE))
    document["events"] *= MOST_EVENTS + 1
    with pytest.raises(InputError, match="events: more than"):
        read_report(json.dumps(document).encode())


def test_a_refusal_repeats_nothing_that_was_sent():
    """Places are named, values are not."""
    with pytest.raises(InputError) as refused:
        read_report(changed("events.0.kind", "somebody's name"))
    assert "events.0.kind" in refused.value.message
    assert "somebody" not in refused.value.message


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("events", [0] * 1000),
        ("signals.0.transforms", [0] * 1000),
        ("signals.0.motion_iod.0", ["x"] * 1000),
    ],
)
def test_a_list_is_refused_at_its_first_wrong_element(path, value):
    """A million errors would be gigabytes, so those after the first are not looked for."""
    with pytest.raises(InputError) as refused:
        read_report(changed(path, value))
    assert f"{path}.0" in refused.value.message
    assert f"{path}.1" not in refused.value.message
    assert "more" not in refused.value.message


def test_objects_and_their_members_are_counted():
    """Of a document of objects, and of one object of a thousand members that no report has, that is what is said."""
    with pytest.raises(InputError, match=f"at most {MOST_OBJECTS} objects"):
        read_report(b"[" + b"{}," * MOST_OBJECTS + b"{}]")
    with pytest.raises(InputError, match="members"):
        read_report(changed("events.0.evidence", {f"x{number}": 0 for number in range(1000)}))


def test_labels_of_all_events_are_counted():
    """A table has a column for each in every row, so that few events with labels of their own would be a huge one."""
    document = json.loads(report_json(BARE))
    one = document["events"][0]
    document["events"] = [{**one, "probabilities": {f"{row}-{each}": 0.0 for each in range(3)}} for row in range(100)]
    with pytest.raises(InputError, match="labels of events"):
        read_report(json.dumps(document).encode())
