"""Two annotations of the same clips as a picture, one above the other."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from server.compare.classes import WITHHELD, class_of
from server.compare.matching import match_events
from server.compare.pairing import ClipPair
from server.errors import OptionError

MOST_CLIPS = 24
_LANES = (1.0, 0.0)
_HEIGHT = 0.56
_KNOWN = {"negative": "#c0392b", "positive": "#1e8449", "surprise": "#b9770e"}
_GREY = "#566573"


def comparison_png(pairs: Sequence[ClipPair], least_iou: float) -> bytes:
    """PNG with two lanes for each clip: a band per event in the colour of its class, a mark at its apex, and lines
    between events that are matched. Raises `OptionError` for more than `MOST_CLIPS` clips.
    """
    if len(pairs) > MOST_CLIPS:
        raise OptionError(f"a picture holds {MOST_CLIPS} clips at most, these are {len(pairs)}", option="plot")
    figure = Figure(figsize=(11.0, 1.0 + 1.5 * max(len(pairs), 1)), dpi=100, layout="constrained")
    events = [event for pair in pairs for clip in (pair.machine, pair.human) for event in clip.events]
    colours = _colours(sorted({class_of(event) for event in events}))
    for place, pair in enumerate(pairs, start=1):
        _draw(figure.add_subplot(len(pairs), 1, place), pair, least_iou, colours)
    if colours:
        handles = [Patch(color=colour, label=name) for name, colour in colours.items()]
        figure.legend(handles=handles, loc="outside upper right", ncols=min(len(handles), 6), frameon=False, fontsize=8)
    out = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(out, format="png")
    return out.getvalue()


def _draw(axes: Axes, pair: ClipPair, least_iou: float, colours: dict[str, str]) -> None:
    for lane, clip in zip(_LANES, (pair.machine, pair.human), strict=True):
        for event in clip.events:
            length = max(event.offset - event.onset, 1e-3)
            axes.barh(lane, length, left=event.onset, height=_HEIGHT, color=colours[class_of(event)], alpha=0.85)
            if event.apex is not None:
                ends = [lane - _HEIGHT / 2, lane + _HEIGHT / 2]
                axes.plot([event.apex] * 2, ends, color="black", linewidth=1.2)
    for match in match_events(pair.machine.events, pair.human.events, least_iou):
        edges = (_LANES[0] - _HEIGHT / 2, _LANES[1] + _HEIGHT / 2)
        for ours, theirs in ((match.machine.onset, match.human.onset), (match.machine.offset, match.human.offset)):
            axes.plot([ours, theirs], edges, color=_GREY, linewidth=0.8)
    last = max((event.offset for clip in (pair.machine, pair.human) for event in clip.events), default=0.0)
    axes.set_xlim(0, max(pair.duration_s or 0.0, last, 1e-3))
    axes.set_ylim(-0.6, 1.6)
    axes.set_yticks(_LANES, ["machine", "human"])
    axes.set_title(pair.name, loc="left", fontsize=9)
    axes.set_xlabel("seconds (black mark: apex; grey lines: matched)")
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _colours(names: Sequence[str]) -> dict[str, str]:
    others = [name for name in names if name not in _KNOWN]
    spare = colormaps["tab20"]
    found = {name: to_hex(spare(place % 20)) for place, name in enumerate(others)}
    return {name: _GREY if name == WITHHELD else _KNOWN.get(name) or found[name] for name in names}
