"""The table of events."""

import re
from collections import Counter
from dataclasses import fields
from pathlib import Path

from server.bulk.tables import COLUMNS, arrow_schema
from server.types import Event
from tests.bulk.conftest import Saying, look

MANUAL = (Path(__file__).parents[2] / "docs" / "batch.md").read_text(encoding="utf-8")


def test_the_manual_tells_the_columns():
    """Name, type and meaning of each, in their order; the schema has the same types."""
    told = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.+) \|$", MANUAL, re.MULTILINE)
    assert told == [(column.name, column.type, column.meaning) for column in COLUMNS]
    assert [(field.name, str(field.type)) for field in arrow_schema()] == [(name, kind) for name, kind, _ in told]


def test_nothing_of_an_event_is_left_out():
    """Each of its fields is a column, its evidence two; pictures and explanations, to be asked for, fit no cell."""
    named = {field.name for field in fields(Event)} - {"evidence", "pictures", "explanation"}
    assert named < {column.name for column in COLUMNS}


async def test_parquet_holds_what_json_lines_hold(corpus, out):
    """Read back by the library, row by row, under the declared schema."""
    import json

    from pyarrow import parquet

    await look(out, corpus, Saying(), wanted="both")
    table = parquet.read_table(out / "events.parquet")
    assert table.schema.equals(arrow_schema())
    rows = [{**row, "probabilities": dict(row["probabilities"])} for row in table.to_pylist()]
    assert rows == [json.loads(line) for line in (out / "events.jsonl").read_text().splitlines()]
    assert Counter(row["path"] for row in rows) == {"a.mp4": 1, "b.mp4": 1, "d.mp4": 1}


async def test_no_stale_table_is_left(corpus, out):
    """A table of another format than this run's would tell of another corpus."""
    await look(out, corpus, Saying(), wanted="jsonl")
    await look(out, corpus, Saying(), wanted="parquet")
    assert not (out / "events.jsonl").exists()
    assert (out / "events.parquet").exists()


async def test_a_corpus_without_events_has_an_empty_table(tmp_path, corpus, out):
    """With its columns, so that readers need no special case."""
    from pyarrow import parquet

    for path in corpus.iterdir():
        path.unlink()
    (corpus / "c.mp4").write_text("nobody")
    await look(out, corpus, Saying(), wanted="both")
    assert parquet.read_table(out / "events.parquet").num_rows == 0
    assert (out / "events.jsonl").read_text() == ""
