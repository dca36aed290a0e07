"""The timeline: one lane per face, with its events, what else moved, and the motion of its regions over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from server.report.render import style, words
from server.report.render.page import INNER_IN, MARGIN_IN, Page, wrapped
from server.types import Event, Float32Array, Float64Array, Report
from server.visuals import Candidate, FaceSignals

MOST_LANES = 8
_MOST_BANDS, _MOST_CANDIDATES, _MOST_WARNINGS = 200, 200, 6
_LABEL_IN, _BAR_IN = 1.35, 0.55
_PLOT_IN = INNER_IN - _LABEL_IN - _BAR_IN
_HEAD_IN, _BANDS_IN, _CANDIDATES_IN, _ROW_IN, _GAP_IN, _FOOT_IN = 0.74, 0.62, 0.26, 0.105, 0.40, 0.58
_LEAST_FULL_IOD = 0.02
_COLUMNS = 1200
_ROWS_OF_WORDS = 2


@dataclass(frozen=True, slots=True)
class _Lane:
    track_id: int
    events: Sequence[tuple[int, Event]]
    signals: FaceSignals | None
    seen_s: tuple[float, float] | None

    @property
    def candidates(self) -> Sequence[Candidate]:
        """Movements that became no event."""
        found = self.signals.candidates if self.signals else ()
        return [candidate for candidate in found if candidate.outcome != "reported"][:_MOST_CANDIDATES]

    @property
    def height(self) -> float:
        rows = len(self.signals.regions) * _ROW_IN if self.signals and self.signals.times_s else 0.0
        return _BANDS_IN + (_CANDIDATES_IN if self.candidates else 0.0) + rows + _GAP_IN


def timeline_height(report: Report) -> float:
    """How high the timeline is, in inches."""
    return _HEAD_IN + sum(lane.height for lane in _lanes(report)) + _FOOT_IN + _warnings_height(report)


def draw_timeline(page: Page, report: Report, top: float) -> None:
    """The timeline on a page, from `top` inches on."""
    _head(page, report, top)
    lanes = _lanes(report)
    at = top + _HEAD_IN
    for number, lane in enumerate(lanes):
        _draw_lane(page, report, lane, at, last=number == len(lanes) - 1)
        at += lane.height
    _legend(page, report, at + 0.22)
    at += _FOOT_IN
    for message in _warnings(report):
        at += page.paragraph(MARGIN_IN, at, INNER_IN, message) + 0.04


def _lanes(report: Report) -> list[_Lane]:
    seen = {face.track_id: (face.first_s, face.last_s) for face in report.faces}
    signals = {each.track_id: each for each in report.signals}
    tracks = sorted({*seen, *(event.track_id for event in report.events), *signals})[:MOST_LANES]
    numbered = list(enumerate(report.events, 1))[:_MOST_BANDS]
    return [
        _Lane(track, [pair for pair in numbered if pair[1].track_id == track], signals.get(track), seen.get(track))
        for track in tracks
    ] or [_Lane(0, [], None, None)]


def _head(page: Page, report: Report, top: float) -> None:
    micro = sum(event.kind == "micro" for event in report.events)
    kinds = f" ({micro} micro, {len(report.events) - micro} macro)" if report.events else ""
    count = len(report.events)
    title = f"{count or 'No'} event{'' if count == 1 else 's'}{kinds}" if count else "No expression found"
    page.text(MARGIN_IN, top + 0.02, title, fontsize=style.TITLE_PT, weight="bold")
    right = MARGIN_IN + INNER_IN
    page.text(right, top + 0.08, words.model_line(report), fontsize=style.SMALL_PT, color=style.MUTED, ha="right")
    page.text(MARGIN_IN, top + 0.32, words.clip_line(report), fontsize=style.SMALL_PT, color=style.MUTED)
    faces = {face.track_id for face in report.faces}
    if len(faces) > MOST_LANES:
        more = f"{len(faces) - MOST_LANES} further faces are not drawn"
        page.text(right, top + 0.32, more, fontsize=style.SMALL_PT, color=style.MUTED, ha="right")
    page.rule(top + 0.56)


def _draw_lane(page: Page, report: Report, lane: _Lane, top: float, *, last: bool) -> None:
    left = MARGIN_IN + _LABEL_IN
    page.text(MARGIN_IN, top + 0.10, f"Face {lane.track_id}", weight="bold")
    grade = next((face.evidence.grade for face in report.faces if face.track_id == lane.track_id), None)
    if grade is not None:
        page.text(MARGIN_IN, top + 0.26, f"evidence {grade}", fontsize=style.SMALL_PT, color=style.MUTED)
    bands = page.axes(left, top, _PLOT_IN, _BANDS_IN)
    _draw_bands(bands, lane, report.clip.duration_s)
    lowest = bands
    at = top + _BANDS_IN
    if lane.candidates:
        page.text(left - 0.08, at + 0.07, "no event", fontsize=style.TINY_PT, color=style.MUTED, ha="right")
        lowest = page.axes(left, at, _PLOT_IN, _CANDIDATES_IN)
        _draw_candidates(lowest, lane.candidates, report.clip.duration_s)
        at += _CANDIDATES_IN
    if lane.signals and lane.signals.times_s:
        height = len(lane.signals.regions) * _ROW_IN
        lowest = page.axes(left, at, _PLOT_IN, height)
        full = _draw_motion(lowest, lane.signals, report.clip.duration_s)
        for _, event in lane.events:
            for moment in (event.onset_s, event.apex_s, event.offset_s):
                lowest.axvline(moment, color=style.INK, linewidth=0.5, linestyle=(0, (1, 2)))
        _bar(page, left + _PLOT_IN + 0.12, at, height, full)
    for axes in {bands, lowest}:
        axes.set_xlim(0, max(report.clip.duration_s, 1e-3))
    if bands is not lowest:
        bands.tick_params(bottom=False, labelbottom=False)
        bands.spines["bottom"].set_visible(False)
    if last:
        lowest.set_xlabel("seconds", fontsize=style.SMALL_PT, labelpad=2)


def _draw_bands(axes: Axes, lane: _Lane, duration_s: float) -> None:
    axes.set_xlim(0, max(duration_s, 1e-3))
    axes.set_ylim(2.0, -0.25)
    axes.set_yticks([])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    if lane.seen_s is not None:
        first, last = lane.seen_s
        axes.add_patch(Rectangle((first, 0), max(last - first, 0), 0.8, facecolor=style.BAND, linewidth=0))
    taken = [-1.0] * _ROWS_OF_WORDS
    for number, event in lane.events:
        _band(axes, event)
        _tag(axes, number, event, taken)


def _band(axes: Axes, event: Event) -> None:
    colour = style.colour_of(event.label, abstained=event.abstained)
    length = max(event.offset_s - event.onset_s, 1e-3)
    look: dict[str, Any] = {"facecolor": colour, "edgecolor": colour, "linewidth": 1.0}
    if event.kind == "macro":
        look["alpha"] = 0.55
    axes.add_patch(Rectangle((event.onset_s, 0), length, 0.8, zorder=2, **look))
    if event.abstained:
        hatch = Rectangle((event.onset_s, 0), length, 0.8, fill=False, hatch="////", edgecolor="white", linewidth=0)
        hatch.set_zorder(3)
        axes.add_patch(hatch)
    axes.plot([event.apex_s, event.apex_s], [-0.15, 0.9], color=style.INK, linewidth=1.4, zorder=4)


def _tag(axes: Axes, number: int, event: Event, taken: list[float]) -> None:
    """The number and class of an event under its band, in the first row that is free there; else the number alone,
    and nothing where even that would lie over another one.
    """
    span = max(float(np.diff(axes.get_xlim())[0]), 1e-3)
    for text in (f"{number}  {words.caption(event)}", str(number)):
        half = 0.5 * len(text) * 0.0068 * span
        centre = min(max(event.apex_s, half), span - half)
        for row, end in enumerate(taken):
            if centre - half > end:
                taken[row] = centre + half + 0.008 * span
                look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": style.SMALL_PT, "clip_on": False}
                axes.text(centre, 1.24 + 0.5 * row, text, zorder=5, **look)
                return


def _draw_candidates(axes: Axes, candidates: Sequence[Candidate], duration_s: float) -> None:
    axes.set_ylim(1, 0)
    axes.set_axis_off()
    axes.set_xlim(0, max(duration_s, 1e-3))
    end = -1.0
    for candidate in sorted(candidates, key=lambda each: each.onset_s):
        length = max(candidate.offset_s - candidate.onset_s, 1e-3)
        box = Rectangle((candidate.onset_s, 0.08), length, 0.24, fill=False, hatch="\\\\\\\\", edgecolor=style.OTHER)
        box.set_linewidth(0.5)
        axes.add_patch(box)
        text = words.REASONS.get(candidate.reason, "withdrawn")
        half = 0.5 * len(text) * 0.006 * duration_s
        centre = candidate.onset_s + length / 2
        if half < centre < duration_s - half and centre - half > end:
            end = centre + half + 0.006 * duration_s
            axes.text(centre, 0.72, text, ha="center", va="center", fontsize=style.TINY_PT, color=style.MUTED)


def _draw_motion(axes: Axes, signals: FaceSignals, duration_s: float) -> float:
    """A row for each region, darker where it is farther from rest; returns the motion of full colour, IOD."""
    motion = np.array([[np.nan if each is None else each for each in row] for row in signals.motion_iod], np.float32)
    lids = np.array([name.startswith("lid") for name in signals.regions])
    without_lids = motion[~lids] if (~lids).any() else motion
    known = without_lids[np.isfinite(without_lids)]
    # A blink moves the lids by more than all else; shown by its size it would leave the rest blank.
    full = max(float(known.max()) if known.size else 0.0, _LEAST_FULL_IOD)
    grid, end_s = _columns(motion, np.asarray(signals.times_s, np.float64), duration_s)
    axes.set_facecolor(style.BAND)
    shown = np.ma.masked_invalid(grid)
    look: dict[str, Any] = {
        "cmap": style.MOTION_MAP,
        "vmin": 0,
        "vmax": full,
        "interpolation": "nearest",
        "aspect": "auto",
    }
    axes.imshow(shown, extent=(0, end_s, len(grid), 0), **look)
    axes.set_ylim(len(grid), 0)
    names = [style.plain(name.replace("_", " "), 22) for name in signals.regions]
    axes.set_yticks(np.arange(len(names)) + 0.5, names, fontsize=style.TINY_PT)
    axes.tick_params(axis="y", length=0, pad=3)
    return full


def _columns(motion: Float32Array, times_s: Float64Array, duration_s: float) -> tuple[Float32Array, float]:
    """The largest motion in each of at most `_COLUMNS` stretches of the clip, [regions, C], and where the last ends."""
    count = int(min(_COLUMNS, max(len(times_s), 1)))
    end_s = max(duration_s, float(times_s[-1]), 1e-3)
    edges = np.linspace(0, end_s, count + 1)
    place = np.clip(np.searchsorted(edges, times_s, side="right") - 1, 0, count - 1)
    grid = np.full((len(motion), count), -np.inf, np.float32)
    for row, values in zip(grid, motion, strict=True):
        np.fmax.at(row, place, values)
    # A stretch without a frame of its own shows the frame before it.
    filled = np.zeros(count, bool)
    filled[place] = True
    nearest = np.maximum.accumulate(np.where(filled, np.arange(count), 0))
    grid = grid[:, nearest]
    grid[~np.isfinite(grid)] = np.nan
    return grid, end_s


def _bar(page: Page, left: float, top: float, height: float, full: float) -> None:
    axes = page.axes(left, top, 0.09, height)
    bar = page.figure.colorbar(
        ScalarMappable(Normalize(0, 100 * full), style.MOTION_MAP), cax=axes, extend="max", extendfrac=0.04
    )
    style.refine(bar)
    axes.tick_params(labelsize=style.TINY_PT, length=2, pad=2)
    axes.set_ylabel("motion, % of eye distance", fontsize=style.TINY_PT, color=style.MUTED, labelpad=2)


def _legend(page: Page, report: Report, top: float) -> None:
    axes = page.axes(MARGIN_IN, top, INNER_IN, 0.34, framed=False)
    axes.set_xlim(0, INNER_IN)
    axes.set_ylim(0.34, 0)
    entries: list[tuple[str, dict[str, Any] | None, str]] = [
        ("face in view", {"facecolor": style.BAND}, ""),
        *((label, {"facecolor": style.colour_of(label)}, "") for label in _labels(report)),
    ]
    if any(event.kind == "macro" for event in report.events):
        entries.append(("macro-expression: paler", {"facecolor": style.OTHER, "alpha": 0.55}, ""))
    if any(event.abstained for event in report.events):
        entries.append(("withheld", {"facecolor": style.OTHER}, "////"))
    if report.events:
        entries.append(("apex", None, ""))
    at = 0.0
    for text, look, hatch in entries:
        if look is None:
            axes.plot([at + 0.05, at + 0.05], [0.03, 0.21], color=style.INK, linewidth=1.4)
        else:
            axes.add_patch(Rectangle((at, 0.05), 0.22, 0.14, linewidth=0, **look))
        if hatch:
            axes.add_patch(Rectangle((at, 0.05), 0.22, 0.14, fill=False, hatch=hatch, edgecolor="white", linewidth=0))
        start = at + (0.13 if look is None else 0.29)
        axes.text(start, 0.12, text, va="center", fontsize=style.SMALL_PT, color=style.MUTED)
        at = start + 0.068 * len(text) + 0.18


def _labels(report: Report) -> list[str]:
    found = {event.label for event in report.events[:_MOST_BANDS] if not event.abstained}
    return [style.plain(label, 24) for label in sorted(found)[:4]]


def _warnings(report: Report) -> list[str]:
    listed = [
        f"{style.plain(warning.code, 40)}: {style.plain(warning.message, 400)}"
        for warning in report.warnings[:_MOST_WARNINGS]
    ]
    more = len(report.warnings) - _MOST_WARNINGS
    return [*listed, f"and {more} more warnings"] if more > 0 else listed


def _warnings_height(report: Report) -> float:
    lines = [wrapped(message, INNER_IN, style.SMALL_PT) for message in _warnings(report)]
    return sum(len(each) * style.SMALL_PT * 1.4 / 72 + 0.04 for each in lines)
