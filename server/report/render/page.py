"""A page that things are placed on in inches from its top left corner, and what it becomes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from server.report.render.style import INK, LINE, MUTED, SMALL_PT, TEXT_PT

WIDTH_IN, MARGIN_IN = 11.0, 0.5
INNER_IN = WIDTH_IN - 2 * MARGIN_IN
_DPI = 140
_LINE_HEIGHT = 1.4 / 72
_CHARACTER_EM = 0.56


class Page:
    """White, `WIDTH_IN` wide and `height_in` high."""

    def __init__(self, height_in: float) -> None:
        self.height_in = height_in
        self.figure = Figure(figsize=(WIDTH_IN, height_in), dpi=_DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float, *, framed: bool = True) -> Axes:
        """Axes in a box; without a frame they have no ticks either."""
        bounds = (left / WIDTH_IN, 1 - (top + height) / self.height_in, width / WIDTH_IN, height / self.height_in)
        axes = self.figure.add_axes(bounds)
        if not framed:
            axes.set_axis_off()
        return axes

    def text(self, left: float, top: float, words: str, **look: Any) -> None:
        """One line whose top left corner is there, or its top right one with `ha="right"`."""
        given: dict[str, Any] = {"fontsize": TEXT_PT, "color": INK, "va": "top"} | look
        self.figure.text(left / WIDTH_IN, 1 - top / self.height_in, words, **given)

    def paragraph(self, left: float, top: float, width: float, words: str, **look: Any) -> float:
        """Wrapped lines; returns the height that they take, in inches."""
        given: dict[str, Any] = {"fontsize": SMALL_PT, "color": MUTED} | look
        step = float(given["fontsize"]) * _LINE_HEIGHT
        lines = wrapped(words, width, given["fontsize"])
        for number, line in enumerate(lines):
            self.text(left, top + number * step, line, **given)
        return len(lines) * step

    def rule(self, top: float) -> None:
        """A thin line across."""
        y = 1 - top / self.height_in
        ends = (MARGIN_IN / WIDTH_IN, 1 - MARGIN_IN / WIDTH_IN)
        self.figure.add_artist(Line2D(ends, (y, y), linewidth=0.6, color=LINE))


def wrapped(words: str, width: float, size_pt: float) -> list[str]:
    """The lines of a paragraph `width` inches wide, in text of `size_pt`."""
    return textwrap.wrap(words, max(8, int(width * 72 / (size_pt * _CHARACTER_EM))))


def as_png(page: Page) -> bytes:
    """The page as PNG."""
    out = io.BytesIO()
    FigureCanvasAgg(page.figure)
    page.figure.savefig(out, format="png", metadata={"Software": "Glimpse"})
    return out.getvalue()


def as_svg(page: Page) -> bytes:
    """The page as SVG, its words as text."""
    out = io.BytesIO()
    FigureCanvasSVG(page.figure)
    page.figure.savefig(out, format="svg", metadata={"Creator": "Glimpse", "Date": None})
    return out.getvalue()


def as_pdf(pages: Iterable[Page]) -> bytes:
    """The pages as one document; each is emptied once it is written, since all of them drawn take gigabytes."""
    out = io.BytesIO()
    with PdfPages(out, metadata={"Creator": "Glimpse", "Producer": None, "CreationDate": None}) as document:
        for page in pages:
            document.savefig(page.figure)
            page.figure.clear()
    return out.getvalue()
