"""Documents of ELAN as people write them, and as attackers do."""

import pympi
import pytest

from server.annotation.eaf import read_eaf
from server.annotation.types import AnnotationError, Reading


@pytest.fixture
def coded(tmp_path):
    """A document that a coder might have made: events, their classes below, units and apexes on tiers of their own."""

    def write(**tiers):
        document = pympi.Eaf(author="coder")
        document.add_linked_file(
            "file:///C:/films/interview%201.mp4", relpath="./interview%201.mp4", mimetype="video/mp4"
        )
        document.add_linguistic_type("free", timealignable=True)
        for name, annotations in tiers.items():
            document.add_tier(name, ling="free")
            for begin, end, value in annotations:
                document.add_annotation(name, begin, end, value)
        document.remove_tier("default")
        path = tmp_path / "coded.eaf"
        document.to_file(path)
        return path.read_bytes()

    return write


def _read(data, **reading):
    [clip] = read_eaf(data, "coded.eaf", Reading(**reading))
    return clip


def test_a_document_of_one_tier_needs_no_names(coded):
    """Texts are classes; where they are action units and nothing else, they are units; kinds are kinds."""
    clip = _read(coded(ME=[(100, 300, "surprise"), (500, 700, "AU12+L4"), (900, 950, "micro")]))
    assert [(event.onset, event.offset, event.label) for event in clip.events] == [
        (0.1, 0.3, "surprise"),
        (0.5, 0.7, ""),
        (0.9, 0.95, ""),
    ]
    assert [event.kind for event in clip.events] == [None, None, "micro"]
    assert [(unit.au, unit.side) for unit in clip.events[1].action_units] == [(12, "both"), (4, "right")]
    assert (clip.name, clip.duration_s) == ("interview 1.mp4", None)


def test_tiers_are_named_by_the_caller(coded):
    """What is on other tiers belongs to the event with which it shares most time."""
    data = coded(
        Expr=[(100, 300, "x"), (500, 700, "y")],
        Emotion=[(90, 310, "joy"), (480, 720, "fear")],
        FACS=[(100, 300, "6 + 12A")],
        Peak=[(200, 201, ""), (600, 640, "")],
    )
    clip = _read(data, events_tier="Expr", class_tier="Emotion", units_tier="FACS", apex_tier="Peak")
    assert [event.label for event in clip.events] == ["joy", "fear"]
    assert [event.apex for event in clip.events] == [0.2, 0.6]
    assert [[unit.au for unit in event.action_units] for event in clip.events] == [[6, 12], []]


def test_several_tiers_have_to_be_named(coded):
    """Nothing is guessed: the message lists what there is; a name that does not exist is refused the same way."""
    data = coded(Expr=[(100, 300, "x")], Other=[(1, 2, "y")])
    with pytest.raises(AnnotationError, match=r"--events-tier\); there are 'Expr', 'Other'"):
        _read(data)
    with pytest.raises(AnnotationError, match=r"no tier 'Nope'; there are 'Expr', 'Other'"):
        _read(data, events_tier="Nope")


def test_a_note_that_is_no_unit_is_named(coded):
    """Tier and annotation, so that the coder finds it."""
    data = coded(Expr=[(100, 300, "x")], FACS=[(100, 300, "maybe 12?")])
    with pytest.raises(AnnotationError, match=r"coded\.eaf, tier 'Expr', annotation a\d+: 'maybe' is no action unit"):
        _read(data, events_tier="Expr", units_tier="FACS")


_BOMB = b"""<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>"""
_FILE = b"""<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><ANNOTATION_DOCUMENT>&f;</ANNOTATION_DOCUMENT>"""
_REMOTE = b"""<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><ANNOTATION_DOCUMENT/>"""


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (_BOMB, "declares a document type"),
        (_FILE, "declares a document type"),
        (_REMOTE, "declares a document type"),
        (b"<ANNOTATION_DOCUMENT>&undeclared;</ANNOTATION_DOCUMENT>", "it is no XML: undefined entity"),
        (b"<a>" * 100 + b"</a>" * 100, "nested more than 64 deep"),
        (b'<?xml version="1.0" encoding="x-none"?><ANNOTATION_DOCUMENT/>', "no XML|encoding"),
        (b'<?xml version="1.0" encoding="utf-8"?><ANNOTATION_DOCUMENT A="\xff"/>', "it is no XML"),
        (b"<ANNOTATION_DOCUMENT>", "it is no XML"),
        (b"", "it is no XML"),
        (b"<svg/>", "no document of ELAN"),
    ],
)
def test_hostile_documents_are_refused(data, message):
    """No entity is ever expanded, no file or address ever opened: whatever declares one is refused first."""
    with pytest.raises(AnnotationError, match=message):
        _read(data)


@pytest.mark.parametrize(
    ("slot", "message"),
    [('TIME_VALUE="-5"', "'-5' is no time in milliseconds"), ("", "it has no times of its own")],
)
def test_times_have_to_be_there(slot, message):
    """An event on slots without a time, or with one that is none, is named."""
    data = f"""<ANNOTATION_DOCUMENT><TIME_ORDER><TIME_SLOT TIME_SLOT_ID="t" {slot}/>
    <TIME_SLOT TIME_SLOT_ID="u" TIME_VALUE="9"/></TIME_ORDER><TIER TIER_ID="E"><ANNOTATION>
    <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t" TIME_SLOT_REF2="u"/>
    </ANNOTATION></TIER></ANNOTATION_DOCUMENT>"""
    with pytest.raises(AnnotationError, match=rf"^coded\.eaf, tier 'E', annotation a1: {message}"):
        _read(data.encode(), events_tier="E")
