"""Reports written in every form and read back."""

import json

import pytest
from hypothesis import given, settings

from server.annotation.documents import read_json, read_json_lines
from server.annotation.eaf import read_eaf
from server.annotation.tables import read_csv
from server.annotation.types import Reading
from server.report.coder_tables import table_csv
from server.report.elan import elan_document
from server.report.export import as_dict
from server.report.json_lines import events_json_lines
from tests.report.reports import FPS, events, report


def _key(row):
    return tuple("" if value is None else value for value in row)


def _said(clip, scale=1.0):
    return sorted(
        [
            (
                round(one.onset / scale, 4),
                round(one.apex / scale, 4),
                round(one.offset / scale, 4),
                one.label,
                one.withheld,
                one.kind,
                one.track_id,
                tuple((unit.au, unit.side) for unit in one.action_units),
            )
            for one in clip.events
        ],
        key=_key,
    )


def _true(made, *, kind=True, track=True):
    return sorted(
        [
            (
                e.onset_s,
                e.apex_s,
                e.offset_s,
                e.label,
                e.abstained,
                e.kind if kind else None,
                e.track_id if track else None,
                tuple((unit.au, unit.side) for unit in e.action_units),
            )
            for e in made
        ],
        key=_key,
    )


@settings(max_examples=30)
@given(events())
def test_elan_gives_the_events_back(made):
    """Times, faces, kinds, classes, sides of action units and what was withheld, and what is known of the clip."""
    [clip] = read_eaf(elan_document(report(*made), clip="a/b c.mp4"), "out.eaf", Reading())
    assert _said(clip) == _true(made)
    assert (clip.name, clip.duration_s, clip.fps) == ("a/b c.mp4", 10.0, FPS)


@settings(max_examples=30)
@given(events())
def test_our_csv_gives_the_events_back(made):
    """All that the table holds; the frame rate follows from its frames and seconds."""
    clips = read_csv(table_csv([("=a.mp4", report(*made))]).encode(), "t.csv", Reading())
    assert [clip.name for clip in clips] == ["=a.mp4"] * bool(made)
    for clip in clips:
        assert _said(clip) == _true(made)
        assert clip.fps == pytest.approx(FPS)


@settings(max_examples=30)
@given(events())
def test_json_lines_give_the_events_back(made):
    """The table of events, and reports, one a line."""
    clips = read_json_lines(events_json_lines([("a.mp4", report(*made))]).encode(), "t.jsonl", Reading())
    assert [_said(clip) for clip in clips] == [_true(made)] * bool(made)
    line = json.dumps({"file": "a.mp4", **as_dict(report(*made))})
    [clip] = read_json_lines(f"{line}\n\n".encode(), "t.jsonl", Reading())
    [alone] = read_json(line.encode(), "t.json", Reading())
    assert _said(clip) == _said(alone) == _true(made)
    assert (clip.name, clip.duration_s, clip.fps) == ("a.mp4", 10.0, FPS)


@pytest.mark.parametrize("columns", ["casme2", "samm"])
@settings(max_examples=20)
@given(made=events())
def test_coding_sheets_give_the_events_back(columns, made):
    """In frames from 0; faces are not in these sheets, and kinds not in that of CASME II."""
    clips = read_csv(table_csv([("s/a.mp4", report(*made))], columns).encode(), "t.csv", Reading())
    expected = _true(made, kind=columns == "samm", track=False)
    for clip in clips:
        assert (clip.name, clip.unit) == ("s/a", "frames")
        assert _said(clip, FPS) == expected
    assert len(clips) == bool(made)
