"""The files that `glimpse-export evaluate` writes, each only where it was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.bootstrap import ScoreIntervals
    from export.data.flow_images import FlowImages
    from export.evaluation import Evaluation


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Paths of the results; nothing is written where no path is given."""

    json: Path | None
    log: Path | None
    megc_log: Path | None
    plot: Path | None

    def write(self, summary: dict[str, Any], data: FlowImages, runs: Mapping[str, Evaluation]) -> None:
        """`runs` by the suffix that tells their logs apart."""
        from export.megc_log import write_megc_log
        from export.output import write_json, write_log

        if self.json:
            write_json(self.json, summary)
        for suffix, evaluation in runs.items():
            if self.log:
                write_log(_suffixed(self.log, suffix), data, evaluation)
            if self.megc_log:
                write_megc_log(_suffixed(self.megc_log, suffix), data, evaluation.predictions)

    def draw(self, title: str, runs: Sequence[Evaluation], intervals: ScoreIntervals) -> None:
        """The confusion matrices of `runs` added up; their scores are means over runs."""
        if not self.plot:
            return
        import numpy as np

        from export.confusion_plot import Panel, write_confusion_plot

        names = list(runs[0].datasets)
        parts = [([run.datasets[name] for run in runs], intervals.datasets[name], name) for name in names]
        if len(names) > 1:
            parts.append(([run.overall for run in runs], intervals.overall, "all"))
        panels = [
            Panel(
                name,
                np.sum([each.confusion for each in measures], axis=0),
                float(np.mean([each.uf1 for each in measures])),
                float(np.mean([each.uar for each in measures])),
                interval,
            )
            for measures, interval, name in parts
        ]
        write_confusion_plot(self.plot, title, panels)


def _suffixed(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")
