"""Does it help a network to see how strong a motion is? `python -m bench.magnitude`.

Trains the ensemble twice for each seed on the same synthetic motion of the same people, once stretched to 0..255
(`flow_uvs_28`) and once in percent of the IOD (`flow_uvs_28_iod`), by one plan, and compares both on synthetic people
of another seed and on rendered onset-apex pairs of known class. Those go through the stages that serve: faces,
alignment, flow, recipe. Their motion comes from another table than that of the synthetic flow; all show one portrait.

The first table tells how strong the motion of either kind is, before any score. Differences come with 95 % intervals:
draws of samples for synthetic flow, of combinations of action units for rendered pairs, since pairs of one combination
resemble each other. Plan, scales and seeds were fixed before any of these scores was seen. A run is kept in `--runs`
and used again if it was made by the same plan from as many samples.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.flow import CLASSES
from export.bootstrap import paired_difference
from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.evaluation import confusion_matrix, measure
from export.labels import LABELS
from export.networks.outputs import ACTION_UNITS
from export.networks.registry import find_network
from export.output import counting, message
from export.repository import replace_file
from export.scoring import torch_score
from export.synthesis.action_units import UNITS
from export.synthesis.clips import portrait
from export.synthesis.flow_fields import SCALES, synthesize_flow
from export.synthesis.render import Renderer
from export.synthesis.script import Script, Sway, expression
from export.training import train
from export.training_data import synthetic_data
from export.training_plan import plan_for
from export.unit_measures import measure_units
from server.contract import PROBABILITIES
from server.faces.detect import FaceDetector
from server.faces.landmarks import FaceLandmarker
from server.faces.pair import align_to
from server.flow.derive import flow_field
from server.flow.estimate import estimate
from server.media.image import read_image
from server.media.limits import MediaLimits
from server.recipes.registry import RECIPES
from server.types import EventSample

STRETCHED, IOD = "glimpse_flow", "glimpse_flow_iod"
NETWORKS = (STRETCHED, IOD)
UNSEEN_SAMPLES, UNSEEN_SEED = 4000, 1 << 40
PEAKS_IOD = (0.01, 0.02, 0.03, 0.045, 0.06, 0.09)
SIDES = ("both", "left", "right")
STILL_PAIRS = 39
NOISE = 1.5
FPS = 5.0
_LIMITS = MediaLimits(clip_seconds=1.0, clip_frames=1, frame_pixels=1 << 24)


@dataclass(frozen=True, slots=True)
class Samples:
    """`flow` by network, float32 [N, 3, 28, 28]; `labels` int64 [N]; `units` float32 [N, 2, units]; `groups` names what
    is drawn together in the bootstrap; `peaks` float [N] in IOD, where they are known.
    """

    name: str
    flow: dict[str, np.ndarray]
    labels: np.ndarray
    units: np.ndarray
    groups: Sequence[str]
    peaks: np.ndarray | None = None


def trained(network: str, seed: int, samples: int, epochs: int, runs: Path) -> Checkpoint:
    """The network of one seed, or the same from an earlier run."""
    plan = plan_for(synthetic=True, seed=seed, epochs=epochs)
    file = runs / f"{network}-{samples}-seed{seed}" / "weights.pth"
    if file.exists():
        known = load_checkpoint(file, network)
        if asdict(plan).items() <= known.training.items() and known.training["samples"] == samples:
            return known
    registered = find_network(network)
    with counting(f"synthesising for {network}") as progress:
        data = synthetic_data(samples, seed, recipe=registered.recipe, calibration=True, on_progress=progress)
    checkpoint = train(
        network,
        data,
        plan,
        command=f"glimpse-export train {network} --data synthetic --samples {samples} --epochs {epochs} --seed {seed}",
        on_epoch=lambda epoch: message(f"{network}, seed {seed}: epoch {epoch.epoch} of {epoch.epochs}"),
        folder=file.parent,
        resume=True,
    )
    replace_file(file, checkpoint_bytes(checkpoint))
    return checkpoint


def unseen() -> Samples:
    """People of another seed, the same in both scales."""
    made = {name: synthesize_flow(UNSEEN_SAMPLES, UNSEEN_SEED, scale=SCALES[_recipe(name)]) for name in NETWORKS}
    one, other = made.values()
    assert (one.labels == other.labels).all()
    assert (one.action_units == other.action_units).all()
    flow = {name: each.images.astype(np.float32) for name, each in made.items()}
    return Samples("unseen synthetic", flow, one.labels, one.action_units, [str(i) for i in range(UNSEEN_SAMPLES)])


class PairMaker:
    """Renders onset and apex of one expression and sends them through the stages of the service."""

    def __init__(self) -> None:
        self._renderer = Renderer(portrait())
        self._detector, self._landmarker = FaceDetector(), FaceLandmarker()

    def __call__(self, script: Script) -> dict[str, np.ndarray]:
        """The first two frames of `script` as the tensor of each network."""
        frames = list(self._renderer.frames(script, FPS))[:2]
        encoded = (cv2.imencode(".png", cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))[1].tobytes() for frame in frames)
        onset, apex = (read_image(data, _LIMITS) for data in encoded)
        aligned = align_to(onset, [apex], self._landmarker, self._detector)
        before, after = aligned.anchor.gray, aligned.crops[0].gray
        sample = EventSample(before, after, aligned.landmarks_crop, flow_field(*estimate(before, after, "accurate")))
        return {name: RECIPES[_recipe(name)].make(sample)["flow"] for name in NETWORKS}


def rendered(make: PairMaker) -> Samples:
    """Every class, combination, peak and side, each with noise and a swaying head of its own."""
    cases = [
        (label, units, peak, side)
        for label, combinations in CLASSES.items()
        for units in combinations
        for peak in PEAKS_IOD
        for side in SIDES
    ]
    tensors: list[dict[str, np.ndarray]] = []
    strengths = np.zeros((len(cases), 2, len(UNITS)), np.float32)
    with counting("rendered pairs") as progress:
        for number, (label, units, peak, side) in enumerate(cases):
            movement = expression(label, units, at_s=0.0, rise_s=1 / FPS, fall_s=0.2, peak_iod=peak, side=side)
            tensors.append(make(Script(2 / FPS, (movement,), sway=_sway(number), noise=NOISE, seed=number)))
            moving = [i for i, name in enumerate(("left", "right")) if side in ("both", name)]
            for unit in units:
                strengths[number, moving, UNITS.index(unit)] = 1.0
            progress(number + 1, len(cases))
    labels = np.array([LABELS.index(label) for label, *_ in cases], np.int64)
    groups = ["+".join(map(str, units)) for _, units, *_ in cases]
    peaks = np.array([peak for _, _, peak, _ in cases])
    return Samples("rendered pairs", _stacked(tensors), labels, strengths, groups, peaks)


def still(make: PairMaker) -> dict[str, np.ndarray]:
    """Pairs in which nothing but noise and the head moves."""
    return _stacked([make(Script(2 / FPS, sway=_sway(i), noise=NOISE, seed=10_000 + i)) for i in range(STILL_PAIRS)])


def strength(flow: np.ndarray) -> str:
    """Quartiles over samples of the largest motion against the nose, and of the mean strain, of percent."""
    motion = flow[:, :2] - np.median(flow[:, :2, 8:17, 11:17], axis=(2, 3), keepdims=True)
    figures = (np.hypot(motion[:, 0], motion[:, 1]).max(axis=(1, 2)), flow[:, 2].mean(axis=(1, 2)))
    return " | ".join("{:.1f} {:.1f} {:.1f}".format(*np.quantile(each, (0.25, 0.5, 0.75))) for each in figures)


def print_strengths(samples: Samples, pairs: Samples, resting: dict[str, np.ndarray]) -> None:
    """How strong motion and strain are, by peak for rendered pairs."""
    print("| quartiles in percent | largest motion against the nose | mean strain |\n|---|---|---|")
    print(f"| {samples.name} | {strength(samples.flow[IOD])} |")
    assert pairs.peaks is not None
    for peak in PEAKS_IOD:
        print(f"| rendered, peak {100 * peak:.1f} | {strength(pairs.flow[IOD][pairs.peaks == peak])} |")
    print(f"| rendered, still | {strength(resting[IOD])} |")


def compare(samples: Samples, checkpoints: dict[str, list[Checkpoint]]) -> dict[str, Any]:
    """Print the scores of both networks on `samples` and their difference; the same as JSON."""
    answers = {
        name: [torch_score({name: each})(name, {"flow": samples.flow[name]}) for each in every]
        for name, every in checkpoints.items()
    }
    predictions = {
        name: [each[PROBABILITIES].argmax(axis=1).astype(np.int64) for each in every] for name, every in answers.items()
    }
    seeds = len(predictions[IOD])
    print(
        f"\n| {samples.name}, {len(samples.labels)}, {seeds} seeds | accuracy | UF1 | UAR | action-unit F1, by side |"
    )
    print("|---|---|---|---|---|")
    record: dict[str, Any] = {"samples": len(samples.labels)}
    for name in NETWORKS:
        rows = []
        for seen, answer in zip(predictions[name], answers[name], strict=True):
            scores = measure(confusion_matrix(samples.labels, seen))
            units = measure_units(answer[ACTION_UNITS], samples.units)
            assert units is not None
            rows.append([scores.accuracy, scores.uf1, scores.uar, units.mean_f1, units.mean_side_f1])
        a, f, r, u, s = np.mean(rows, axis=0)
        print(f"| {name} | {a:.4f} | {f:.4f} | {r:.4f} | {u:.4f}, {s:.4f} |")
        record[name] = [[round(float(value), 4) for value in row] for row in rows]
    difference = paired_difference(samples.labels, predictions[IOD], predictions[STRETCHED], samples.groups)
    low, high = difference.intervals.uf1
    print(f"UF1 of {IOD} less that of {STRETCHED}: {difference.uf1:+.4f} ({low:+.4f} to {high:+.4f})")
    record["difference"] = difference.summary()
    hits = {name: np.array(every) == samples.labels for name, every in predictions.items()}
    only = [int((hits[a] & ~hits[b]).sum()) for a, b in ((IOD, STRETCHED), (STRETCHED, IOD))]
    print(f"right with {IOD} alone {only[0]}, with {STRETCHED} alone {only[1]}, of {hits[IOD].size} answers")
    record["right_alone"] = dict(zip((IOD, STRETCHED), only, strict=True))
    if samples.peaks is not None:
        print("share right by peak: " + "".join(f"{100 * peak:9.1f}%" for peak in PEAKS_IOD))
        for name in NETWORKS:
            shares = [hits[name][:, samples.peaks == peak].mean() for peak in PEAKS_IOD]
            print(f"{name:21}" + "".join(f"{share:10.3f}" for share in shares))
            record[f"{name}_by_peak"] = [round(float(share), 4) for share in shares]
        for name in NETWORKS:
            wrong = Counter(np.tile(samples.groups, seeds)[~hits[name].ravel()].tolist())
            print(f"wrong with {name}, by combination: {dict(wrong.most_common())}")
            record[f"{name}_wrong"] = dict(wrong.most_common())
    return record


def print_still(flow: dict[str, np.ndarray], checkpoints: dict[str, list[Checkpoint]]) -> dict[str, float]:
    """How sure each network is of a class where nothing moved."""
    found = {}
    print(f"\nMean confidence in {STILL_PAIRS} rendered pairs where nothing moved:")
    for name, every in checkpoints.items():
        sure = [torch_score({name: each})(name, {"flow": flow[name]})[PROBABILITIES].max(axis=1) for each in every]
        found[name] = round(float(np.mean(sure)), 4)
        print(f"  {name}: {found[name]:.4f}; above .5 in {np.mean(np.array(sure) > 0.5):.1%}")
    return found


def _recipe(network: str) -> str:
    return find_network(network).recipe


def _sway(seed: int) -> Sway:
    return Sway(shift_iod=0.02, roll_deg=0.5, scale=0.003, seed=seed)


def _stacked(tensors: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([each[name] for each in tensors]) for name in NETWORKS}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    seeds = [int(part) for part in options.seeds.split(",")]
    samples, make = unseen(), PairMaker()
    pairs, resting = rendered(make), still(make)
    print_strengths(samples, pairs, resting)
    sys.stdout.flush()
    checkpoints: dict[str, list[Checkpoint]] = {name: [] for name in NETWORKS}
    for seed in seeds:
        for name in NETWORKS:
            checkpoints[name].append(trained(name, seed, options.samples, options.epochs, options.runs))
    record = {each.name: compare(each, checkpoints) for each in (samples, pairs)}
    record["still"] = print_still(resting, checkpoints)
    if options.json:
        replace_file(options.json, (json.dumps(record, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
