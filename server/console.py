"""What the command line shows: data on stdout, messages and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from server.access.key_file import KeyEntry
from server.pipeline.base import OnProgress
from server.report.export import as_dict
from server.settings import SettingRow
from server.types import ModelInfo, Progress, Report
from server.visuals import Explanation

_PIPED_WIDTH = 200


def say(message: str) -> None:
    """A message to whoever watches."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def data(text: str) -> None:
    """Data to whatever reads on."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _show(table: Table) -> None:
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else _PIPED_WIDTH, force_terminal=terminal)
    with console.capture() as drawn:
        console.print(table)
    data("".join(f"{line.rstrip()}\n" for line in drawn.get().splitlines()))


@contextmanager
def progress(title: str) -> Iterator[OnProgress]:
    """A bar per stage on stderr, where that is a terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, TaskID] = {}

        def show(step: Progress) -> None:
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(f"{title}: {step.stage}")
            bars.update(tasks[step.stage], completed=step.done, total=step.total or None)

        yield show


def show_report(name: str, report: Report) -> None:
    """The verdict as a table for people."""
    clip, model = report.clip, report.model
    data(
        f"{name}: {clip.duration_s:.2f} s, {clip.frames} frames at {clip.fps:.0f} fps, {clip.width}x{clip.height}; "
        f"{model.name} version {model.version} ({model.backend}), {report.timings_ms.get('total', 0.0) / 1000:.1f} s\n"
    )
    explained = any(event.explanation for event in report.events)
    columns = ("face", "kind", "onset s", "apex s", "offset s", "label", "confidence", "evidence")
    table = _table(*columns, *(("rests on",) if explained else ()))
    for event in report.events:
        table.add_row(
            str(event.track_id),
            event.kind,
            *(f"{moment:.3f}" for moment in (event.onset_s, event.apex_s, event.offset_s)),
            "withheld" if event.abstained else event.label,
            f"{event.confidence:.2f}",
            ", ".join((event.evidence.grade, *event.evidence.reasons)),
            *((_rests_on(event.explanation),) if explained else ()),
        )
    if not report.events:
        table.add_row("-", "none found")
    _show(table)
    for warning in report.warnings:
        say(f"{name}: {warning.message}")


def _rests_on(why: Explanation | None) -> str:
    """The strongest region and the strongest action unit, and what the label loses without each."""
    first = [parts[0] for parts in (why.regions, why.action_units) if parts] if why else []
    return ", ".join(f"{each.name.replace('_', ' ')} {each.drop:.2f}" for each in first) or "not explained"


def report_line(name: str, report: Report) -> str:
    """One line of JSON per clip."""
    return json.dumps({"file": name, **as_dict(report)}, allow_nan=False) + "\n"


def show_models(models: Sequence[ModelInfo]) -> None:
    """A line per model."""
    table = _table("model", "versions", "recipe", "labels", "backend", "servable")
    for model in models:
        servable = "yes" if model.servable else f"no: {model.reason}"
        table.add_row(
            model.name, ", ".join(model.versions), model.recipe, ", ".join(model.labels), model.backend, servable
        )
    _show(table)


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A title, a table below it, and a blank line."""
    table = _table(*columns)
    for row in rows:
        table.add_row(*row)
    data(f"{title}\n")
    _show(table)
    data("\n")


def show_counts(counts: Sequence[tuple[str, str]]) -> None:
    """A line per count."""
    table = _table("what", "how many")
    for row in counts:
        table.add_row(*row)
    _show(table)


def show_settings(rows: Sequence[SettingRow]) -> None:
    """A line per setting."""
    table = _table("setting", "value", "default", "meaning")
    for row in rows:
        table.add_row(row.name, _plain(row.value), _plain(row.default), row.description)
    _show(table)


def settings_json(rows: Sequence[SettingRow]) -> str:
    """The same as a JSON document."""
    fields = ("name", "value", "default", "description")
    return json.dumps([{field: getattr(row, field) for field in fields} for row in rows], indent=2) + "\n"


def _plain(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)


def show_keys(keys: Sequence[KeyEntry]) -> None:
    """One line for each key; what is kept of the keys themselves is not shown."""
    table = _table("name", "id", "scopes", "per second", "burst", "streams", "created", "expires")
    for key in keys:
        bounds = (key.requests_per_second, key.burst, key.live_streams)
        times = (key.created, key.expires)
        table.add_row(
            key.name,
            key.id,
            ",".join(key.scopes),
            *(f"{bound:g}" if bound else "-" for bound in bounds),
            *(f"{time:%Y-%m-%d %H:%M}" if time is not None else "-" for time in times),
        )
    _show(table)
