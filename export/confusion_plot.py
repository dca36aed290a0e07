"""Confusion matrices as a picture: a panel for each data set and one for all, rows as shares, with their scores."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from export.bootstrap import Intervals
from export.evaluation import Int64Array
from export.labels import LABELS
from export.repository import replace_file

_PANEL_INCHES = 3.4
_DPI = 120
_DARK = 0.6


@dataclass(frozen=True, slots=True)
class Panel:
    """One matrix: `confusion` int64 [classes, classes] (rows truth), and the scores that its title tells."""

    name: str
    confusion: Int64Array
    uf1: float
    uar: float
    intervals: Intervals


def write_confusion_plot(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write `panels` side by side to a PNG file; `title` says which model and protocol."""
    figure = Figure(figsize=(_PANEL_INCHES * len(panels), _PANEL_INCHES + 0.5), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=11)
    for axes, panel in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        _draw(axes, panel)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())


def _draw(axes: Axes, panel: Panel) -> None:
    per_class = panel.confusion.sum(1, keepdims=True)
    shares = panel.confusion / np.maximum(per_class, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > _DARK else "black"
        text = f"{share:.0%}\n{panel.confusion[row, column]}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    ticks = range(len(LABELS))
    axes.set_xticks(ticks, LABELS, fontsize=8)
    counted = [f"{label}\n{count}" for label, count in zip(LABELS, per_class[:, 0], strict=True)]
    axes.set_yticks(ticks, counted, fontsize=8)
    axes.set_xlabel("answer", fontsize=9)
    axes.set_ylabel("truth", fontsize=9)
    scores = "\n".join(
        f"{name} {value:.3f} (95 %: {low:.3f} to {high:.3f})"
        for name, value, (low, high) in (
            ("UF1", panel.uf1, panel.intervals.uf1),
            ("UAR", panel.uar, panel.intervals.uar),
        )
    )
    axes.set_title(f"{panel.name}, {panel.confusion.sum()} answers\n{scores}", fontsize=9)
