"""A report as a picture: who moved when, how it was classified and how sure the model is."""

from __future__ import annotations

import io

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from server.types import Event, Report

_COLOURS = {"negative": "#c0392b", "positive": "#1e8449", "surprise": "#b9770e"}
_OTHER = "#566573"
_LABEL_ROWS = 3


def timeline_png(report: Report, *, width_in: float = 11.0) -> bytes:
    """PNG with one lane per face: grey where the face is in view, a band per event, a mark at each apex."""
    lanes = sorted({face.track_id for face in report.faces} | {event.track_id for event in report.events})
    figure = Figure(figsize=(width_in, 1.6 + 1.3 * max(len(lanes), 1)), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    for face in report.faces:
        lane = lanes.index(face.track_id)
        axes.barh(lane, face.last_s - face.first_s, left=face.first_s, height=0.5, color="#eceff1", zorder=1)
    for number, event in enumerate(report.events):
        lane = lanes.index(event.track_id)
        colour = _OTHER if event.abstained else _COLOURS.get(event.label, _OTHER)
        length = max(event.offset_s - event.onset_s, 1e-3)
        alpha = 0.9 if event.kind == "micro" else 0.45
        axes.barh(lane, length, left=event.onset_s, height=0.5, color=colour, alpha=alpha, zorder=2)
        axes.plot([event.apex_s, event.apex_s], [lane - 0.32, lane + 0.32], color="black", linewidth=1.2, zorder=3)
        axes.annotate(
            _caption(event),
            (event.apex_s, lane - 0.32),
            xytext=(0, -8 - 11 * (number % _LABEL_ROWS)),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
            color=colour,
        )
    if not report.events:
        axes.text(0.5, 0.5, "no expression found", transform=axes.transAxes, ha="center", va="center", color=_OTHER)
    axes.set_yticks(range(len(lanes)), [f"face {track}" for track in lanes])
    axes.set_ylim(-1.0, max(len(lanes), 1) - 0.4)
    axes.set_xlim(0, max(report.clip.duration_s, 1e-3))
    axes.set_xlabel("seconds (black mark: apex; pale band: macro-expression; grey: abstained)")
    axes.set_title(f"{len(report.events)} events · {report.model.name} {report.model.version}", loc="left", fontsize=10)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png")
    return out.getvalue()


def _caption(event: Event) -> str:
    return f"{'?' if event.abstained else event.label} {event.confidence:.0%}"
