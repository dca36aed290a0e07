"""What a report can hold at all, and what a minimal one leaves out."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterator

import pytest
from glimpse.v1 import micro_expressions_pb2 as pb
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from server import streams
from server.errors import OptionError
from server.notice import NOTICE
from server.pipeline.base import check_options, check_stream_options
from server.report.export import as_dict, events_csv
from server.report.minimal import minimal_classification, minimal_event, minimal_report
from server.types import (
    ActionUnit,
    AnalyzeOptions,
    Classification,
    ClipInfo,
    Event,
    Evidence,
    FaceQuality,
    FaceSummary,
    ModelRef,
    Report,
    ReportWarning,
)
from server.visuals import EventPictures, FaceSignals, Field, Picture
from tests.shown import PICTURES, SIGNALS, shown

QUALITY = FaceQuality(91.5, 812.25, -7.75, 3.125, 2.625, 0.984375)
FAIR = Evidence("fair", ("the face is small: 92 px between the eyes, 100 or more is good",))
REF = ModelRef("m", "1", "r", "b")
UNIT = ActionUnit(12, 0.5, "left", 0.75)
EVENT = Event(1, "micro", 0.5, 0.6, 0.8, 50, 60, 80, "p", {"p": 1.0}, 1.0, False, ("brow_left",), (UNIT,), FAIR)
WARNINGS = (
    ReportWarning("face-lost", "face 1 was out of view from 1.00 s to 1.75 s"),
    ReportWarning("evidence-poor", "face 1: the face is small: 92 px between the eyes"),
    ReportWarning("of-tomorrow", "the nose is 17 px long"),
)
REPORT = Report(
    "id",
    ClipInfo(2.0, 200, 100.0, 640, 480, "h264"),
    (FaceSummary(1, 0.0, 2.0, QUALITY, FAIR),),
    (EVENT,),
    REF,
    {},
    WARNINGS,
)
CLASSIFICATION = Classification("id", "p", {"p": 1.0}, 1.0, False, (UNIT,), FAIR, REF, {}, WARNINGS)
ON_REQUEST = frozenset({"Event.pictures", "Event.explanation", "Report.signals"})
MEASURES = ("91.5", "812.25", "7.75", "3.125", "2.625", "0.984", "92 px", "17 px", "brow_left")


def _leaves(kind: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every place in a value of a type, and the plain type there."""
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            yield from _leaves(hints[field.name], f"{place}.{field.name}")
        return
    if typing.get_origin(kind) is typing.Literal:
        yield place, str
    elif arguments := typing.get_args(kind):
        for argument in arguments:
            if argument not in {types.NoneType, ...}:
                yield from _leaves(argument, place)
    else:
        yield place, kind


def test_no_answer_holds_a_picture_landmarks_or_an_embedding_unless_asked():
    """Of all places in all answers but those that are empty unless somebody asks, only the centres of the eyes and the
    motion of regions of a live face are lists of numbers, and none has room for a picture; nothing at all is bytes or
    an array.
    """
    lists, plain, unasked = set(), set(), set()
    for answer in (Report, Classification, *typing.get_args(streams.StreamReply)):
        plain |= {kind for _, kind in _leaves(answer, answer.__name__)}
        for holder in _dataclasses(answer):
            unasked.add(holder)
            for name, hint in typing.get_type_hints(holder).items():
                if "float" in str(hint) and "Sequence" in str(hint) and f"{holder.__name__}.{name}" not in ON_REQUEST:
                    lists.add(f"{holder.__name__}.{name}")
    assert plain <= {str, int, float, bool}
    assert lists == {"LiveFace.eyes", "LiveFace.motion"}
    assert not unasked & {Picture, Field, EventPictures, FaceSignals}
    assert (REPORT.signals, EVENT.pictures, EVENT.explanation) == ((), None, None)


def _dataclasses(kind: object) -> Iterator[type]:
    """Every type of a value in an answer to somebody who asked for nothing special."""
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        yield kind
        for name, hint in typing.get_type_hints(kind).items():
            if f"{kind.__name__}.{name}" not in ON_REQUEST:
                yield from _dataclasses(hint)
    for argument in typing.get_args(kind):
        yield from _dataclasses(argument)


def test_no_message_of_an_answer_has_bytes_unless_asked():
    """Over gRPC neither: what has bytes is what clients send, and the pictures and fields that they asked for."""

    def holders(message: Descriptor, without: frozenset[str] = frozenset()) -> set[str]:
        named = [field for field in message.fields if f"{message.name}.{field.name}" not in without]
        nested = {name for each in named if each.message_type for name in holders(each.message_type, without)}
        return nested | {message.name for each in named if each.type == FieldDescriptor.TYPE_BYTES}

    service = pb.DESCRIPTOR.services_by_name["MicroExpressions"]
    outputs = [method.output_type for method in service.methods]
    assert {name for message in outputs for name in holders(message, ON_REQUEST)} == set()
    assert {name for message in outputs for name in holders(message)} == {"Picture", "Field"}
    assert {name for method in service.methods for name in holders(method.input_type)} == {"AnalyzeRequest", "Frame"}


def test_a_minimal_report_shows_nothing():
    """Pictures and signals are not asked for together with it, and would not be in it if they were there."""
    full = dataclasses.replace(REPORT, events=(dataclasses.replace(EVENT, pictures=PICTURES),), signals=(SIGNALS,))
    assert shown(full) == [SIGNALS, PICTURES, None]
    assert shown(minimal_report(full)) == [None, None]
    for more in ({"include": frozenset({"signals"})}, {"include": frozenset({"pictures"})}, {"explain": True}):
        check_options(AnalyzeOptions(**more))
        with pytest.raises(OptionError, match="detail=minimal") as caught:
            check_options(AnalyzeOptions(detail="minimal", **more))
        assert caught.value.details["option"] in more


def test_a_minimal_report_measures_no_face():
    """Times, labels, action units and grades stay; size, pose, sharpness, regions and reasons are gone, in every form,
    and a warning that might hold a measure has its code alone.
    """
    found = minimal_report(REPORT)
    [event], [face] = found.events, found.faces
    assert (event.onset_s, event.label, event.action_units, event.evidence) == (0.5, "p", (UNIT,), Evidence("fair"))
    assert (face.first_s, face.last_s, face.quality, face.evidence) == (0.0, 2.0, None, Evidence("fair"))
    assert (found.detail, REPORT.detail, found.notice) == ("minimal", "full", NOTICE)
    assert [warning.code for warning in found.warnings] == [warning.code for warning in WARNINGS]
    assert found.warnings[0] == WARNINGS[0]
    full, short = json.dumps(as_dict(REPORT)), json.dumps(as_dict(found)) + events_csv(found)
    for measure in MEASURES:
        assert measure in full
        assert measure not in short


def test_a_minimal_classification_measures_no_face():
    """The same of two pictures, and of the event of a stream."""
    found = minimal_classification(CLASSIFICATION)
    assert (found.label, found.action_units, found.evidence, found.detail) == (
        "p",
        (UNIT,),
        Evidence("fair"),
        "minimal",
    )
    assert "92 px" not in json.dumps(as_dict(found))
    assert (minimal_event(EVENT).regions, minimal_event(EVENT).evidence) == ((), Evidence("fair"))


def test_motion_and_minimal_exclude_each_other():
    """Who asks for both is told so before a stream is opened."""
    check_stream_options(streams.StreamOptions(motion=True))
    check_stream_options(streams.StreamOptions(detail="minimal"))
    with pytest.raises(OptionError, match="detail=minimal"):
        check_stream_options(streams.StreamOptions(motion=True, detail="minimal"))
