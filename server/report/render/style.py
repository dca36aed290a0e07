"""How drawings look: one font that ships with the library, colours that colour-blind readers can tell apart.

The colours of classes are from Okabe and Ito's palette (Color Universal Design, 2008). They never stand alone: every
band and bar has its word, and kinds differ in fill, so that gray print and a photocopy can be read as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib.colorbar import Colorbar
from matplotlib.font_manager import FontProperties, fontManager, get_font

FONT = "DejaVu Sans"
INK, MUTED, LINE, PANEL, BAND = "#1a1d21", "#555b63", "#c4c9d0", "#f4f5f7", "#e3e6ea"
OTHER = "#737a84"
_CLASSES = {"negative": "#d55e00", "positive": "#009e73", "surprise": "#0072b2"}
TITLE_PT, TEXT_PT, SMALL_PT, TINY_PT = 13.0, 8.5, 7.5, 6.5
MOTION_MAP, STRAIN_MAP, SIGNED_MAP = "Blues", "cividis", "PuOr_r"

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_SETTINGS: dict[Any, Any] = {
    "font.family": [FONT, "sans-serif"],
    "font.size": TEXT_PT,
    # Labels are a stranger's words: a dollar sign is a dollar sign.
    "text.parse_math": False,
    "text.usetex": False,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL_PT,
    "ytick.labelsize": SMALL_PT,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "glimpse",
    "pdf.fonttype": 42,
    "pdf.compression": 6,
}


@contextmanager
def styled() -> Iterator[None]:
    """Within the block drawings look as said here, whatever a file of settings on this machine says.

    The settings of the library are those of the whole process: one drawing at a time.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def colour_of(label: str, *, abstained: bool = False) -> str:
    """The colour of a class; gray for one that is withheld or not ours."""
    return OTHER if abstained else _CLASSES.get(label, OTHER)


def refine(bar: Colorbar) -> None:
    """A thin outline, and colours that are shapes: as one picture they would be kept with all of the page, as large as
    that is drawn, until a document of many pages is done.
    """
    bar.outline.set_linewidth(0.4)
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")


def plain(text: str, most: int = 80) -> str:
    """A stranger's text on one line of at most `most` characters, of such alone as the font has.

    Control characters would make an SVG that no reader takes.
    """
    shown = "".join(_shown(character) for character in " ".join(text[: 4 * most].split()))
    return shown if len(shown) <= most else f"{shown[: most - 1].rstrip()}…"


def _shown(character: str) -> str:
    if character.isprintable() and ord(character) in _characters():
        return character
    return _REPLACEMENT


@cache
def _characters() -> frozenset[int]:
    path = fontManager.findfont(FontProperties(family=FONT), fallback_to_default=False)
    return frozenset(get_font(path).get_charmap())
