"""Classes of events as they are compared, and which events are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from server.annotation.types import CodedClip, CodedEvent
from server.compare.pairing import ClipPair
from server.types import EventKind

LONGEST_MICRO_S = 0.5
"""An event whose kind was not coded is a micro-expression up to here (Yan et al., J. Nonverbal Behavior 37, 2013)."""
WITHHELD, UNLABELLED = "withheld", "unlabelled"


def kind_of(event: CodedEvent) -> EventKind:
    """As it was coded, else by its length."""
    return event.kind or ("micro" if event.offset - event.onset <= LONGEST_MICRO_S else "macro")


def class_of(event: CodedEvent) -> str:
    """The class; a withheld answer is one of its own, with which no coder agrees."""
    return WITHHELD if event.withheld else event.label or UNLABELLED


def selected(pairs: Sequence[ClipPair], kinds: frozenset[EventKind], names: Mapping[str, str]) -> list[ClipPair]:
    """Events of `kinds` alone, their classes in lower case and by the name that `names` gives instead."""
    called = {old.strip().casefold(): new.strip().casefold() for old, new in names.items()}

    def chosen(clip: CodedClip) -> CodedClip:
        kept = (event for event in clip.events if kind_of(event) in kinds)
        lowered = ((event, event.label.strip().casefold()) for event in kept)
        return replace(clip, events=tuple(replace(event, label=called.get(name, name)) for event, name in lowered))

    return [replace(pair, machine=chosen(pair.machine), human=chosen(pair.human)) for pair in pairs]
