"""Rendered clips through the whole service: `python -m bench.rendered`, or `make bench-accuracy`.

Starts `glimpse serve` and posts clips to it. Two kinds of footage, both rendered from action units by
`export.synthesis`, with seeds that nothing was developed on:

- expressions: clips of 2.5 to 4 s with one or two micro-expressions of 0.02 to 0.06 eye distances, at 30, 60 and 200
  frames per second, with blinks, gaze shifts, head motion, changes of light, sensor noise and compression;
- none: clips of 30 s in which a person blinks, speaks, moves the head, or does all of it, and makes no expression.

There is one public-domain portrait, so the five identities are five changes of it in proportions, skin, colour and
mirroring: unseen as they are, they are no five strangers.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from bench.scoring import matches
from export.evaluation import confusion_matrix, measure
from export.labels import LABELS
from export.output import write_json
from export.synthesis.corpus import ClipPlan, iod_of, read_truth, render_plans
from export.synthesis.identities import FacePicture, default_face, draw_identity
from export.synthesis.scenes import SceneOptions, draw_performance
from server.errors import InputError

SEED = 20260
"""Development used the seeds 900 to 999 and never this one."""
IDENTITIES = 5
SIZE_PX = 400
RATES = (30, 60, 200)
PEAK_IOD = (0.02, 0.06)
QUIET_S = 30.0
QUIET_60_SHARE = 0.2
"""Minutes at 60 frames per second for each minute at 30."""
SIZES_IOD = (0.02, 0.03, 0.04, 0.06)

_LENGTH = (QUIET_S, QUIET_S)
QUIET = {
    "blinks": SceneOptions(seconds=_LENGTH, expressions=(0, 0), blinks=1, speech=0, gaze=0.5, lively=0),
    "speech": SceneOptions(seconds=_LENGTH, expressions=(0, 0), blinks=0, speech=1, gaze=0, lively=0),
    "head": SceneOptions(seconds=_LENGTH, expressions=(0, 0), blinks=0, speech=0, gaze=0, lively=1),
    "all": SceneOptions(seconds=_LENGTH, expressions=(0, 0), blinks=1, speech=1, gaze=0.5, lively=1),
}
"""What goes on in the clips without an expression, by name."""


@dataclass(frozen=True)
class Answer:
    """One clip: where it stands in the tables, what is true of it and what the service said."""

    group: str
    identity: int
    truth: dict[str, Any]
    report: dict[str, Any]

    def matches(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Pairs of true and found events, one to one, best overlap first."""
        true, found = self.truth["events"], self.report["events"]
        return [(true[i], found[j]) for i, j in matches(true, found)]

    @property
    def minutes(self) -> float:
        """Length of the clip."""
        return float(self.truth["duration_s"]) / 60

    @property
    def false(self) -> int:
        """Found events that are none."""
        return len(self.report["events"]) - len(self.matches())


def plans(
    seed: int, clips: int, minutes: float, faces: Sequence[FacePicture], expressions: tuple[int, int] = (1, 2)
) -> dict[str, list[ClipPlan]]:
    """Every clip of the bench by group; `minutes` are those at 30 fps without an expression, `expressions` the least
    and the most number of expressions in the others.
    """
    scene = SceneOptions(expressions=expressions, peak_iod=PEAK_IOD, speech=0)
    found = {
        "expressions": [
            _plan("expressions", n, seed=seed, fps=RATES[n % 3], options=scene, faces=faces) for n in range(clips)
        ]
    }
    for kind, (name, options) in enumerate(QUIET.items()):
        for fps, share in ((30, 1.0), (60, QUIET_60_SHARE)):
            count = round(share * minutes * 60 / QUIET_S / len(QUIET) + 0.49)
            offset = 100 * kind + fps * 1000
            key = f"{name} {fps} fps"
            found[key] = [
                _plan(f"{name}{fps}", offset + n, seed=seed, fps=fps, options=options, faces=faces)
                for n in range(count)
            ]
    return found


def _plan(
    group: str, number: int, *, seed: int, fps: int, options: SceneOptions, faces: Sequence[FacePicture]
) -> ClipPlan:
    entropy = (seed, 5, number)
    rng = np.random.default_rng(entropy)
    identity = number // len(RATES) % IDENTITIES if group == "expressions" else number % IDENTITIES
    person = draw_identity(faces, identity, seed)
    return ClipPlan(
        path=f"{person.name}/{group}{number:06d}.mp4",
        identity=identity,
        fps=fps,
        crf=int(rng.integers(16, 27)),
        iod_px=iod_of(identity, seed, SIZE_PX),
        performance=draw_performance(rng, options),
        seed=entropy,
    )


