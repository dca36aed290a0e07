"""Reads documents of ELAN, our own (`server.report.elan`) and those of people, whose tiers have to be named."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from server.annotation.types import AnnotationError, CodedClip, CodedEvent, Reading, checked_event
from server.annotation.xml_tree import RefusedXml, parse_xml
from server.report.elan import APEX, CLASS, DURATION, FRAME_RATE, UNITS
from server.report.names import parse_class
from server.report.unit_notation import CodedUnit, parse_units
from server.types import EventKind

_OURS = re.compile(r"face (?P<track>[0-9]+) (?P<kind>micro|macro)( \([0-9]+\))?")


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One annotation of a tier; times in seconds, None where it has none of its own; `parent` is another's id."""

    id: str
    value: str
    begin: float | None = None
    end: float | None = None
    parent: str = ""


class _Tier:
    """The annotations of one tier, in the order of the document."""

    def __init__(self, name: str, annotations: Sequence[_Annotation]) -> None:
        self.name = name
        self.annotations = annotations
        self._dependent = {one.parent: one for one in reversed(annotations) if one.parent}
        # Annotations of a tier do not overlap, so that the order of their ends is that of their beginnings.
        spans = [(one.begin, one.end, one) for one in annotations if one.begin is not None and one.end is not None]
        self._timed = sorted(spans, key=lambda span: span[:2])
        self._ends = [end for _, end, _ in self._timed]

    def beside(self, event: _Annotation) -> _Annotation | None:
        """What this tier says of the event: its own dependent, else what shares most time with it."""
        if event.id in self._dependent or event.begin is None or event.end is None:
            return self._dependent.get(event.id)
        best, most = None, 0.0
        for place in range(bisect_right(self._ends, event.begin), len(self._timed)):
            begin, end, one = self._timed[place]
            if begin >= event.end:
                break
            shared = min(end, event.end) - max(begin, event.begin)
            if shared > most:
                best, most = one, shared
        return best


def read_eaf(data: bytes, file: str, reading: Reading) -> Sequence[CodedClip]:
    """The one clip of a document. Raises `AnnotationError` naming file, tier and annotation.

    Its name is that of its first medium, else that of the file.
    """
    try:
        root = parse_xml(data)
    except RefusedXml as error:
        raise AnnotationError(str(error), file=file) from None
    if root.tag != "ANNOTATION_DOCUMENT":
        raise AnnotationError("it is no document of ELAN", file=file)
    tiers = _tiers(root, file)
    chosen = _event_tiers(tiers, file, reading)
    events = [event for tier in chosen for event in _events(tier, tiers, file, reading)]
    facts = {name: _number(root, name) for name in (DURATION, FRAME_RATE)}
    ordered = tuple(sorted(events, key=lambda event: (event.onset, event.offset)))
    return (CodedClip(_name(root, file), ordered, duration_s=facts[DURATION], fps=facts[FRAME_RATE]),)


def _number(root: Element, name: str) -> float | None:
    text = next((p.text or "" for p in root.iterfind("HEADER/PROPERTY") if p.get("NAME") == name), "")
    known = re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text)
    return float(text) or None if known else None


def _name(root: Element, file: str) -> str:
    medium = root.find("HEADER/MEDIA_DESCRIPTOR")
    address = "" if medium is None else medium.get("RELATIVE_MEDIA_URL") or medium.get("MEDIA_URL") or ""
    return unquote(address).replace("\\", "/").removeprefix("file:///").removeprefix("./") or PurePath(file).stem


def _tiers(root: Element, file: str) -> Mapping[str, _Tier]:
    slots = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iterfind("TIME_ORDER/TIME_SLOT")}
    tiers: dict[str, _Tier] = {}
    for element in root.iterfind("TIER"):
        name = element.get("TIER_ID", "")
        if name in tiers:
            raise AnnotationError("two tiers have this name", file=file, place=f"tier {name!r}")
        tiers[name] = _Tier(name, tuple(_annotations(element, slots, file, name)))
    return tiers


