"""The sheet of one event: its pictures and flow, its action units, its class, and what speaks for and against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from server.errors import InputError
from server.report.render import style, words
from server.report.render.arrays import STAGE, gray, numbers
from server.report.render.face_drawing import draw_face
from server.report.render.flow_colours import flow_colours, wheel_picture
from server.report.render.page import INNER_IN, MARGIN_IN, Page
from server.types import CROP_IOD_PX, CROP_SIZE_PX, Event, Float32Array, Report, UInt8Array
from server.visuals import EventPictures, Explanation, Field

_SIDE_IN = 1.84
_STEP_IN = (INNER_IN - _SIDE_IN) / 4
_HEAD_IN, _ROW_IN, _FOOT_IN = 0.86, 2.56, 1.7
_EXTENT = (0, CROP_SIZE_PX, CROP_SIZE_PX, 0)
_FACTOR = 4
_LEAST_FLOW_PX, _LEAST_STRAIN = 0.5, 0.005
_ARROWS, _WEAK, _ARROW = 15, 0.2, "#8f1d06"
_MOST_LABELS, _MOST_UNITS, _MOST_INFLUENCES = 7, 9, 6
NO_PICTURES = (
    "This report has no pictures of the event, so onset and apex, flow and strain cannot be shown. "
    "They are in reports that were asked for with include=pictures."
)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The pictures of an event as arrays: gray uint8 [256, 256], flow and strain float32 [128, 128]."""

    onset: UInt8Array
    apex: UInt8Array
    u: Float32Array
    v: Float32Array
    strain: Float32Array

    @classmethod
    def of(cls, pictures: EventPictures) -> _Seen:
        """Raises `InputError` for what does not fit."""
        seen = cls(
            gray(pictures.onset, "onset"),
            gray(pictures.apex, "apex"),
            numbers(pictures.u, "u"),
            numbers(pictures.v, "v"),
            numbers(pictures.strain, "strain"),
        )
        if seen.onset.shape != seen.apex.shape or seen.u.shape != seen.v.shape:
            raise InputError("onset and apex, or u and v, differ in size", stage=STAGE)
        return seen


def sheet_height(event: Event) -> float:
    """How high the sheet of an event is, in inches."""
    return _HEAD_IN + (2 if event.pictures is not None else 1) * _ROW_IN + _FOOT_IN


def draw_sheet(page: Page, report: Report, number: int, top: float, threshold: float | None = None) -> None:
    """Event `number` (from 1 on) of a report on a page, from `top` inches on; `threshold` is the confidence below which
    its model abstains, where it is known. Raises `InputError` for pictures that do not fit.
    """
    event = report.events[number - 1]
    _head(page, report, event, number, top)
    at = top + _HEAD_IN
    if event.pictures is None:
        _second_row(page, event, None, at, threshold)
    else:
        seen = _Seen.of(event.pictures)
        _first_row(page, seen, at)
        _second_row(page, event, seen, at + _ROW_IN, threshold)
        at += _ROW_IN
    _foot(page, event, at + _ROW_IN, threshold)


def _head(page: Page, report: Report, event: Event, number: int, top: float) -> None:
    title = f"Event {number} of {len(report.events)}: {words.caption(event)}"
    page.text(MARGIN_IN, top + 0.02, title, fontsize=style.TITLE_PT, weight="bold")
    right = MARGIN_IN + INNER_IN
    page.text(right, top + 0.08, words.model_line(report), fontsize=style.SMALL_PT, color=style.MUTED, ha="right")
    line = f"{event.kind}-expression of face {event.track_id}; {words.when(event)}"
    page.text(MARGIN_IN, top + 0.32, line, color=style.MUTED)
    page.rule(top + 0.56)


def _place(page: Page, column: int, top: float, title: str) -> Axes:
    left = MARGIN_IN + column * _STEP_IN
    page.text(left, top - 0.18, title, fontsize=style.TEXT_PT, weight="bold")
    axes = page.axes(left, top, _SIDE_IN, _SIDE_IN)
    axes.set_xticks([])
    axes.set_yticks([])
    return axes


def _note(page: Page, column: int, top: float, text: str) -> None:
    page.paragraph(MARGIN_IN + column * _STEP_IN, top, _SIDE_IN, text, fontsize=style.TINY_PT)


