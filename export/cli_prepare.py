"""`glimpse-export prepare`: a licensed copy of CASME II, SAMM or SMIC-HS into a folder that `--data` takes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.data.clips import ApexChoice, Dataset
from server.contract import FlowMethod

if TYPE_CHECKING:
    from export.data.clips import Labels, Reading

_NAMED = 10


def prepare(
    dataset: Annotated[Dataset, typer.Argument(help="Data set.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Your copy, as it was distributed.")],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for images and index; it may hold others.")],
    *,
    labels: Annotated[Path | None, typer.Option(metavar="MEGC_CSV", help="Label list of MEGC2019.")] = None,
    apex: Annotated[ApexChoice, typer.Option(help="Coded apex, or the middle of the clip.")] = "annotated",
    flow: Annotated[FlowMethod, typer.Option(help="Flow estimator.")] = "accurate",
) -> None:
    """Make flow images of a data set that you hold a licence for."""
    from export.data.label_list import read_label_list
    from export.data.prepare import SKIPPED
    from export.data.prepare import prepare as make_images
    from export.output import counting, message

    # SMIC has no coded apex, so both choices make the same images.
    choice = "middle" if dataset == "smic" else apex
    reading = _read(dataset, folder, read_label_list(labels, dataset) if labels else None, choice)
    classes = Counter(clip.label for clip in reading.clips)
    sources = Counter[str](clip.apex_source for clip in reading.clips)
    message(f"{dataset}: {len(reading.clips)} clips ({_counts(classes)}); apex {_counts(sources)}")
    if reading.left_out:
        message(f"left out by the protocol: {_counts(reading.left_out)}")
    with counting("clips") as progress:
        prepared = make_images(reading, output, flow=flow, apex=choice, on_progress=progress)
    for each in prepared.skipped[:_NAMED]:
        message(f"skipped {each.subject} {each.clip}: {each.reason}")
    message(f"{prepared.made} images made, {prepared.kept} kept, {len(prepared.skipped)} clips in {output / SKIPPED}")
    print(output / "index.csv")


def _read(dataset: Dataset, folder: Path, labels: Labels | None, apex: ApexChoice) -> Reading:
    from export.data.casme2 import read_casme2
    from export.data.samm import read_samm
    from export.data.smic import read_smic

    match dataset:
        case "casme2":
            return read_casme2(folder, labels=labels, apex=apex)
        case "samm":
            return read_samm(folder, labels=labels, apex=apex)
        case "smic":
            return read_smic(folder, labels=labels)


def _counts(counter: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counter.most_common()) or "none"