def _annotations(tier: Element, slots: Mapping[str | None, str | None], file: str, name: str) -> Iterator[_Annotation]:
    for element in tier.iterfind("ANNOTATION/*"):
        number = element.get("ANNOTATION_ID", "")
        value = (element.findtext("ANNOTATION_VALUE") or "").strip()
        if element.tag == "REF_ANNOTATION":
            yield _Annotation(number, value, parent=element.get("ANNOTATION_REF", ""))
            continue
        times: list[float | None] = []
        for reference in ("TIME_SLOT_REF1", "TIME_SLOT_REF2"):
            text = slots.get(element.get(reference))
            if text is not None and not re.fullmatch(r"[0-9]{1,12}", text):
                place = f"tier {name!r}, annotation {number}"
                raise AnnotationError(f"{text[:40]!r} is no time in milliseconds", file=file, place=place)
            times.append(None if text is None else int(text) / 1000)
        yield _Annotation(number, value, times[0], times[1])


def _event_tiers(tiers: Mapping[str, _Tier], file: str, reading: Reading) -> Sequence[_Tier]:
    named = [reading.events_tier, reading.class_tier, reading.units_tier, reading.apex_tier]
    for name in named:
        if name is not None and name not in tiers:
            raise AnnotationError(f"there is no tier {name!r}; there are {_listed(tiers)}", file=file)
    if reading.events_tier is not None:
        return [tiers[reading.events_tier]]
    ours = [tier for name, tier in tiers.items() if _OURS.fullmatch(name)]
    if ours or not tiers:
        return ours
    others = {reading.class_tier, reading.units_tier, reading.apex_tier}
    timed = [
        tier
        for name, tier in tiers.items()
        if name not in others and any(one.begin is not None for one in tier.annotations)
    ]
    if len(timed) != 1:
        raise AnnotationError(f"name the tier of the events (--events-tier); there are {_listed(tiers)}", file=file)
    return timed


def _listed(tiers: Mapping[str, _Tier]) -> str:
    return ", ".join(map(repr, tiers)) or "none"


def _events(tier: _Tier, tiers: Mapping[str, _Tier], file: str, reading: Reading) -> Iterator[CodedEvent]:
    ours = _OURS.fullmatch(tier.name)
    classes = tiers.get(reading.class_tier or (f"{tier.name} {CLASS}" if ours else ""))
    units = tiers.get(reading.units_tier or (f"{tier.name} {UNITS}" if ours else ""))
    apexes = tiers.get(reading.apex_tier or (f"{tier.name} {APEX}" if ours else ""))
    kind: EventKind | None = None if ours is None else "micro" if ours["kind"] == "micro" else "macro"
    for one in tier.annotations:
        place = f"tier {tier.name!r}, annotation {one.id}"
        if one.begin is None or one.end is None:
            raise AnnotationError("it has no times of its own; name a tier that has", file=file, place=place)
        try:
            coded = None if units is None else _text_beside(units, one)
            text = _text_beside(classes, one) if classes is not None else one.value
            found: Sequence[CodedUnit] | None = None if coded is None else parse_units(coded)
            if classes is None and _kind_of(text):
                text = ""
            elif classes is None and units is None and (free := _free_units(text)):
                text, found = "", free
            label, withheld = parse_class(text)
            apex = None if apexes is None else apexes.beside(one)
            yield checked_event(
                CodedEvent(
                    onset=one.begin,
                    apex=None if apex is None else apex.begin,
                    offset=one.end,
                    label=label,
                    kind=kind or _kind_of(one.value),
                    track_id=int(ours["track"]) if ours else None,
                    action_units=found,
                    withheld=withheld,
                )
            )
        except ValueError as error:
            raise AnnotationError(str(error), file=file, place=place) from None


def _text_beside(tier: _Tier, event: _Annotation) -> str:
    found = tier.beside(event)
    return "" if found is None else found.value


def _free_units(text: str) -> Sequence[CodedUnit] | None:
    """Action units where the text of an event is nothing but their notation."""
    try:
        return parse_units(text)
    except ValueError:
        return None


def _kind_of(text: str) -> EventKind | None:
    return "micro" if text.lower().startswith("micro") else "macro" if text.lower().startswith("macro") else None