def _first_row(page: Page, seen: _Seen, top: float) -> None:
    below = top + _SIDE_IN + 0.05
    for column, (title, picture) in enumerate((("Onset", seen.onset), ("Apex", seen.apex))):
        _place(page, column, top, title).imshow(picture, cmap="gray", vmin=0, vmax=255)
    difference = _FACTOR * (seen.apex.astype(np.float32) - seen.onset.astype(np.float32))
    axes = _place(page, 2, top, f"Difference, {_FACTOR} times")
    axes.imshow(difference, cmap=style.SIGNED_MAP, vmin=-255, vmax=255)
    _bar(
        page,
        2,
        below,
        (-255 / _FACTOR, 255 / _FACTOR),
        colours=style.SIGNED_MAP,
        title="gray levels, apex less onset",
        form=".0f",
    )
    full = _full(np.hypot(seen.u, seen.v), _LEAST_FLOW_PX)
    axes = _place(page, 3, top, "Flow, direction and size")
    axes.imshow(flow_colours(seen.u, seen.v, full), extent=_EXTENT)
    wheel = page.axes(MARGIN_IN + 3 * _STEP_IN, below, 0.42, 0.42, framed=False)
    wheel.imshow(wheel_picture(96))
    text = f"edge of the wheel: {full:.1f} px, {full / CROP_IOD_PX:.1%} of the eye distance"
    page.paragraph(MARGIN_IN + 3 * _STEP_IN + 0.5, below + 0.03, _SIDE_IN - 0.5, text, fontsize=style.TINY_PT)
    most = _full(seen.strain, _LEAST_STRAIN)
    axes = _place(page, 4, top, "Optical strain")
    axes.imshow(seen.strain, cmap=style.STRAIN_MAP, vmin=0, vmax=most, extent=_EXTENT)
    _bar(page, 4, below, (0, 100 * most), colours=style.STRAIN_MAP, title="skin stretched or sheared, %", form=".1f")


def _second_row(page: Page, event: Event, seen: _Seen | None, top: float, threshold: float | None) -> None:
    below = top + _SIDE_IN + 0.05
    if seen is None:
        page.paragraph(MARGIN_IN, top, 1.9 * _SIDE_IN, NO_PICTURES)
    else:
        _arrows(page, seen, top, below)
    column = 1 if seen is not None else 2
    draw_face(_place(page, column, top, "Action units"), event.action_units[:_MOST_UNITS])
    said = "darker: farther; arrows: which way" if event.action_units else "none was found"
    _note(page, column, below, said)
    if seen is not None:
        _explained_map(page, event.explanation, seen, top, below)
    left = MARGIN_IN + 3 * _STEP_IN
    page.text(left, top - 0.18, "Class", weight="bold")
    _classes(page.axes(left + 0.95, top, 2 * _STEP_IN - 1.25, _SIDE_IN), event, threshold)


def _arrows(page: Page, seen: _Seen, top: float, below: float) -> None:
    axes = _place(page, 0, top, "Flow, as arrows")
    axes.imshow(seen.onset, cmap="gray", vmin=-128, vmax=300)
    height, width = seen.u.shape
    rows, columns = (np.linspace(0, length - 1, _ARROWS + 2).round().astype(int)[1:-1] for length in (height, width))
    u, v = seen.u[np.ix_(rows, columns)], seen.v[np.ix_(rows, columns)]
    size = np.hypot(u, v)
    full = _full(np.hypot(seen.u, seen.v), _LEAST_FLOW_PX)
    x, y = np.meshgrid((columns + 0.5) * CROP_SIZE_PX / width, (rows + 0.5) * CROP_SIZE_PX / height)
    shown = size > _WEAK * full
    longer = max(1.0, round(22 / full))
    if shown.any():
        axes.quiver(
            x[shown], y[shown], u[shown], v[shown], color=_ARROW, angles="xy", scale_units="xy", scale=1 / longer,
            width=0.008, headwidth=3.6, headlength=4, headaxislength=3.6, minlength=0,
        )  # fmt: skip
    axes.set_xlim(0, CROP_SIZE_PX)
    axes.set_ylim(CROP_SIZE_PX, 0)
    _note(page, 0, below, f"from onset to apex, {longer:.0f} times as long")


def _explained_map(page: Page, explanation: Explanation | None, seen: _Seen, top: float, below: float) -> None:
    axes = _place(page, 2, top, "What drove the class")
    axes.imshow(seen.onset, cmap="gray", vmin=-128, vmax=300)
    field: Field | None = explanation.map if explanation is not None else None
    if explanation is None or field is None:
        _note(page, 2, below, "no map: the report was asked for without explain, or the model has none")
        return
    drop = numbers(field, "map")
    full = max(float(np.abs(drop).max()), 0.01)
    shown = _overlaid(drop, full)
    axes.imshow(shown, extent=_EXTENT, interpolation="bilinear")
    label = f"loss of p({style.plain(explanation.label, 14)}) if hidden, points"
    _bar(page, 2, below, (-100 * full, 100 * full), colours=style.SIGNED_MAP, title=label, form=".0f")


def _overlaid(drop: Float32Array, full: float) -> Float32Array:
    """float32 [H, W, 4]: diverging colours that are clear where nothing is lost."""
    colours = np.asarray(colormaps[style.SIGNED_MAP](Normalize(-full, full)(drop)), np.float32)
    colours[..., 3] = 0.85 * np.clip(np.abs(drop) / full, 0, 1) ** 0.6
    return colours


