"""Events as a document of ELAN: EAF 3.0, the ELAN Annotation Format of the Max Planck Institute for Psycholinguistics.

Each face has tiers by kind, such as `face 1 micro`, whose annotations last from onset to offset; `class`, `action
units` and `confidence` are associated with them. ELAN has no points in time, so an apex is an annotation of one frame
on a tier of its own.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush
from pathlib import PurePath
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from server.report.names import class_text
from server.report.unit_notation import write_units
from server.types import Event, Report

MEDIA_TYPE = "text/x-eaf+xml"
DURATION, FRAME_RATE = "glimpse:duration_s", "glimpse:fps"
"""Properties of the header; ELAN keeps those that it does not know."""
CLASS, UNITS, CONFIDENCE, APEX = "class", "action units", "confidence", "apex"
_DEPENDENT = (CLASS, UNITS, CONFIDENCE)
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
# Characters that no XML document may hold, not even escaped (XML 1.0, section 2.2).
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class _Timed:
    """One annotation with times of its own, in milliseconds."""

    begin: int
    end: int
    event: Event


def elan_document(report: Report, *, clip: str = "", written: datetime | None = None) -> bytes:
    """The report as UTF-8 XML; `clip` is the path of the clip from where the document will lie, if it shall be named.

    Times are rounded to milliseconds, the unit of the format. `written` is now unless given.
    """
    root = Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": _legal(f"{report.model.name} {report.model.version}"),
            "DATE": (written or datetime.now(UTC)).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _INSTANCE,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    tiers = [(name, track, lane) for track, events in _tracks(report).items() for name, lane in _lanes(track, events)]
    _head(root, report, clip, annotations=sum(len(lane) * (2 + len(_DEPENDENT)) for *_, lane in tiers))
    frame_ms = 1000 / report.clip.fps if report.clip.fps > 0 else 1.0
    ids = _Ids(root, [(name, [*lane], [_apex(timed, frame_ms) for timed in lane]) for name, _, lane in tiers])
    for name, track, lane in tiers:
        who = {"PARTICIPANT": f"face {track}", "ANNOTATOR": _legal(report.model.name)}
        _tiers(root, ids, name, lane, who)
    for kind in ("expression", APEX):
        SubElement(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID=kind, TIME_ALIGNABLE="true", GRAPHIC_REFERENCES="false")
    for kind in _DEPENDENT:
        SubElement(
            root,
            "LINGUISTIC_TYPE",
            LINGUISTIC_TYPE_ID=kind,
            TIME_ALIGNABLE="false",
            CONSTRAINTS="Symbolic_Association",
            GRAPHIC_REFERENCES="false",
        )
    SubElement(
        root, "CONSTRAINT", STEREOTYPE="Symbolic_Association", DESCRIPTION="1-1 association with a parent annotation"
    )
    indent(root)
    document: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return document


class _Ids:
    """Slots of time and the ids by which annotations name them; writes the slots in the order of time."""

    def __init__(self, root: Element, tiers: Sequence[tuple[str, Sequence[_Timed], Sequence[_Timed]]]) -> None:
        self._annotations = 0
        self._slots: dict[tuple[str, int, str], str] = {}
        self.apexes = {name: apexes for name, _, apexes in tiers}
        wanted = [
            (moment, (tier, place, side))
            for name, events, apexes in tiers
            for tier, lane in ((name, events), (f"{name} {APEX}", apexes))
            for place, timed in enumerate(lane)
            for side, moment in (("begin", timed.begin), ("end", timed.end))
        ]
        order = SubElement(root, "TIME_ORDER")
        for number, (moment, key) in enumerate(sorted(wanted, key=lambda slot: slot[0]), start=1):
            self._slots[key] = f"ts{number}"
            SubElement(order, "TIME_SLOT", TIME_SLOT_ID=f"ts{number}", TIME_VALUE=str(moment))

    def next(self) -> str:
        """The id of one more annotation."""
        self._annotations += 1
        return f"a{self._annotations}"

    def span(self, tier: str, place: int) -> dict[str, str]:
        """Where the annotation at `place` of `tier` begins and ends."""
        return {
            "TIME_SLOT_REF1": self._slots[tier, place, "begin"],
            "TIME_SLOT_REF2": self._slots[tier, place, "end"],
        }


def _head(root: Element, report: Report, clip: str, *, annotations: int) -> None:
    head = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if clip:
        address = quote(_legal(clip))
        relative = address if address.startswith((".", "/")) else f"./{address}"
        kind = mimetypes.guess_type(PurePath(clip).name)[0] or "unknown"
        SubElement(head, "MEDIA_DESCRIPTOR", MEDIA_URL=address, RELATIVE_MEDIA_URL=relative, MIME_TYPE=kind)
    properties = {
        DURATION: f"{report.clip.duration_s:.4f}",
        FRAME_RATE: f"{report.clip.fps:.4f}",
        "glimpse:notice": _legal(report.notice),
        "lastUsedAnnotationId": str(annotations),
    }
    for name, value in properties.items():
        SubElement(head, "PROPERTY", NAME=name).text = value


def _tracks(report: Report) -> dict[int, list[Event]]:
    """The events of each face, in the order of the faces' numbers."""
    tracks = sorted({face.track_id for face in report.faces} | {event.track_id for event in report.events})
    found: dict[int, list[Event]] = {track: [] for track in tracks}
    for event in report.events:
        found[event.track_id].append(event)
    return found


