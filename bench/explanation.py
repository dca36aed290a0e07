"""Are explanations true? `python -m bench.explanation [--unseen N] [MODEL...]`.

In rendered clips it is known what moved, and in which half of the face. The six samples are no held-out measurement:
the masks (one scale for the whole movement, how far a mask reaches, the points of cheek and mouth corner, the halves of
the face) were decided while drops of glimpse_flow, ststnet and htnet on the three samples of 30 frames per second were
looked at, and those of eight models at a glance. `--unseen N` measures the same on N clips that nothing was decided on
(`bench.explained_clips`); one that is not found, or that moved both halves, is left out and counted.

In the samples the brows move in negative and surprise, the corners of the mouth in positive; there AU 6 goes with
AU 12, which raises the lower lids a little as well. For each shipped model, over the events that it classes rightly:

- holds: hiding the region that moved loses at least 0.1 of the label's probability or changes the label, and hiding the
  half of the face that did not move does neither. 0.1 was fixed before the table was made, for all models alike, but
  after the drops named above had been seen;
- region: what hiding the region that moved loses, the least and the median;
- half: what hiding the half of the face that moved loses, the least;
- still half: the largest change, up or down, from hiding the half that did not move;
- first: how often the region that moved is the strongest of the seven;
- shuffled: the rank correlation (Spearman) of the map with that of the same network whose weights were shuffled, tensor
  by tensor, on average: an explanation of a network has to change with it (Adebayo et al., "Sanity checks for saliency
  maps", NeurIPS 2018), so that it may not be near 1. Events are left out of which either map is the same everywhere.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from scipy.stats import spearmanr

from bench.explained_clips import Moved, cases, sample_clips, unseen_clips
from export.repository import PublishedModel, published_names, read_published
from server.contract import PROBABILITIES, FlowMethod
from server.explanation.masks import HALVES
from server.explanation.parts import Occlusion
from server.pipeline.stages import Stages
from server.types import Float32Array

REPOSITORY = Path("model_repository")
A_LOT = 0.1
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Row:
    """One event that was classed rightly: drops of the region that moved, of its half of the face and of the other
    half, whether hiding the region or the other half changed the label, whether the region is the first of the seven,
    and the rank correlation with the shuffled network, NaN where there is none.
    """

    region: float
    half: float
    still: float
    changed: bool
    disturbed: bool
    first: bool
    shuffled: float

    @property
    def holds(self) -> bool:
        """As the description says."""
        return (self.region >= A_LOT or self.changed) and abs(self.still) < A_LOT and not self.disturbed


def shuffled(graph: bytes, seed: int = 0) -> bytes:
    """The same graph with the values of each of its tensors of weights in another order."""
    rng = np.random.default_rng(seed)
    model = onnx.load_from_string(graph)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        # Shapes and axes are integers as well, of one dimension.
        if values.ndim > 1:
            mixed = rng.permutation(values.ravel()).reshape(values.shape)
            tensor.CopyFrom(numpy_helper.from_array(mixed, tensor.name))
    changed: bytes = model.SerializeToString()
    return changed


def answers(graph: bytes, occlusion: Occlusion) -> Float32Array:
    """float32 [V, labels]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    count = len(next(iter(occlusion.inputs.values())))
    parts = [
        session.run([PROBABILITIES], {name: array[at : at + _BATCH] for name, array in occlusion.inputs.items()})[0]
        for at in range(0, count, _BATCH)
    ]
    return np.concatenate(parts)


def row(model: PublishedModel, truth: Moved, occlusion: Occlusion) -> Row | None:
    """What came of one event; None where it is classed wrongly."""
    graph = model.model_file.read_bytes()
    told = answers(graph, occlusion)
    column = model.contract.labels.index(truth.label)
    labels = told.argmax(1)
    if labels[0] != column:
        return None
    whole = {
        part.name: at for at, part in enumerate(occlusion.parts, 1) if part.kind == "region" and part.side == "both"
    }
    drops = {name: float(told[0, column] - told[at, column]) for name, at in whole.items()}
    region = truth.region
    (still,) = (name for name in HALVES if name != truth.half)
    maps = [
        each[0, column] - each[1 + len(occlusion.parts) :, column]
        for each in (told, answers(shuffled(graph), occlusion))
    ]
    return Row(
        region=drops[region],
        half=drops[truth.half],
        still=drops[still],
        changed=bool(labels[whole[region]] != column),
        disturbed=bool(labels[whole[still]] != column),
        first=region == max((name for name in drops if name not in HALVES), key=drops.__getitem__),
        shuffled=float("nan") if any(np.ptp(each) == 0 for each in maps) else float(spearmanr(*maps).statistic),
    )


def line(name: str, events: int, rows: Sequence[Row | None]) -> str:
    """One line of the table: `rows` are those of the `events` that were found."""
    name = f"{name} | {len(rows)} of {events}"
    right = [each for each in rows if each is not None]
    if not right:
        return f"| {name} | 0 of {len(rows)} | | | | | | |"
    regions = [each.region for each in right]
    alike = [each.shuffled for each in right if not np.isnan(each.shuffled)]
    cells = (
        f"{len(right)} of {len(rows)}",
        f"{sum(each.holds for each in right)} of {len(right)}",
        f"{min(regions):.2f}, {median(regions):.2f}",
        f"{min(each.half for each in right):.2f}",
        f"{max((each.still for each in right), key=abs):.2f}",
        f"{sum(each.first for each in right)} of {len(right)}",
        f"{fmean(alike):.2f}" if alike else "",
    )
    return f"| {name} | {' | '.join(cells)} |"


def shown(left_out: Mapping[str, int]) -> str:
    """Combinations of action units with how often they were left out, the commonest first."""
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"AU {units} ({count})" for units, count in ordered)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="models; all that ship unless given")
    parser.add_argument("--unseen", type=int, metavar="N", help="N unseen clips instead of the samples")
    parser.add_argument("--work", type=Path, help="folder of rendered clips, used again where they are there")
    options = parser.parse_args()
    names = options.names or published_names(REPOSITORY)
    by_recipe: dict[tuple[str, FlowMethod], list[PublishedModel]] = defaultdict(list)
    for name in names:
        model = read_published(REPOSITORY, name)
        by_recipe[model.contract.recipe, model.contract.flow].append(model)
    if options.unseen:
        with tempfile.TemporaryDirectory() as scratch:
            clips, left_out = unseen_clips(options.unseen, options.work or Path(scratch))
        print(f"{left_out.total()} of {options.unseen} clips left out: {shown(left_out)}\n")
    else:
        clips = sample_clips()
    events = sum(len(clip.events) for clip in clips)
    print("| model | found | right | holds | region: least, median | half: least | still half | first | shuffled |")
    print("|---" * 9 + "|")
    stages = Stages()
    for (recipe, flow), models in sorted(by_recipe.items()):
        rows: dict[str, list[Row | None]] = defaultdict(list)
        for each in cases(clips, recipe, flow, stages):
            for model in models:
                rows[model.name].append(row(model, *each))
        for model in models:
            print(line(model.name, events, rows[model.name]), flush=True)


if __name__ == "__main__":
    main()
