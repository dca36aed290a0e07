"""Scores as aligned text, each with the interval that another choice of subjects could have given."""

from __future__ import annotations

from collections.abc import Sequence

from export.bootstrap import DRAWS, Intervals, ScoreDifferences, ScoreIntervals
from export.calibration import BINS, Abstention, Reliability
from export.evaluation import Int64Array, Measures, Scores
from export.labels import LABELS
from export.loso import LosoResult, mean_and_sd
from export.unit_measures import RankMeasure


def score_table(scores: Scores, intervals: ScoreIntervals) -> str:
    """UF1 and UAR with 95 % intervals and accuracy, by data set and over all, and the confusion matrix."""
    rows = [(name, scores.datasets[name], intervals.datasets[name]) for name in scores.datasets]
    lines = [f"{'data':<12}{'samples':>8}{'UF1':>8} {'95 %':<13}{'UAR':>8} {'95 %':<13}{'accuracy':>9}"]
    for name, measures, interval in (*rows, ("all", scores.overall, intervals.overall)):
        lines.append(
            f"{name:<12}{measures.samples:>8}{measures.uf1:>8.4f} {_bounds(interval.uf1):<13}"
            f"{measures.uar:>8.4f} {_bounds(interval.uar):<13}{measures.accuracy:>9.4f}"
        )
    return "\n".join([*lines, _note(intervals.overall), "", *_confusion(scores.overall.confusion)])


def loso_table(result: LosoResult, intervals: ScoreIntervals) -> str:
    """The table of the only seed, or mean and standard deviation over seeds with the confusions added up."""
    runs = [run.evaluation for run in result.runs]
    if len(runs) == 1:
        return score_table(runs[0], intervals)
    lines = [f"{'data':<12}{'samples':>8}{'UF1':>8}{'sd':>8} {'95 %':<13}{'UAR':>8}{'sd':>8} {'95 %':<13}"]
    rows: list[tuple[str, list[Measures], Intervals]] = [
        (name, [run.datasets[name] for run in runs], intervals.datasets[name]) for name in runs[0].datasets
    ]
    for name, measures, interval in (*rows, ("all", [run.overall for run in runs], intervals.overall)):
        mean = mean_and_sd(measures)
        lines.append(
            f"{name:<12}{mean['samples']:>8}{mean['uf1']:>8.4f}{mean['uf1_sd']:>8.4f} {_bounds(interval.uf1):<13}"
            f"{mean['uar']:>8.4f}{mean['uar_sd']:>8.4f} {_bounds(interval.uar):<13}"
        )
    seeds = ", ".join(str(run.seed) for run in result.runs)
    added = sum((run.overall.confusion for run in runs[1:]), start=runs[0].overall.confusion)
    lines += [_note(intervals.overall), f"mean and standard deviation over seeds {seeds}; confusions added up", ""]
    return "\n".join([*(line.rstrip() for line in lines), *_confusion(added)])


def difference_table(differences: ScoreDifferences, network: str, baseline: str) -> str:
    """By how much `network` is above `baseline`, by data set and over all, with paired 95 % intervals."""
    lines = [f"{network} minus {baseline}", f"{'data':<12}{'UF1':>8} {'95 %':<15}{'UAR':>8} {'95 %':<15}"]
    for name, each in (*differences.datasets.items(), ("all", differences.overall)):
        bounds = [f"{low:+.3f} {high:+.3f}" for low, high in (each.intervals.uf1, each.intervals.uar)]
        lines.append(f"{name:<12}{each.uf1:>+8.4f} {bounds[0]:<15}{each.uar:>+8.4f} {bounds[1]:<15}")
    note = f"95 %: {DRAWS} draws of subjects, the same for both; an interval around 0 shows no difference"
    return "\n".join([*(line.rstrip() for line in lines), note])


def reliability_lines(reliability: Reliability, abstention: Abstention | None = None) -> str:
    """Whether confidence can be believed, and what withholding doubtful answers leaves."""
    text = (
        f"calibration error {reliability.ece:.4f} ({BINS} equal bins), {reliability.adaptive_ece:.4f} "
        f"({BINS} equally full bins); Brier {reliability.brier:.4f}; log likelihood {-reliability.nll:.4f}"
    )
    if abstention is None or abstention.threshold == 0:
        return text
    accuracy = "no answer" if abstention.accuracy is None else f"accuracy {abstention.accuracy:.4f}"
    return f"{text}\nanswered from confidence {abstention.threshold:.2f}: {abstention.coverage:.1%}, {accuracy}"


def rank_lines(ranks: Sequence[RankMeasure]) -> str:
    """How often the units that a class nearly always shows rank first or second."""
    return "\n".join(
        f"AU {' or '.join(map(str, rank.units))} ranks first or second in {rank.share:.1%} of {rank.samples} "
        f"{rank.label} samples"
        for rank in ranks
    )


def inflation_warning(result: LosoResult) -> str:
    """What is lost by not cheating, so that scores of other code can be read."""
    return (
        f"warning: choosing each fold's epoch on its own test samples would have added {result.inflation:.4f} to UF1; "
        "scores made that way cannot be compared with these"
    )


def _bounds(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.3f}-{interval[1]:.3f}"


def _note(intervals: Intervals) -> str:
    return f"95 %: {DRAWS} draws of subjects; {intervals.redrawn} over all data repeated for want of a class"


def _confusion(matrix: Int64Array) -> list[str]:
    lines = [f"{'truth':<12}" + "".join(f"{label:>10}" for label in LABELS)]
    for label, row in zip(LABELS, matrix, strict=True):
        lines.append(f"{label:<12}" + "".join(f"{count:>10}" for count in row))
    return lines