def _lanes(track: int, events: Sequence[Event]) -> Iterator[tuple[str, list[_Timed]]]:
    """Tiers of one face: one for each kind, and more where events of a kind overlap, which no tier may hold."""
    for kind in ("micro", "macro"):
        lanes: list[list[_Timed]] = []
        # Heaps, since thousands of events of a stranger's report may overlap: when which lane ends, and which has.
        busy: list[tuple[int, int]] = []
        free: list[int] = []
        for event in sorted((e for e in events if e.kind == kind), key=lambda e: (e.onset_s, e.offset_s)):
            begin = round(event.onset_s * 1000)
            timed = _Timed(begin, max(round(event.offset_s * 1000), round(event.apex_s * 1000) + 1, begin + 1), event)
            while busy and busy[0][0] <= begin:
                heappush(free, heappop(busy)[1])
            if not free:
                heappush(free, len(lanes))
                lanes.append([])
            place = heappop(free)
            lanes[place].append(timed)
            heappush(busy, (timed.end, place))
        for number, lane in enumerate(lanes or [[]], start=1):
            yield f"face {track} {kind}" + (f" ({number})" if number > 1 else ""), lane


def _apex(timed: _Timed, frame_ms: float) -> _Timed:
    begin = round(timed.event.apex_s * 1000)
    return _Timed(begin, max(begin + 1, min(begin + round(frame_ms), timed.end)), timed.event)


def _tiers(root: Element, ids: _Ids, name: str, lane: Sequence[_Timed], who: dict[str, str]) -> None:
    """The tier of the events, those that hang on it, and that of the apexes."""
    tier = SubElement(root, "TIER", {"TIER_ID": name, "LINGUISTIC_TYPE_REF": "expression", **who})
    parents = [_aligned(tier, ids, name, place, timed.event.kind) for place, timed in enumerate(lane)]
    for kind in _DEPENDENT:
        below = {"TIER_ID": f"{name} {kind}", "PARENT_REF": name, "LINGUISTIC_TYPE_REF": kind, **who}
        dependent = SubElement(root, "TIER", below)
        for parent, timed in zip(parents, lane, strict=True):
            where = SubElement(dependent, "ANNOTATION")
            reference = SubElement(where, "REF_ANNOTATION", ANNOTATION_ID=ids.next(), ANNOTATION_REF=parent)
            SubElement(reference, "ANNOTATION_VALUE").text = _value(kind, timed.event)
    apexes = f"{name} {APEX}"
    tier = SubElement(root, "TIER", {"TIER_ID": apexes, "LINGUISTIC_TYPE_REF": APEX, **who})
    for place in range(len(ids.apexes[name])):
        _aligned(tier, ids, apexes, place, APEX)


def _aligned(tier: Element, ids: _Ids, name: str, place: int, value: str) -> str:
    number = ids.next()
    where = SubElement(tier, "ANNOTATION")
    aligned = SubElement(where, "ALIGNABLE_ANNOTATION", {"ANNOTATION_ID": number, **ids.span(name, place)})
    SubElement(aligned, "ANNOTATION_VALUE").text = value
    return number


def _value(kind: str, event: Event) -> str:
    if kind == CLASS:
        return _legal(class_text(event))
    return write_units(event.action_units) if kind == UNITS else f"{event.confidence:.4f}"


def _legal(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
