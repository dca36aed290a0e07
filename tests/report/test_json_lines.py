"""Events as JSON Lines."""

import json

from server.bulk.tables import COLUMNS, rows_of
from server.report.export import as_dict
from server.report.json_lines import events_json_lines
from tests.report.reports import event, report


def test_a_line_per_event_as_in_the_table_of_batches():
    """The same members as `events.jsonl` of `glimpse batch`, without the checksum, which only a batch knows."""
    one = report(event(), event(kind="macro"))
    lines = [json.loads(line) for line in events_json_lines([("a/one.mp4", one), ("two.mp4", report())]).splitlines()]
    batch = list(rows_of(json.loads(json.dumps({"path": "a/one.mp4", "sha256": "", **as_dict(one)}))))
    assert [{**line, "sha256": ""} for line in lines] == batch
    assert {"sha256", *lines[0]} == {column.name for column in COLUMNS}


def test_a_report_without_a_name_has_no_path():
    """Nothing is told of a clip that the caller did not name."""
    [line] = events_json_lines(report(event())).splitlines()
    assert next(iter(json.loads(line))) == "track_id"
