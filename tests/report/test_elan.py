"""Events as documents for ELAN."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from xml.etree import ElementTree as ET

import pympi
from hypothesis import given, settings

from server.report.elan import elan_document
from tests.report.reports import event, events, report

# Written after EAFv3.0.xsd: order of children, attributes with whether they are required.
_CHILDREN = {
    "ANNOTATION_DOCUMENT": ["HEADER", "TIME_ORDER", "TIER", "LINGUISTIC_TYPE", "CONSTRAINT"],
    "HEADER": ["MEDIA_DESCRIPTOR", "PROPERTY"],
    "TIME_ORDER": ["TIME_SLOT"],
    "TIER": ["ANNOTATION"],
    "ANNOTATION": ["ALIGNABLE_ANNOTATION", "REF_ANNOTATION"],
    "ALIGNABLE_ANNOTATION": ["ANNOTATION_VALUE"],
    "REF_ANNOTATION": ["ANNOTATION_VALUE"],
}
_INSTANCE = "{http://www.w3.org/2001/XMLSchema-instance}noNamespaceSchemaLocation"
_ATTRIBUTES = {
    "ANNOTATION_DOCUMENT": {"DATE": 1, "AUTHOR": 1, "VERSION": 1, "FORMAT": 0, _INSTANCE: 0},
    "HEADER": {"MEDIA_FILE": 0, "TIME_UNITS": 0},
    "MEDIA_DESCRIPTOR": {"MEDIA_URL": 1, "RELATIVE_MEDIA_URL": 0, "MIME_TYPE": 1},
    "PROPERTY": {"NAME": 0},
    "TIME_SLOT": {"TIME_SLOT_ID": 1, "TIME_VALUE": 0},
    "TIER": {"TIER_ID": 1, "PARTICIPANT": 0, "ANNOTATOR": 0, "LINGUISTIC_TYPE_REF": 1, "PARENT_REF": 0},
    "ALIGNABLE_ANNOTATION": {"ANNOTATION_ID": 1, "TIME_SLOT_REF1": 1, "TIME_SLOT_REF2": 1},
    "REF_ANNOTATION": {"ANNOTATION_ID": 1, "ANNOTATION_REF": 1},
    "LINGUISTIC_TYPE": {"LINGUISTIC_TYPE_ID": 1, "TIME_ALIGNABLE": 0, "CONSTRAINTS": 0, "GRAPHIC_REFERENCES": 0},
    "CONSTRAINT": {"STEREOTYPE": 1, "DESCRIPTION": 0},
}


def assert_valid(root):
    """The rules of the schema for the elements that we write, and those of ELAN for times within a tier."""
    for element in root.iter():
        order = [_CHILDREN[element.tag].index(child.tag) for child in element] if len(element) else []
        assert order == sorted(order)
        attributes = _ATTRIBUTES.get(element.tag, {})
        assert {name for name, required in attributes.items() if required} <= set(element.attrib) <= set(attributes)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d|Z)", root.get("DATE"))
    named = {"TIME_SLOT_ID", "ANNOTATION_ID", "STEREOTYPE"}
    ids = [value for element in root.iter() for name, value in element.items() if name in named]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z_][\w.-]*", one) for one in ids)
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iterfind("TIME_ORDER/TIME_SLOT")}
    assert list(slots.values()) == sorted(slots.values())
    types = {one.get("LINGUISTIC_TYPE_ID"): one.get("CONSTRAINTS") for one in root.iterfind("LINGUISTIC_TYPE")}
    assert {kind for kind in types.values() if kind} <= {one.get("STEREOTYPE") for one in root.iterfind("CONSTRAINT")}
    tiers = {}
    for tier in root.iterfind("TIER"):
        assert tier.get("TIER_ID") not in tiers
        parent = tier.get("PARENT_REF")
        assert (types[tier.get("LINGUISTIC_TYPE_REF")] is None) == (parent is None)
        aligned = tier.findall("*/ALIGNABLE_ANNOTATION")
        spans = [(slots[one.get("TIME_SLOT_REF1")], slots[one.get("TIME_SLOT_REF2")]) for one in aligned]
        assert all(begin < end for begin, end in spans)
        assert all(one[1] <= next_one[0] for one, next_one in pairwise(spans))
        tiers[tier.get("TIER_ID")] = {a.get("ANNOTATION_ID") for a in tier.iterfind("*/*")}
        referred = [a.get("ANNOTATION_REF") for a in tier.iterfind("*/REF_ANNOTATION")]
        assert len(referred) == len(set(referred))
        assert set(referred) <= tiers.get(parent, set())


@settings(max_examples=30)
@given(events())
def test_documents_keep_to_the_schema(made):
    """Of several faces, and overlapping: elements are in order, ids resolve, and no tier overlaps itself."""
    assert_valid(ET.fromstring(elan_document(report(*made, tracks=(0, 1, 2)), clip="a b/clip.mp4")))


def test_another_reader_finds_everything(tmp_path):
    """The reader pympi opens the document and tells times in milliseconds, classes, units and apexes as they are."""
    path = tmp_path / "out.eaf"
    path.write_bytes(elan_document(report(event(), event(kind="macro", onset_s=2.0, apex_s=2.5, offset_s=3.0))))
    read = pympi.Eaf(path, suppress_version_warning=True)
    assert read.get_annotation_data_for_tier("face 1 micro") == [(1000, 1400, "micro")]
    assert read.get_annotation_data_for_tier("face 1 micro class") == [(1000, 1400, "positive", "micro")]
    assert read.get_annotation_data_for_tier("face 1 micro action units") == [(1000, 1400, "L4+R12", "micro")]
    assert read.get_annotation_data_for_tier("face 1 micro apex") == [(1200, 1220, "apex")]
    assert read.get_annotation_data_for_tier("face 1 macro") == [(2000, 3000, "macro")]
    assert read.get_linked_files() == []


def test_a_clip_is_named_only_by_whoever_does():
    """The path is that from the document, escaped as an address; without one there is no medium."""
    named = ET.fromstring(elan_document(report(), clip="clips/a b#1.mp4"))
    [medium] = named.iterfind("HEADER/MEDIA_DESCRIPTOR")
    assert medium.get("RELATIVE_MEDIA_URL") == "./clips/a%20b%231.mp4"
    assert medium.get("MIME_TYPE") == "video/mp4"
    assert b"MEDIA_DESCRIPTOR" not in elan_document(report(event()))


def test_a_face_without_events_has_a_tier_to_code_on():
    """The document of an empty report is valid, and its face has tiers of both kinds."""
    root = ET.fromstring(elan_document(report(), written=datetime(2026, 1, 2, tzinfo=UTC)))
    assert_valid(root)
    assert root.get("DATE") == "2026-01-02T00:00:00+00:00"
    assert {tier.get("TIER_ID") for tier in root.iterfind("TIER")} >= {"face 1 micro", "face 1 macro"}


def test_characters_that_no_xml_may_hold_are_replaced():
    """A label with a control character, or a name that is no text, does not break the document."""
    root = ET.fromstring(elan_document(report(event(label="a\x00b")), clip="\udcff.mp4"))
    assert "a\ufffdb" in [value.text for value in root.iter("ANNOTATION_VALUE")]


def test_an_event_lies_on_the_first_tier_that_is_free():
    """Also where a later tier was free before it; a new tier is begun only where none is."""
    long, short, last = ((0.0, 4.0), (1.0, 2.0), (5.0, 6.0))
    timed = [event(onset_s=onset, apex_s=onset + 0.5, offset_s=offset) for onset, offset in (last, short, long)]
    root = ET.fromstring(elan_document(report(*timed)))
    assert_valid(root)
    counts = {tier.get("TIER_ID"): len(tier) for tier in root.iterfind("TIER")}
    assert (counts["face 1 micro"], counts["face 1 micro (2)"]) == (2, 1)
    assert "face 1 micro (3)" not in counts
