"""A report as one picture or one document: the timeline, then a sheet for each event."""

from __future__ import annotations

from collections.abc import Iterator

from server.report.render.page import Page, as_pdf, as_png, as_svg
from server.report.render.sheet import draw_sheet, sheet_height
from server.report.render.style import MUTED, SMALL_PT, styled
from server.report.render.timeline import draw_timeline, timeline_height
from server.types import Report

MOST_SHEETS = 8
"""Events with a sheet of their own in a picture; its height, and the memory to draw it, grow with each."""
MOST_PAGES = 40
_BORDER_IN, _BETWEEN_IN, _NOTE_IN = 0.35, 0.25, 0.3


def report_png(report: Report, *, threshold: float | None = None) -> bytes:
    """One picture, 1540 px wide. `threshold` is the confidence below which the model abstains, where it is known.

    Raises `InputError` for pictures of events that do not fit.
    """
    with styled():
        return as_png(_whole(report, threshold))


def report_svg(report: Report, *, threshold: float | None = None) -> bytes:
    """The same as SVG, its words as text."""
    with styled():
        return as_svg(_whole(report, threshold))


def report_pdf(report: Report, *, threshold: float | None = None) -> bytes:
    """A page for the timeline, then one for each event, up to `MOST_PAGES`."""
    with styled():
        return as_pdf(_pages(report, threshold))


def _whole(report: Report, threshold: float | None) -> Page:
    count = min(len(report.events), MOST_SHEETS)
    heights = [timeline_height(report), *(sheet_height(event) + _BETWEEN_IN for event in report.events[:count])]
    page = Page(2 * _BORDER_IN + sum(heights) + _NOTE_IN)
    at = _BORDER_IN
    draw_timeline(page, report, at)
    at += heights[0] + _BETWEEN_IN
    for number, height in enumerate(heights[1:], 1):
        draw_sheet(page, report, number, at, threshold)
        at += height
    _note_rest(page, report, count, at)
    return page


def _pages(report: Report, threshold: float | None) -> Iterator[Page]:
    """One at a time, for whoever is done with it before the next."""
    count = min(len(report.events), MOST_PAGES)
    first = Page(2 * _BORDER_IN + timeline_height(report) + _NOTE_IN)
    draw_timeline(first, report, _BORDER_IN)
    _note_rest(first, report, count, first.height_in - _BORDER_IN - _NOTE_IN + 0.1)
    yield first
    for number, event in enumerate(report.events[:count], 1):
        page = Page(2 * _BORDER_IN + sheet_height(event))
        draw_sheet(page, report, number, _BORDER_IN, threshold)
        yield page


def _note_rest(page: Page, report: Report, count: int, top: float) -> None:
    rest = len(report.events) - count
    if rest > 0:
        text = f"{rest} further events have no sheet here; their bands are on the timeline, as far as there is room."
        page.text(0.5, top, text, fontsize=SMALL_PT, color=MUTED)
