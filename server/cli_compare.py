"""`glimpse compare`: how far two annotations of the same clips agree."""

from __future__ import annotations

import json as documents
from pathlib import Path
from typing import Annotated

import typer

from server import console
from server.types import EventKind


def compare(  # noqa: PLR0917 - each is an option of the command line
    machine: Annotated[Path, typer.Argument(help="Annotation: EAF, CSV, Excel, JSON, JSON Lines, or a folder.")],
    human: Annotated[Path, typer.Argument(help="The other one, of the same clips.")],
    iou: Annotated[float, typer.Option(min=0.01, max=1.0, help="Least overlap of the same event.")] = 0.5,
    json: Annotated[bool, typer.Option("--json", help="As a JSON document.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Write both, one above the other, as PNG.")] = None,
    kinds: Annotated[str, typer.Option(help="Events to compare.")] = "micro,macro",
    map: Annotated[  # noqa: A002 - as it is called on the command line
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Call the class OLD by the name NEW, in both.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=0.1, max=10000, help="Frames per second, for times in frames.")
    ] = None,
    duration_s: Annotated[
        float | None, typer.Option(min=0.001, help="Length of the clips, where no file says it.")
    ] = None,
    first_frame: Annotated[int, typer.Option(min=0, help="Number of the first frame in coding sheets.")] = 1,
    common: Annotated[bool, typer.Option("--common", help="Leave out clips that only one of them names.")] = False,
    events_tier: Annotated[str | None, typer.Option(help="ELAN tier that holds the events.")] = None,
    class_tier: Annotated[str | None, typer.Option(help="ELAN tier of their classes.")] = None,
    units_tier: Annotated[str | None, typer.Option(help="ELAN tier of their action units.")] = None,
    apex_tier: Annotated[str | None, typer.Option(help="ELAN tier of their apexes.")] = None,
) -> None:
    """Compare two annotations: events matched by overlap, times, classes and action units (Cohen's kappa)."""
    from server.annotation.read import read_annotation
    from server.annotation.types import Reading
    from server.compare.agreement import compare_clips
    from server.compare.classes import selected
    from server.compare.pairing import pair_clips
    from server.compare.tables import as_dict, tables_of, undefined_of

    wanted, names = _kinds(kinds), _names(map or [])
    theirs = Reading(first_frame, events_tier, class_tier, units_tier, apex_tier)
    ours = Reading(first_frame)
    pairing = pair_clips(
        read_annotation(machine, ours),
        read_annotation(human, theirs),
        fps=fps,
        duration_s=duration_s,
        common=common,
    )
    pairs = selected(pairing.pairs, wanted, names)
    comparison = compare_clips(pairs, iou, pairing.notes)
    if json:
        console.data(documents.dumps(as_dict(comparison), indent=2, allow_nan=False) + "\n")
    else:
        for table in tables_of(comparison):
            if table.rows:
                console.show_table(table.title, table.columns, table.rows)
        console.data("".join(f"{line}\n" for line in undefined_of(comparison)))
    for note in comparison.notes:
        console.say(note)
    if plot is not None:
        from server.compare.plot import comparison_png

        plot.write_bytes(comparison_png(pairs, iou))


def _kinds(text: str) -> frozenset[EventKind]:
    known: tuple[EventKind, ...] = ("micro", "macro")
    wanted = text.split(",")
    if not set(wanted) <= set(known):
        raise typer.BadParameter("--kinds is micro, macro or micro,macro")
    return frozenset(kind for kind in known if kind in wanted)


def _names(pairs: list[str]) -> dict[str, str]:
    names = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old.strip() and equals and new.strip()):
            raise typer.BadParameter(f"--map {pair} is not OLD=NEW")
        names[old] = new
    return names
