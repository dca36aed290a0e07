"""Bodies of requests, read piece by piece into memory and never anywhere else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Message

from server.api.gateway import Gateway
from server.api.limits import Ticket, upload_too_large
from server.api.pace import Pace
from server.api.rest import problems
from server.errors import DeadlineExceeded
from server.secrecy import wipe

_FIELD_BYTES = 1024


class ClientGone(Exception):
    """The client closed the connection during `kind`; nobody waits for an answer."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a body: files as bytes, options as text."""

    files: Mapping[str, bytearray]
    fields: Mapping[str, str]

    def wipe(self) -> None:
        """Overwrite the files."""
        wipe(*self.files.values())


@dataclass
class _Part:
    name: str = ""
    header: bytes = b""
    headers: dict[bytes, bytes] = field(default_factory=dict)
    content: bytearray = field(default_factory=bytearray)


async def read(
    request: Request,
    gateway: Gateway,
    ticket: Ticket,
    *,
    files: Collection[str],
    fields: Collection[str],
    deadline: float,
) -> Form:
    """Read a multipart body that holds all of `files` and any of `fields`.

    Where one file is wanted, the body may also be that file alone: video/* or application/octet-stream.
    Afterwards the ticket's place is among the requests that wait or are worked on.
    Raises `LimitExceeded`, `Overloaded`, `OptionError` (unknown, doubled or missing part), `DeadlineExceeded` (stage
    `upload`), `ProtocolError` (400, 408, 415) and `ClientGone`.
    """
    media_type, parameters = parse_options_header(request.headers.get("content-type"))
    _check_length(request, gateway)
    pieces = _pieces(request, gateway, ticket, deadline)
    if media_type == b"multipart/form-data":
        form = await _multipart(pieces, parameters.get(b"boundary", b""), files, fields)
    elif len(files) == 1 and (media_type.startswith(b"video/") or media_type == b"application/octet-stream"):
        form = Form({next(iter(files)): await _whole(pieces)}, {})
    else:
        wanted = "multipart/form-data" + (", or the file itself as video/*" if len(files) == 1 else "")
        raise problems.ProtocolError(415, f"send {wanted}", headers={"Accept-Post": "multipart/form-data, video/*"})
    ticket.uploaded()
    return form


async def whole(request: Request, gateway: Gateway, ticket: Ticket, *, deadline: float) -> bytearray:
    """Read a body that is one document, and raise what `read` raises for its size and pace; its type is not looked at.

    Afterwards the ticket's place is among the requests that wait or are worked on.
    """
    _check_length(request, gateway)
    content = await _whole(_pieces(request, gateway, ticket, deadline))
    ticket.uploaded()
    return content


async def gone(request: Request) -> None:
    """Return when the client has closed the connection. Only after the whole body was read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _check_length(request: Request, gateway: Gateway) -> None:
    if (length := request.headers.get("content-length", "")).isdecimal() and int(length) > gateway.limits.upload_bytes:
        raise upload_too_large(gateway.limits)


async def _pieces(request: Request, gateway: Gateway, ticket: Ticket, deadline: float) -> AsyncIterator[bytes]:
    pace = Pace(gateway.limits)
    more = True
    while more:
        message = await _next(request, pace, deadline)
        if message["type"] == "http.disconnect":
            raise ClientGone("upload")
        piece: bytes = message.get("body", b"")
        ticket.hold(len(piece))
        pace.advance(len(piece))
        yield piece
        more = message.get("more_body", False)


async def _whole(pieces: AsyncIterator[bytes]) -> bytearray:
    content = bytearray()
    try:
        async for piece in pieces:
            content += piece
    except BaseException:
        wipe(content)
        raise
    return content


async def _next(request: Request, pace: Pace, deadline: float) -> Message:
    try:
        async with asyncio.timeout_at(min(pace.stalled_at, deadline)):
            return await request.receive()
    except TimeoutError:
        if deadline <= pace.stalled_at:
            raise DeadlineExceeded("the upload did not end in time", stage="upload") from None
        raise problems.ProtocolError(408, pace.complaint) from None


async def _multipart(
    pieces: AsyncIterator[bytes], boundary: bytes, files: Collection[str], fields: Collection[str]
) -> Form:
    reader: _Reader | None = None
    try:
        reader = _Reader(boundary, files, fields)
        async for piece in pieces:
            reader.write(piece)
        return reader.form()
    except BaseException as error:
        if reader is not None:
            reader.wipe()
        if isinstance(error, FormParserError):
            raise problems.ProtocolError(400, f"the multipart body is malformed: {error}") from None
        raise


class _Reader:
    """Collects the parts of one multipart body, and refuses what was not asked for as soon as it is named."""

    def __init__(self, boundary: bytes, files: Collection[str], fields: Collection[str]) -> None:
        if not boundary:
            raise FormParserError("the content type names no boundary")
        self._files = files
        self._fields = fields
        self._done: dict[str, _Part] = {}
        self._part = _Part()
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_begin": self._header_begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_headers_finished": self._named,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._finish,
            },
        )

    def write(self, piece: bytes) -> None:
        self._parser.write(piece)

    def form(self) -> Form:
        if not self._complete:
            raise FormParserError("it ends before its last boundary")
        missing = [name for name in self._files if name not in self._done]
        if missing:
            raise problems.option_error([(name, "this part is missing") for name in missing])
        return Form(
            files={name: self._done[name].content for name in self._files},
            fields={name: _text(part) for name, part in self._done.items() if name in self._fields},
        )

    def wipe(self) -> None:
        wipe(self._part.content, *(part.content for part in self._done.values()))

    def _begin(self) -> None:
        self._part = _Part()

    def _header_begin(self) -> None:
        self._part.header = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end].lower()

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        headers = self._part.headers
        headers[self._part.header] = headers.get(self._part.header, b"") + data[start:end]

    def _named(self) -> None:
        kind, parameters = parse_options_header(self._part.headers.get(b"content-disposition"))
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise FormParserError("a part has no name")
        if name not in self._files and name not in self._fields:
            known = ", ".join((*self._files, *self._fields))
            raise problems.option_error([(name[:64], f"no such part; known are {known}")])
        if name in self._done:
            raise problems.option_error([(name, "this part came twice")])
        self._part.name = name

    def _data(self, data: bytes, start: int, end: int) -> None:
        content = self._part.content
        if self._part.name in self._fields and len(content) + end - start > _FIELD_BYTES:
            raise problems.option_error([(self._part.name, f"longer than {_FIELD_BYTES} bytes")])
        content += memoryview(data)[start:end]

    def _end(self) -> None:
        self._done[self._part.name] = self._part

    def _finish(self) -> None:
        self._complete = True


def _text(part: _Part) -> str:
    try:
        return part.content.decode("utf-8")
    except UnicodeDecodeError:
        raise problems.option_error([(part.name, "not UTF-8 text")]) from None
