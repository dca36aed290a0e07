"""`glimpse-export evaluate NAME --data synthetic`: a published model on rendered people whom no training saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.cli_options import Backend
from server.errors import OptionError

if TYPE_CHECKING:
    from export.cli_files import ResultFiles
    from export.synthesis.events import EventSamples

SAMPLES = 300
SEED = 1000
"""People are drawn by the seed, so those of a training are others unless it was given this one."""
_SET = "rendered"
_AT_A_TIME = 50


@dataclass(frozen=True, slots=True)
class OnRendered:
    """Which model is asked which way."""

    model: str
    backend: Backend
    triton_address: str | None
    repository: Path
    record: bool
    processes: int

    def run(self, files: ResultFiles, command: str) -> None:
        """Render, score, print, and write what was asked for.

        Raises `OptionError` for files that hold answers to images of a folder, and where the model was trained on the
        very people; `UnknownModel`, and as `open_backend` does.
        """
        import numpy as np

        from export.bootstrap import score_intervals
        from export.calibration import measure_reliability
        from export.cards import RENDERED_DATA
        from export.evaluation import Evaluation, score_predictions
        from export.output import counting, message, write_json
        from export.repository import read_published
        from export.score_tables import reliability_lines, score_table
        from export.scoring import open_backend
        from export.versions import record_result
        from server.contract import PROBABILITIES

        if files.log or files.megc_log:
            raise OptionError(
                "--log and --megc-log name samples of a folder; rendered ones have no names", option="log"
            )
        published = read_published(self.repository, self.model)
        if published.card["training"].get("seed") == SEED:
            raise OptionError(f"{self.model} was trained with seed {SEED}, on these very people", option="data")
        samples = self._render(published.contract.recipe)
        backend, answers = self.backend or "local", []
        with (
            open_backend(backend, self.repository, triton_address=self.triton_address, report=message) as score,
            counting("samples") as progress,
        ):
            for first in range(0, len(samples.labels), _AT_A_TIME):
                some = {n: v[first : first + _AT_A_TIME].astype(np.float32) for n, v in samples.inputs.items()}
                answers.append(score(self.model, some)[PROBABILITIES])
                progress(min(first + _AT_A_TIME, len(samples.labels)), len(samples.labels))
        probabilities = np.concatenate(answers)
        predictions = probabilities.argmax(axis=1).astype(np.int64)
        sets, people = [_SET] * len(predictions), [str(person) for person in samples.people]
        scores = score_predictions(samples.labels, predictions, sets)
        intervals = score_intervals(samples.labels, [predictions], sets, people)
        reliability = measure_reliability(samples.labels, probabilities)
        summary: dict[str, Any] = {
            "command": command,
            "model": self.model,
            "backend": backend,
            "protocol": "rendered",
            "data": RENDERED_DATA,
            "data_sha256": samples.sha256(),
            "people": len(set(people)),
            **scores.summary(),
            "intervals": intervals.summary(),
            "calibration": reliability.summary(),
        }
        if files.json:
            write_json(files.json, summary)
        evaluation = Evaluation(scores.overall, scores.datasets, predictions, probabilities)
        files.draw(f"{self.model} on rendered people", [evaluation], intervals)
        if self.record:
            record_result(self.repository, self.model, published.version, summary)
        print(score_table(scores, intervals), reliability_lines(reliability), sep="\n\n")

    def _render(self, recipe: str) -> EventSamples:
        from export.build import FLOW_OF_SOURCE
        from export.output import counting
        from export.synthesis.events import render_events

        with counting("rendering") as progress:
            return render_events(
                recipe,
                SAMPLES,
                SEED,
                flow=FLOW_OF_SOURCE["trained"],
                processes=self.processes,
                on_progress=progress,
            )