@contextmanager
def service(log: Path, model: str | None) -> Iterator[httpx.Client]:
    """The service as an operator starts it, on a free port, with its own default model unless `model` is given."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--grpc-port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    if model:
        environment["GLIMPSE_BACKEND__DEFAULT_MODEL"] = model
    with (
        log.open("w", encoding="utf-8") as sink,
        subprocess.Popen(
            command, env={**environment, "GLIMPSE_WORKERS__COUNT": "1"}, stdout=sink, stderr=sink
        ) as process,
    ):
        try:
            url = _address(process, log)
            with httpx.Client(base_url=url, timeout=300, trust_env=False) as client:
                yield client
        finally:
            process.send_signal(signal.SIGINT)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        if found := re.search(r"http://[\d.]+:\d+", log.read_text(encoding="utf-8")):
            return found.group()
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
    message = f"the service ended before it listened: {log.read_text(encoding='utf-8')[-2000:]}"
    raise SystemExit(message)


def ask(client: httpx.Client, work: Path, group: str, plan: ClipPlan) -> Answer:
    """Post one clip."""
    clip = (work / plan.path).read_bytes()
    answer = client.post("/v1/analyze", files={"clip": ("clip.mp4", clip, "video/mp4")})
    document = answer.json()
    # A clip of which too little can be seen is refused with what was found; it counts as it is.
    report = document if answer.is_success else document.get("report") or {"events": [], "warnings": [], "faces": []}
    if not answer.is_success:
        print(f"{plan.path}: {document.get('code')}: {document.get('detail')}", file=sys.stderr)
    return Answer(group, plan.identity, read_truth(work / plan.path), report)


def detection(answers: Sequence[Answer]) -> dict[str, Any]:
    """Recall, precision and false events of clips."""
    true = sum(len(a.truth["events"]) for a in answers)
    matched = sum(len(a.matches()) for a in answers)
    found = sum(len(a.report["events"]) for a in answers)
    minutes = sum(a.minutes for a in answers)
    return {
        "clips": len(answers),
        "minutes": round(minutes, 2),
        "events": true,
        "found": matched,
        "recall": round(matched / true, 4) if true else None,
        "precision": round(matched / found, 4) if found else None,
        "false": found - matched,
        "false_per_minute": round((found - matched) / minutes, 3),
    }


def labels(answers: Sequence[Answer]) -> dict[str, Any]:
    """Confusion (rows are the truth), UF1 and UAR of the labels of found events; None where a class was never found."""
    pairs = [(true["label"], found["label"]) for a in answers for true, found in a.matches()]
    truth, told = (np.array([LABELS.index(pair[side]) for pair in pairs], np.int64) for side in (0, 1))
    confusion = confusion_matrix(truth, told)
    try:
        measures = measure(confusion)
    except InputError:
        return {"confusion": confusion.tolist(), "uf1": None, "uar": None}
    return {"confusion": confusion.tolist(), "uf1": round(measures.uf1, 4), "uar": round(measures.uar, 4)}


def action_units(answers: Sequence[Answer]) -> dict[str, Any] | None:
    """F1 of each action unit over found events; None where the model gives none."""
    tp: Counter[int] = Counter()
    wrong: Counter[int] = Counter()
    given = False
    for answer in answers:
        for true, found in answer.matches():
            truth = {unit["au"] for unit in true["action_units"]}
            told = {unit["au"] for unit in found["action_units"]}
            given |= bool(told)
            tp.update(truth & told)
            wrong.update(truth ^ told)
    if not given:
        return None
    units = sorted({*tp, *wrong})
    scores = {au: round(2 * tp[au] / (2 * tp[au] + wrong[au]), 4) for au in units}
    total = 2 * tp.total() + wrong.total()
    return {
        "by_unit": scores,
        "mean_f1": round(float(np.mean(list(scores.values()))), 4),
        "pooled_f1": round(2 * tp.total() / total, 4),
    }


def by_size(answers: Sequence[Answer]) -> dict[str, Any]:
    """Recall by the largest displacement of a landmark, in eye distances."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for answer in answers:
        hits = [id(true) for true, _ in answer.matches()]
        for true in answer.truth["events"]:
            low = max(s for s in SIZES_IOD if s <= max(true["peak_iod"], SIZES_IOD[0]))
            counts[f"from {low:.2f}"][0] += id(true) in hits
            counts[f"from {low:.2f}"][1] += 1
    return {
        name: {"found": hit, "events": of, "recall": round(hit / of, 4)} for name, (hit, of) in sorted(counts.items())
    }


