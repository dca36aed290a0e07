"""`glimpse-export evaluate` under the zero-shot protocol: a published model as it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.cli_options import Backend
from server.errors import OptionError

if TYPE_CHECKING:
    from export.cli_files import ResultFiles
    from export.data.flow_images import FlowImages
    from export.evaluation import Evaluation
    from export.repository import PublishedModel
    from export.unit_measures import RankMeasure


@dataclass(frozen=True, slots=True)
class ZeroShot:
    """What is asked which way."""

    model: str
    folder: Path
    weights_per_subject: Path | None
    backend: Backend
    triton_address: str | None
    repository: Path
    record: bool

    def run(self, files: ResultFiles, command: str) -> None:
        """Score, print, and write what was asked for. Raises `OptionError` where options exclude each other."""
        from export.bootstrap import score_intervals
        from export.calibration import measure_abstention, measure_reliability
        from export.data.flow_images import read_flow_images
        from export.output import message
        from export.repository import read_published
        from export.score_tables import rank_lines, reliability_lines, score_table
        from export.versions import record_result

        self._check()
        data = read_flow_images(self.folder)
        published = None if self.weights_per_subject else read_published(self.repository, self.model)
        seen = _samples_seen(published, data) if published else 0
        if seen:
            count = len(data.labels)
            message(f"warning: {self.model} was trained on {seen} of these {count} samples; this is no test of it")
        result = self._evaluate(data)
        intervals = score_intervals(data.labels, [result.predictions], data.datasets, data.subjects)
        reliability = measure_reliability(data.labels, result.probabilities)
        threshold = published.contract.abstain_below if published else 0.0
        abstention = measure_abstention(data.labels, result.probabilities, threshold)
        ranks = _ranks(result, data, published)
        summary: dict[str, Any] = {
            "command": command,
            "model": self.model,
            "backend": self.backend or "local",
            "protocol": "zero-shot",
            "data": self.folder.name,
            "data_sha256": data.sha256,
            **result.summary(),
            "intervals": intervals.summary(),
            "calibration": reliability.summary(),
            "abstention": abstention.summary(),
        }
        if seen:
            summary["seen_in_training"] = seen
        if ranks:
            summary["action_unit_ranks"] = [rank.summary() for rank in ranks]
        files.write(summary, data, {"": result})
        files.draw(f"{self.model}, zero-shot on {self.folder.name}", [result], intervals)
        if self.record and published:
            record_result(self.repository, self.model, published.version, summary)
        print(score_table(result, intervals), reliability_lines(reliability, abstention), sep="\n\n")
        if ranks:
            print(rank_lines(ranks))

    def _check(self) -> None:
        if self.triton_address and self.backend != "triton":
            raise OptionError("--triton-address needs --backend triton", option="triton-address")
        if self.weights_per_subject and (self.triton_address or self.record):
            raise OptionError(
                "--weights-per-subject serves its models from a repository of its own: neither --triton-address nor "
                "--record applies",
                option="weights-per-subject",
            )

    def _evaluate(self, data: FlowImages) -> Evaluation:
        from export.output import counting, message
        from export.protocol import evaluate_model, evaluate_per_subject

        backend = self.backend or "local"
        with counting("samples") as progress:
            if self.weights_per_subject:
                return evaluate_per_subject(
                    data, self.model, self.weights_per_subject, backend, report=message, on_progress=progress
                )
            return evaluate_model(
                data,
                self.repository,
                self.model,
                backend,
                triton_address=self.triton_address,
                report=message,
                on_progress=progress,
            )


def _samples_seen(published: PublishedModel, data: FlowImages) -> int:
    from export.training import samples_seen

    return samples_seen(published.card["training"], data)


def _ranks(result: Evaluation, data: FlowImages, published: PublishedModel | None) -> tuple[RankMeasure, ...]:
    from export.networks.outputs import ACTION_UNITS
    from export.networks.registry import find_network
    from export.synthesis.action_units import UNITS
    from export.unit_measures import rank_units

    if ACTION_UNITS not in result.extras:
        return ()
    units = published.contract.action_units if published else ()
    if published and not units and find_network(published.contract.provenance.network).units:
        # A head that no sample with known units has taught: its order of units is that of its random weights.
        return ()
    return rank_units(result.extras[ACTION_UNITS], data.labels, units or UNITS)