def _classes(axes: Axes, event: Event, threshold: float | None) -> None:
    rows = sorted(event.probabilities.items())
    if len(rows) > _MOST_LABELS:
        rows = sorted(rows, key=lambda row: -row[1])[:_MOST_LABELS]
    axes.set_xlim(0, 1)
    axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
    for place, (label, probability) in enumerate(rows):
        colour = style.colour_of(label, abstained=event.abstained)
        bar = Rectangle((0, place - 0.3), probability, 0.6, facecolor=colour, linewidth=0)
        axes.add_patch(bar)
        inside = probability > 0.8
        look: dict[str, Any] = {
            "color": "white" if inside else style.INK,
            "ha": "right" if inside else "left",
            "va": "center",
        }
        at = probability - 0.02 if inside else probability + 0.02
        weight = "bold" if label == event.label else "normal"
        axes.text(at, place, words.percent(probability, 1), fontsize=style.SMALL_PT, weight=weight, **look)
    axes.set_yticks(range(len(rows)), [style.plain(label, 13) for label, _ in rows], fontsize=style.TEXT_PT)
    axes.set_xticks([0, 0.5, 1], ["0", "50", "100 %"])
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if threshold is not None:
        axes.axvline(threshold, color=style.INK, linewidth=1.0, linestyle=(0, (3, 2)))
        axes.set_xlabel(f"dashed: below {threshold:.0%} it abstains", fontsize=style.TINY_PT, labelpad=2)


def _bar(
    page: Page, column: int, top: float, ends: tuple[float, float], *, colours: str, title: str, form: str
) -> None:
    axes = page.axes(MARGIN_IN + column * _STEP_IN, top, _SIDE_IN, 0.09)
    bar = page.figure.colorbar(ScalarMappable(Normalize(*ends), colours), cax=axes, orientation="horizontal")
    style.refine(bar)
    low, high = ends
    bar.set_ticks([low, (low + high) / 2, high], labels=[format(x, form) for x in (low, (low + high) / 2, high)])
    axes.tick_params(labelsize=style.TINY_PT, length=2, pad=1)
    labels = axes.get_xticklabels()
    labels[0].set_horizontalalignment("left")
    labels[-1].set_horizontalalignment("right")
    page.text(MARGIN_IN + column * _STEP_IN, top + 0.26, title, fontsize=style.TINY_PT, color=style.MUTED)


def _foot(page: Page, event: Event, top: float, threshold: float | None) -> None:
    third = INNER_IN / 3
    width = third - 0.25
    _units(page, event, MARGIN_IN, top, width)
    _influences(page, event.explanation, MARGIN_IN + third, top, width)
    left = MARGIN_IN + 2 * third
    page.text(left, top, "Evidence", weight="bold")
    at = top + 0.2
    at += page.paragraph(left, at, width + 0.25, words.verdict(event, threshold), color=style.INK) + 0.06
    regions = ", ".join(style.plain(name.replace("_", " "), 24) for name in event.regions[:6])
    if regions:
        page.paragraph(left, at, width + 0.25, f"Regions that moved, strongest first: {regions}.")


def _units(page: Page, event: Event, left: float, top: float, width: float) -> None:
    page.text(left, top, "Action units, sides as in the picture", weight="bold")
    at = top + 0.2
    for unit in event.action_units[:_MOST_UNITS]:
        at += page.paragraph(left, at, width, words.unit_line(unit), color=style.INK) + 0.02
    if not event.action_units:
        page.paragraph(left, at, width, "None: the model saw none, or names none.")


def _influences(page: Page, explanation: Explanation | None, left: float, top: float, width: float) -> None:
    page.text(left, top, "Why the model said so", weight="bold")
    at = top + 0.2
    if explanation is None:
        page.paragraph(left, at, width, "No explanation was asked for, or the model gives none.")
        return
    label = style.plain(explanation.label, 20)
    text = f"Points that p({label}), {explanation.probability:.0%}, loses when a part of the motion is hidden:"
    at += page.paragraph(left, at, width, text) + 0.04
    half = _MOST_INFLUENCES // 2
    shown = [*explanation.regions[:half], *explanation.action_units[:half]]
    most = max((abs(each.drop) for each in shown), default=0.0) or 1.0
    axes = page.axes(left + 1.35, at, width - 1.35, 0.17 * max(len(shown), 1), framed=False)
    axes.set_xlim(-0.02, 1.3)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    for place, each in enumerate(shown):
        side = "" if each.side == "both" else f" {each.side}"
        name = f"{style.plain(each.name.replace('_', ' '), 18)}{side}"
        page.text(left, at + 0.17 * place + 0.025, name, fontsize=style.SMALL_PT)
        length = abs(each.drop) / most
        look: dict[str, Any] = {
            "facecolor": style.INK if each.drop >= 0 else "white",
            "edgecolor": style.INK,
            "linewidth": 0.6,
        }
        axes.add_patch(Rectangle((0, place - 0.3), length, 0.6, **look))
        points = f"{100 * each.drop:+.0f}".replace("+", "") if each.drop else "0"
        axes.text(length + 0.03, place, points, fontsize=style.SMALL_PT, va="center")


def _full(values: Float32Array, least: float) -> float:
    """What full colour stands for: nearly the largest value, so that one outlier does not leave the rest pale."""
    return max(float(np.percentile(values, 99.5)), least)
