"""The events of a corpus as one flat table, as JSON Lines and as Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.bulk.errors import writing
from server.bulk.lines import replace
from server.errors import ConfigurationError
from server.report.json_lines import event_rows

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_OF_A_GROUP = 4096


@dataclass(frozen=True, slots=True)
class Column:
    """One column; `type` as Arrow writes it."""

    name: str
    type: str
    meaning: str


_UNIT_FIELDS = "au: int32, intensity: double, side: string, confidence: double"
COLUMNS = (
    Column("path", "string", "the clip, as in `reports.jsonl`"),
    Column("sha256", "string", "SHA-256 of its content, in hex"),
    Column("track_id", "int32", "which of the clip's faces"),
    Column("kind", "string", "`micro` or `macro`"),
    Column("onset_s", "double", "seconds from the first frame"),
    Column("apex_s", "double", "seconds from the first frame"),
    Column("offset_s", "double", "seconds from the first frame"),
    Column("onset_frame", "int32", "number of the decoder's frame"),
    Column("apex_frame", "int32", "number of the decoder's frame"),
    Column("offset_frame", "int32", "number of the decoder's frame"),
    Column("label", "string", "the most probable class, also where the answer is withheld"),
    Column("confidence", "double", "0 to 1"),
    Column("abstained", "bool", "whether the answer is withheld"),
    Column("probabilities", "map<string, double>", "of each class, 0 to 1"),
    Column("action_units", f"list<element: struct<{_UNIT_FIELDS}>>", "which moved, how far (0 to 1), on which side"),
    Column("regions", "list<element: string>", "of the face that moved, strongest first; none in minimal reports"),
    Column("evidence_grade", "string", "`good`, `fair` or `poor`"),
    Column("evidence_reasons", "list<element: string>", "for any grade below `good`; none in minimal reports"),
    Column("model", "string", "which answered"),
    Column("model_version", "string", "and in which version"),
)


def rows_of(report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row for each event of a line of `reports.jsonl`."""
    for row in event_rows(report):
        yield {"path": report["path"], "sha256": report["sha256"], **row}


def write_json_lines(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Put a table of these rows in the place of `path`. Raises `ResultsUnwritable`."""
    draft = path.with_name(f"{path.name}.new")
    with writing(path.parent):
        with draft.open("w", encoding="utf-8") as file:
            for row in rows:
                ordered = {column.name: row[column.name] for column in COLUMNS}
                file.write(json.dumps(ordered, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        replace(draft, path)


def write_parquet(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """The same as Parquet. Raises `ResultsUnwritable`, and `ConfigurationError` without the extra `batch`."""
    need_parquet()
    import pyarrow as pa
    from pyarrow import parquet

    schema, remaining = arrow_schema(), iter(rows)
    draft = path.with_name(f"{path.name}.new")
    with writing(path.parent):
        with draft.open("wb") as file:
            with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
                while group := [_as_arrow(row) for row in islice(remaining, _ROWS_OF_A_GROUP)]:
                    writer.write_table(pa.Table.from_pylist(group, schema=schema))
            file.flush()
            os.fsync(file.fileno())
        replace(draft, path)


def need_parquet() -> None:
    """Raises `ConfigurationError` where Parquet cannot be written."""
    try:
        import pyarrow.parquet  # noqa: F401 - whether it is there
    except ImportError:
        message = "Parquet needs the extra `batch`: pip install 'glimpse[batch]', or --format jsonl"
        raise ConfigurationError(message) from None


def arrow_schema() -> pa.Schema:
    """`COLUMNS` in Arrow's terms."""
    import pyarrow as pa

    texts = pa.list_(pa.field("element", pa.string()))
    unit = pa.struct(
        [
            ("au", pa.int32()),
            ("intensity", pa.float64()),
            ("side", pa.string()),
            ("confidence", pa.float64()),
        ]
    )
    types = {
        "probabilities": pa.map_(pa.string(), pa.float64()),
        "action_units": pa.list_(pa.field("element", unit)),
        "regions": texts,
        "evidence_reasons": texts,
    }
    return pa.schema([(column.name, types.get(column.name) or pa.type_for_alias(column.type)) for column in COLUMNS])


def _as_arrow(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "probabilities": list(row["probabilities"].items())}