def results(answers: Sequence[Answer]) -> dict[str, Any]:
    """All figures."""
    with_events = [a for a in answers if a.group == "expressions"]
    without = [a for a in answers if a.group != "expressions"]
    matches = [pair for a in with_events for pair in a.matches()]
    groups = sorted({a.group for a in without})
    warnings = Counter(w["code"] for a in answers for w in a.report["warnings"])
    return {
        "expressions": detection(with_events),
        "by_rate": {f"{r} fps": detection([a for a in with_events if a.truth["fps"] == r]) for r in RATES},
        "by_identity": {
            f"identity {i}": detection([a for a in with_events if a.identity == i]) for i in range(IDENTITIES)
        },
        "by_size": by_size(with_events),
        "kinds": dict(Counter(found["kind"] for _, found in matches)),
        "labels": labels(with_events),
        "labels_by_rate": {f"{r} fps": labels([a for a in with_events if a.truth["fps"] == r])["uf1"] for r in RATES},
        "action_units": action_units(with_events),
        "without_expression": detection(without) if without else None,
        "without_by_group": {name: detection([a for a in without if a.group == name]) for name in groups},
        "false_kinds": dict(Counter(e["kind"] for a in without for e in a.report["events"])),
        "warnings": dict(warnings),
    }


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    columns = ("clips", "minutes", "events", "found", "recall", "precision", "false", "false_per_minute")
    print(f"{'':16}" + "".join(f"{name:>18}" if name == columns[-1] else f"{name:>10}" for name in columns))
    rows = {"expressions": found["expressions"], **found["by_rate"], **found["by_identity"]}
    if found["without_expression"]:
        rows |= {"no expression": found["without_expression"], **found["without_by_group"]}
    for name, row in rows.items():
        cells = ["-" if row[c] is None else f"{row[c]:g}" for c in columns]
        print(f"{name:16}" + "".join(f"{c:>10}" for c in cells[:-1]) + f"{cells[-1]:>18}")
    print(
        "recall by peak (IOD): "
        + ", ".join(f"{k} {v['recall']:.3f} of {v['events']}" for k, v in found["by_size"].items())
    )
    print(f"found events as {found['kinds']}, false ones in clips without an expression as {found['false_kinds']}")
    told = found["labels"]
    print(f"labels of found events: UF1 {told['uf1']}, UAR {told['uar']}; by rate {found['labels_by_rate']}")
    print(f"{'true, told':16}" + "".join(f"{name:>10}" for name in LABELS))
    for name, row in zip(LABELS, told["confusion"], strict=True):
        print(f"{name:16}" + "".join(f"{count:>10}" for count in row))
    units = found["action_units"]
    print(f"action units: {units}" if units else "action units: the model gives none")
    print(f"warnings: {found['warnings']}")


def main() -> None:
    """Render, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200, help="clips with expressions")
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes at 30 fps without an expression")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1), help="processes that render")
    parser.add_argument("--model", help="model that answers; the default of the service unless given")
    parser.add_argument("--work", type=Path, help="folder of rendered clips, used again where they are there")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--reports", type=Path, help="file for every report beside its truth, as JSON")
    options = parser.parse_args()
    face = default_face()
    wanted = plans(options.seed, options.clips, options.minutes, [face])
    with tempfile.TemporaryDirectory() as scratch:
        work = (options.work or Path(scratch)) / f"seed-{options.seed}"
        everything = [plan for group in wanted.values() for plan in group]
        render_plans(
            work, everything, [face], seed=options.seed, size=SIZE_PX, processes=options.processes,
            on_progress=lambda done, total: print(f"rendered {done} of {total}", end="\r", file=sys.stderr),
        )  # fmt: skip
        answers = []
        with service(Path(scratch) / "log", options.model) as client:
            for group, own in wanted.items():
                for number, plan in enumerate(own, start=1):
                    answers.append(ask(client, work, group, plan))
                    print(f"{group}: {number} of {len(own)}   ", end="\r", file=sys.stderr)
    found = {"seed": options.seed, **results(answers)}
    show(found)
    if options.json:
        write_json(options.json, found)
    if options.reports:
        write_json(options.reports, {"clips": [vars(answer) for answer in answers]})


if __name__ == "__main__":
    main()
