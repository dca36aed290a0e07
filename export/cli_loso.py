"""`glimpse-export evaluate --protocol loso`: a network trained without each subject in turn, beside a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.errors import OptionError

if TYPE_CHECKING:
    from export.bootstrap import ScoreDifferences, ScoreIntervals
    from export.checkpoint import Checkpoint
    from export.cli_files import ResultFiles
    from export.data.flow_images import FlowImages
    from export.evaluation import Int64Array
    from export.loso import LosoResult
    from export.training_plan import TrainingPlan


@dataclass(frozen=True, slots=True)
class LeaveOneSubjectOut:
    """Which network, with which settings, on which samples; `baseline` is trained from scratch on the same folds."""

    network: str
    folder: Path
    seeds: tuple[int, ...]
    epochs: int | None
    weights: Path | None
    baseline: str | None
    baseline_epochs: int | None
    processes: int

    def run(self, files: ResultFiles, command: str) -> None:
        """Train, score, print, and write what was asked for."""
        from export.checkpoint import load_checkpoint
        from export.data.flow_images import read_flow_images
        from export.loso import loso_plan
        from export.output import message
        from export.score_tables import difference_table, inflation_warning, loso_table, reliability_lines
        from export.training import check_trainable

        if self.baseline_epochs is not None and not self.baseline:
            raise OptionError("--baseline-epochs needs --baseline", option="baseline-epochs")
        for name in filter(None, (self.network, self.baseline)):
            check_trainable(name)
        start = load_checkpoint(self.weights, self.network) if self.weights else None
        data = read_flow_images(self.folder)
        result = self._train(self.network, data, loso_plan(tuned=start is not None, epochs=self.epochs), start)
        intervals = _intervals(data, result)
        summary: dict[str, Any] = {
            "command": command,
            "model": self.network,
            "backend": "torch",
            "protocol": "loso",
            "data": self.folder.name,
            "data_sha256": data.sha256,
            "start_sha256": start.sha256 if start else "",
            **result.summary(),
            "intervals": intervals.summary(),
        }
        tables = [loso_table(result, intervals), reliability_lines(result.reliability)]
        if self.baseline:
            message(f"baseline {self.baseline}, from scratch")
            plain = self._train(self.baseline, data, loso_plan(tuned=False, epochs=self.baseline_epochs), None)
            bounds, difference = _intervals(data, plain), _differences(data, result, plain)
            summary["baseline"] = {"model": self.baseline, **plain.summary(), "intervals": bounds.summary()}
            summary["difference"] = difference.summary()
            tables += [f"baseline {self.baseline}\n{loso_table(plain, bounds)}", reliability_lines(plain.reliability)]
            tables.append(difference_table(difference, self.network, self.baseline))
        runs = {f"-seed{run.seed}" if len(result.runs) > 1 else "": run.evaluation for run in result.runs}
        files.write(summary, data, runs)
        seeds = ", ".join(map(str, self.seeds))
        title = f"{self.network}, leave one subject out on {self.folder.name}, seeds {seeds}"
        files.draw(title, list(runs.values()), intervals)
        message(inflation_warning(result))
        print("\n\n".join(tables))

    def _train(self, network: str, data: FlowImages, plan: TrainingPlan, start: Checkpoint | None) -> LosoResult:
        from export.loso import leave_one_subject_out
        from export.output import show_fold

        return leave_one_subject_out(
            network, data, plan, self.seeds, start=start, processes=self.processes, on_fold=show_fold
        )


def _predictions(result: LosoResult) -> list[Int64Array]:
    return [run.evaluation.predictions for run in result.runs]


def _intervals(data: FlowImages, result: LosoResult) -> ScoreIntervals:
    from export.bootstrap import score_intervals

    return score_intervals(data.labels, _predictions(result), data.datasets, data.subjects)


def _differences(data: FlowImages, result: LosoResult, baseline: LosoResult) -> ScoreDifferences:
    from export.bootstrap import score_differences

    return score_differences(data.labels, _predictions(result), _predictions(baseline), data.datasets, data.subjects)
