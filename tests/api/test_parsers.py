"""Whatever bytes come, each parser of the protocols reads them or raises an error that is meant for the caller."""

from contextlib import suppress

import pytest
from glimpse.v1 import micro_expressions_pb2 as pb
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from python_multipart.exceptions import FormParserError

from server.api.grpc import requests
from server.api.rest.upload import _Reader
from server.api.ws.frames import check_end, live_frame
from server.api.ws.options import Pictures, parameters
from server.errors import MediaError, OptionError
from server.media.container import identify

MANY = settings(max_examples=300, deadline=None)
_LINES = [
    b"--b\r\n",
    b"--b--\r\n",
    b"\r\n\r\n",
    b'Content-Disposition: form-data; name="clip"',
    b"a: b\r\n",
    b"--b",
    b"\0",
]


@MANY
@given(pieces=st.lists(st.one_of(st.sampled_from(_LINES), st.binary(max_size=40)), max_size=20))
def test_any_body_is_a_form_or_refused(pieces):
    """In whatever pieces it comes."""
    try:
        reader = _Reader(b"b", ["clip"], ["model"])
        for piece in pieces:
            reader.write(piece)
        assert set(reader.form().files) == {"clip"}
    except (FormParserError, OptionError):
        return


@MANY
@given(data=st.binary(max_size=200), kind=st.sampled_from([pb.AnalyzeOptions, pb.LiveOptions]))
def test_any_options_of_grpc_are_taken_or_refused(data, kind):
    """Fields that nobody knows, numbers that are no value, text that is no name."""
    try:
        message = kind.FromString(data)
    except DecodeError:
        return
    read = requests.analyze_options if kind is pb.AnalyzeOptions else requests.stream_options
    with suppress(OptionError):
        read(message)


@MANY
@given(data=st.binary(max_size=60))
def test_any_frame_of_grpc_is_a_frame(data):
    """What is wrong with it is said by whoever looks at the picture."""
    try:
        message = pb.Frame.FromString(data)
    except DecodeError:
        return
    assert requests.live_frame(message).data == message.data


@MANY
@given(data=st.binary(max_size=60))
def test_any_message_of_websocket_is_a_frame_or_refused(data):
    """It begins with two numbers, or is none."""
    try:
        assert live_frame(data, Pictures("jpeg", 0, 0)).data == data[16:]
    except OptionError:
        assert len(data) < 16


@MANY
@given(text=st.one_of(st.text(max_size=80), st.integers(1, 2000).map("[".__mul__)))
def test_any_text_of_websocket_is_the_end_or_refused(text):
    """However deeply it is nested."""
    with pytest.raises(OptionError):
        check_end(text)


@MANY
@given(query=st.lists(st.tuples(st.sampled_from(["model", "faces", "width", "frame_rate", "x"]), st.text(max_size=20))))
def test_any_query_of_websocket_is_taken_or_refused(query):
    """Also one that names an option twice."""
    with suppress(OptionError):
        parameters(query).options()


_STARTS = [
    b"",
    b"\0\0\0\x18ftyp",
    b"\x1a\x45\xdf\xa3",
    b"RIFF\0\0\0\0AVI ",
    b"\x89PNG\r\n\x1a\n",
    b"#EXTM3U",
    b"G" + bytes(187),
]


@MANY
@given(start=st.sampled_from(_STARTS), rest=st.binary(max_size=400))
def test_any_bytes_are_a_container_or_refused(start, rest):
    """With the beginning of one or without."""
    try:
        assert identify(start + rest) in {"mov", "matroska", "avi", "mpegts"}
    except MediaError:
        return
