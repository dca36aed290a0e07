"""What is sent: of each kind some requests that are in order, and how the bytes of one are put to the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb

from bench.fuzz import seeds, wire
from bench.fuzz.answers import Outcome

SERVICE = "/glimpse.v1.MicroExpressions"
_BOUNDARY = "b0undary"
_TYPE = f"Content-Type: multipart/form-data; boundary={_BOUNDARY}"

WEIGHTS: Mapping[str, int] = {
    "body": 30,
    "chunked": 10,
    "head": 25,
    "analyze": 12,
    "http2": 12,
    "handshake": 4,
    "live": 4,
    "socket": 3,
}
"""Kinds of requests, and how often each is drawn. Those that open live streams cost a process, so they are rare."""
MEDIA: Mapping[str, int] = {"clip": 7, "picture": 3}
"""Kinds of media, likewise."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the service listens, and a channel of gRPC to it."""

    http: str
    grpc: str
    channel: grpc.aio.Channel


def all_seeds() -> dict[str, dict[str, bytes]]:
    """By kind and name."""
    clips, pictures = seeds.clips(), seeds.pictures()
    clip, jpeg, png = clips["vp9.webm"], pictures["baseline.jpg"], pictures["sixteen.png"]
    return {
        "clip": clips,
        "picture": pictures,
        "body": {"whole": _form(clip=clip, faces=b"all", kinds=b"micro"), "bare": _form(clip=clip)},
        "chunked": {"whole": _chunked(_form(clip=clip, deadline_s=b"9")), "bare": _chunked(_form(clip=b"x"))},
        "head": _heads(clip, jpeg),
        "analyze": {
            "whole": packed([_analyze(model="glimpse_flow", faces=2), *_pieces(clip)]),
            "bare": packed([_analyze(), *_pieces(clip)]),
        },
        "http2": {"analyze": wire.call2(f"{SERVICE}/Analyze", [_analyze(), *_pieces(clip)]), **_calls()},
        "handshake": {"plain": wire.handshake(), "options": wire.handshake("?faces=all&policy=wait&frame_rate=30")},
        "live": {
            "pictures": packed([_live(policy=1), *_frames(pb.FRAME_ENCODING_JPEG, jpeg), *_frames(2, png, first=2)]),
            "raw": packed([_live(), *_frames(pb.FRAME_ENCODING_GRAY8, bytes(64 * 48), width=64, height=48)]),
        },
        "socket": {
            "jpeg": b"".join(wire.socket_frame(2, _number(i) + jpeg) for i in range(3)) + _END,
            "pieces": wire.socket_frame(2, _number(0), fin=False) + wire.socket_frame(0, jpeg) + _END,
            "junk": b"".join(wire.socket_frame(2, _number(i) + b"junk") for i in range(20)) + _END,
        },
    }


async def send(kind: str, data: bytes, target: Target) -> Outcome:
    """What became of one request."""
    match kind:
        case "clip":
            return await wire.http(target.http, _post("/v1/analyze?faces=all", "Content-Type: video/mp4", data))
        case "picture":
            body = _form(onset=data, apex=data)
            return await wire.http(target.http, _post("/v1/classify", _TYPE, body))
        case "body":
            return await wire.http(target.http, _post("/v1/analyze", _TYPE, data))
        case "chunked":
            head = f"POST /v1/analyze HTTP/1.1\r\nHost: x\r\n{_TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
            return await wire.http(target.http, head.encode() + data)
        case "head":
            return await wire.http(target.http, data)
        case "analyze":
            return await wire.messages(target.channel, f"{SERVICE}/Analyze", unpacked(data))
        case "live":
            return await wire.messages(target.channel, f"{SERVICE}/Live", unpacked(data))
        case "http2":
            return await wire.http2(target.grpc, data)
        case "handshake":
            return await wire.websocket(target.http, data, _END)
        case "socket":
            return await wire.websocket(target.http, wire.handshake(), data)
    raise ValueError(kind)


def packed(messages: Sequence[bytes]) -> bytes:
    """Messages as one blob, each behind its length."""
    return b"".join(len(message).to_bytes(4) + message for message in messages)


def unpacked(data: bytes) -> list[bytes]:
    """The messages of a blob; a length that lies ends with the bytes."""
    found = []
    while data:
        size = int.from_bytes(data[:4])
        found.append(data[4 : 4 + size])
        data = data[4 + size :]
    return found


def _post(path: str, content_type: str, body: bytes) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _form(**parts: bytes) -> bytes:
    named = b"".join(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + content + b"\r\n"
        for name, content in parts.items()
    )
    return named + f"--{_BOUNDARY}--\r\n".encode()


def _chunked(body: bytes) -> bytes:
    pieces = (body[at : at + 500] for at in range(0, len(body), 500))
    return b"".join(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" for piece in pieces) + b"0\r\n\r\n"


def _heads(clip: bytes, jpeg: bytes) -> dict[str, bytes]:
    gets = ("/livez", "/readyz", "/metrics", "/v1/models", "/v1/models/glimpse_flow?x=1", "/openapi.json", "/problems")
    plain = {
        f"get{number}": f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n" for number, path in enumerate(gets)
    }
    return {
        **{name: text.encode() for name, text in plain.items()},
        "post": _post("/v1/analyze?model=glimpse_flow&faces=all&onset_s=0.1", "Content-Type: video/webm", clip),
        "events": _post("/v1/analyze", "Accept: text/event-stream\r\nContent-Type: video/webm", clip),
        "classify": _post("/v1/classify?deadline_s=5", _TYPE, _form(onset=jpeg, apex=jpeg)),
    }


def _analyze(**chosen: object) -> bytes:
    return bytes(pb.AnalyzeRequest(options=pb.AnalyzeOptions(**chosen)).SerializeToString())


def _pieces(clip: bytes) -> list[bytes]:
    return [pb.AnalyzeRequest(data=clip[at : at + 400]).SerializeToString() for at in range(0, len(clip), 400)]


def _live(**chosen: object) -> bytes:
    return bytes(pb.LiveRequest(options=pb.LiveOptions(**chosen)).SerializeToString())


def _frames(encoding: int, data: bytes, *, first: int = 0, **size: int) -> list[bytes]:
    numbers = range(first, first + 2)
    frames = [pb.Frame(frame_index=i, capture_time_us=i * 33333, encoding=encoding, data=data, **size) for i in numbers]
    return [pb.LiveRequest(frame=frame).SerializeToString() for frame in frames]


def _calls() -> dict[str, bytes]:
    health = "/grpc.health.v1.Health/Check"
    paths = {"models": f"{SERVICE}/ListModels", "info": f"{SERVICE}/GetServerInfo", "health": health}
    return {name: wire.call2(path, [b""]) for name, path in paths.items()}


def _number(index: int) -> bytes:
    return index.to_bytes(8) + (index * 33333).to_bytes(8)


_END = wire.socket_frame(1, b'{"type":"end"}')
