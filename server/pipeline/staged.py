"""What workers tell of their time, as spans in the gateway: they have no network, and what they say may be forged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from server.pipeline.base import OnProgress
from server.pipeline.jobs import StageTime
from server.spans import NO_SPAN, Span
from server.types import Progress

_NAMES = frozenset(
    {
        "first pass",
        "second pass",
        "decode",
        "faces",
        "spotting",
        "flow",
        "recipes",
        "shadow",
        "inference",
        "start",
        "annotation",
    }
)
_MOST = 32


def stage_spans(work: Span, timeline: Iterable[StageTime], *, sent: float, answered: float) -> None:
    """A child of `work` for each pass and each stage that a worker told of a job, which it had from `sent` to
    `answered` (`time.monotonic`): names that are none of ours are left out, and no time lies outside of those.
    """
    if work is NO_SPAN:
        return
    parts: dict[str, tuple[Span, float, float]] = {"": (work, sent, answered)}
    told = [each for each in timeline if each.stage in _NAMES][:_MOST]
    for each in sorted(told, key=lambda each: each.part != ""):
        parent, first, last = parts.get(each.part, parts[""])
        began = within(each.began, first, last)
        ended = within(each.ended, began, last)
        child = parent.child(each.stage, {"glimpse.busy_s": within(each.busy_s, 0.0, ended - began)}, began=began)
        child.end(ended)
        if not each.part:
            parts[each.stage] = child, began, ended


def within(value: float, least: float, most: float) -> float:
    """The nearest to `value` between the two; the least where it is not a number."""
    return min(value, most) if value >= least else least


def stage_events(work: Span, on_progress: OnProgress | None) -> OnProgress | None:
    """`on_progress`, with an event of `work` where a stage begins: what a job had come to that has no answer."""
    if work is NO_SPAN:
        return on_progress
    begun: set[str] = set()

    def told(progress: Progress) -> None:
        if progress.stage in _NAMES and progress.stage not in begun:
            begun.add(progress.stage)
            work.event("stage", {"glimpse.stage": progress.stage})
        _pass_on(on_progress, progress)

    return told


def _pass_on(on_progress: Callable[[Progress], None] | None, progress: Progress) -> None:
    if on_progress is not None:
        on_progress(progress)
