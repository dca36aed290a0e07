"""Uploads that want something read which is not in them: a file, an address, a font, another container."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import av
import cv2
import numpy as np

from tests.media.conftest import encode_clip, scene
from tests.media.test_container import box
from tests.media.test_decode import with_external_reference

FRAMES = 10
Upload = Callable[[str, str], bytes]
"""From the path of a file and an address that nobody may reach to the bytes of an upload."""


def movie(container: str = "mp4", **more: object) -> bytes:
    """A clip without tricks."""
    codec = "mjpeg" if container == "avi" else "libvpx" if container == "webm" else "libx264"
    return encode_clip(codec, container, frames=FRAMES, pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p", **more)  # type: ignore[arg-type]


def beside(container: str, text: bytes, *, subtitle: str = "", data: str = "", font: bool = False) -> bytes:
    """A clip with subtitles or data of `text`, a chapter of that name, and a font."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as target:
        video = target.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        other = target.add_mux_stream(subtitle) if subtitle else target.add_data_stream(data) if data else None
        if font:
            target.add_attachment("../../font.ttf", "application/x-truetype-font", text)
        title = {"title": text.decode()}
        target.set_chapters([{"id": 1, "start": 0, "end": 300, "time_base": Fraction(1, 1000), "metadata": title}])
        for index in range(FRAMES):
            frame = av.VideoFrame.from_ndarray(scene(index, 96, 64), format="rgb24").reformat(
                format="yuv420p", threads=1
            )
            frame.pts, frame.time_base = index, Fraction(1, 30)
            target.mux(video.encode(frame))
        if other is not None:
            packet = av.Packet(len(text).to_bytes(2) + text if subtitle == "mov_text" else text)
            packet.stream, packet.time_base = other, Fraction(1, 1000)
            packet.pts = packet.dts = 0
            packet.duration = 300
            target.mux(packet)
        target.mux(video.encode(None))
    return out.getvalue()


def avi_with_subtitles(text: bytes) -> bytes:
    """An AVI whose second stream carries a file of subtitles in a GAB2 packet, which libav opens as a container."""
    pictures = [cv2.imencode(".jpg", scene(index, 96, 64))[1].tobytes() for index in range(FRAMES)]
    gab2 = b"GAB2\0" + struct.pack("<HIHHI", 2, 2, 0, 4, len(text)) + text

    def chunk(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)

    def header(kind: bytes, handler: bytes, scale: int, rate: int, length: int) -> bytes:
        return chunk(b"strh", kind + handler + struct.pack("<10I", 0, 0, 0, scale, rate, 0, length, 0, 0, 0) + bytes(8))

    form = struct.pack("<IiiHH4s5I", 40, 96, 64, 1, 24, b"MJPG", 96 * 64 * 3, 0, 0, 0, 0)
    video = header(b"vids", b"MJPG", 1, 30, FRAMES) + chunk(b"strf", form)
    words = header(b"txts", bytes(4), 1, 30, 1) + chunk(b"strf", bytes(0))
    main = chunk(b"avih", struct.pack("<14I", 33_333, 0, 0, 0x100, FRAMES, 0, 2, 0, 96, 64, 0, 0, 0, 0))
    streams = b"".join(chunk(b"LIST", b"strl" + each) for each in (video, words))
    movie_chunks = chunk(b"01tx", gab2) + b"".join(chunk(b"00dc", each) for each in pictures)
    lists = chunk(b"LIST", b"hdrl" + main + streams) + chunk(b"LIST", b"movi" + movie_chunks)
    return chunk(b"RIFF", b"AVI " + lists)


def avi_with_index(entries: list[tuple[int, int]]) -> bytes:
    """An AVI whose OpenDML super index (AVI extensions 1.02) points to `entries`: place and size of further indices."""
    data = bytearray(movie("avi"))
    start = data.index(b"JUNK", data.index(b"strl"))
    size = int.from_bytes(data[start + 4 : start + 8], "little")
    body = struct.pack("<HBBI4s3I", 4, 0, 0, len(entries), b"00dc", 0, 0, 0)
    body += b"".join(struct.pack("<QII", place, length, 1) for place, length in entries)
    data[start : start + 8 + size] = b"indx" + struct.pack("<I", size) + body.ljust(size, b"\0")[:size]
    return bytes(data)


def matroska_linked(path: str) -> bytes:
    """A Matroska file that says that it goes on in another (NextFilename, in place of the name of its muxer)."""
    data = bytearray(movie("matroska"))
    start = data.index(b"\x4d\x80")
    length = data[start + 2] & 0x7F
    data[start : start + 3 + length] = (
        b"\x3e\x83\xbb" + bytes([0x80 | (length - 1)]) + path.encode()[: length - 1].ljust(length - 1, b"\0")
    )
    return bytes(data)


def reference_movie(kind: bytes, address: str) -> bytes:
    """A MOV that only says where the movie is (QuickTime File Format, reference movies)."""
    target = address.encode() + b"\0"
    reference = box(b"rdrf", bytes(4) + kind + len(target).to_bytes(4) + target)
    return box(b"ftyp", b"qt  \0\0\0\0") + box(b"moov", box(b"rmra", box(b"rmda", reference)))


def elsewhere(kind: bytes, address: str) -> bytes:
    """A MOV whose samples are said to lie at an address."""
    if kind == b"alis":
        return with_external_reference(movie("mov"), address)
    data = bytearray(movie("mov"))
    old = data.index(b"url \0\0\0\1") - 4
    entry = (12 + len(address) + 1).to_bytes(4) + kind + bytes(4) + address.encode() + b"\0"
    result = bytearray(data[:old] + entry + data[old + 12 :])
    for name in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        start = result.index(name) - 4
        result[start : start + 4] = (int.from_bytes(result[start : start + 4]) + len(entry) - 12).to_bytes(4)
    return bytes(result)


def playlist(path: str, address: str) -> bytes:
    """HLS that asks for a file, an address, and a key at an address."""
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{address}/key"\n'
    return f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n{key}#EXTINF:1,\nfile://{path}\n#EXTINF:1,\n{address}/a.ts\n".encode()


def manifest(path: str, address: str, head: str = "<?xml version='1.0'?>\n") -> bytes:
    """DASH with the same."""
    return f"{head}<MPD><BaseURL>file://{path}</BaseURL><BaseURL>{address}</BaseURL></MPD>".encode()


TEXTS: dict[str, Upload] = {
    "hls": playlist,
    "hls-bom": lambda path, address: b"\xef\xbb\xbf" + playlist(path, address),
    "hls-after-blanks": lambda path, address: b"\r\n \t" + playlist(path, address),
    "hls-then-movie": lambda path, address: playlist(path, address) + movie(),
    "hls-single": lambda path, address: f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{address}/sub.m3u8\n".encode(),
    "dash": manifest,
    "dash-bare": lambda path, address: manifest(path, address, ""),
    "dash-comment": lambda path, address: manifest(path, address, "<?xml version='1.0'?><!-- x -->"),
    "concat": lambda path, address: f"ffconcat version 1.0\nfile '{path}'\nfile '{address}/a.mp4'\n".encode(),
    "concat-bare": lambda path, address: f"file '{path}'\n".encode(),
    "smil": lambda path, address: f"<smil><body><video src='{address}'/></body></smil>".encode(),
    "pls": lambda path, address: f"[playlist]\nFile1={address}\n".encode(),
    "asx": lambda path, address: f"<asx><entry><ref href='{address}'/></entry></asx>".encode(),
    "xspf": lambda path, address: (
        f"<playlist><trackList><location>{address}</location></trackList></playlist>".encode()
    ),
    "rtsptext": lambda path, address: f"RTSPtext\n{address}".encode(),
    "sdp": lambda path, address: f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video {address[-5:]} RTP/AVP 96\r\n".encode(),
    "imf": lambda path, address: f"<?xml version='1.0'?><CompositionPlaylist>{path}</CompositionPlaylist>".encode(),
    "file-url": lambda path, address: f"file:{path}".encode(),
    "http-url": lambda path, address: f"{address}/clip.mp4".encode(),
    "data-url": lambda path, address: b"data:video/mp4;base64,AAAAIGZ0eXA=",
    "subfile": lambda path, address: f"subfile,,start,0,end,100,,:{path}".encode(),
    "crypto": lambda path, address: f"crypto+file:{path}".encode(),
    "concat-url": lambda path, address: f"concat:{path}|{path}".encode(),
    "pattern": lambda path, address: f"{path.rsplit('/', 1)[0]}/%d.jpg".encode(),
    "script": lambda path, address: f'AviSource("{path}")'.encode(),
    "mxf": lambda path, address: b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02\x01\x01\x02\x04\0" + path.encode(),
    "reference-movie": lambda path, address: reference_movie(b"url ", address),
    "reference-movie-file": lambda path, address: reference_movie(b"alis", path),
}
"""Refused: there is nothing else in them."""

CLIPS: dict[str, Upload] = {
    "mov-alias": lambda path, address: elsewhere(b"alis", path),
    "mov-url": lambda path, address: elsewhere(b"url ", f"file://{path}"),
    "mov-address": lambda path, address: elsewhere(b"url ", address),
}
"""Refused or decoded from what is in them."""

IGNORED: dict[str, Upload] = {
    "mp4-then-hls": lambda path, address: movie() + playlist(path, address),
    "mp4-hls-inside": lambda path, address: movie() + box(b"free", playlist(path, address)),
    "webm-then-hls": lambda path, address: movie("webm") + playlist(path, address),
    "avi-then-hls": lambda path, address: movie("avi") + playlist(path, address),
    "transport-then-hls": lambda path, address: movie("mpegts") + playlist(path, address),
    "matroska-linked": lambda path, address: matroska_linked(path),
    "mp4-text": lambda path, address: beside("mp4", f"file://{path}".encode(), subtitle="mov_text"),
    "mov-text-chapters": lambda path, address: beside("mov", address.encode(), subtitle="mov_text"),
    "mp4-data": lambda path, address: beside("mp4", playlist(path, address), data="bin_data"),
    "matroska-ass-font": lambda path, address: beside(
        "matroska", f"{{\\fn{path}}}".encode(), subtitle="ass", font=True
    ),
    "matroska-webvtt": lambda path, address: beside("matroska", f"<c.{path}>".encode(), subtitle="webvtt"),
    "matroska-hls-as-text": lambda path, address: beside("matroska", playlist(path, address), subtitle="subrip"),
    "transport-metadata": lambda path, address: beside("mpegts", playlist(path, address), data="timed_id3"),
    "transport-subtitles": lambda path, address: beside("mpegts", address.encode(), subtitle="dvb_subtitle"),
    "avi-hls-as-subtitles": lambda path, address: avi_with_subtitles(playlist(path, address)),
    "avi-concat-as-subtitles": lambda path, address: avi_with_subtitles(
        f"ffconcat version 1.0\nfile '{path}'\n".encode()
    ),
    "avi-index-beyond": lambda path, address: avi_with_index([(1 << 62, 4096)]),
    "avi-index-of-itself": lambda path, address: avi_with_index([(212, 4128)] * 100),
}
"""Decoded as if the trick were not there."""

PICTURES: dict[str, Upload] = {
    "svg": lambda path, address: f"<svg xmlns='http://www.w3.org/2000/svg'><image href='{address}'/></svg>".encode(),
    "xml-svg": lambda path, address: f"<?xml version='1.0'?><svg><image href='file://{path}'/></svg>".encode(),
    "pdf": lambda path, address: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n",
    "postscript": lambda path, address: f"%!PS-Adobe-3.0\n({path}) (r) file\n".encode(),
    "tiff": lambda path, address: cv2.imencode(".tiff", scene(0, 96, 64))[1].tobytes(),
    "big-endian-tiff": lambda path, address: b"MM\0*\0\0\0\x08" + bytes(100),
    "gif": lambda path, address: b"GIF89a" + bytes(100),
    "psd": lambda path, address: b"8BPS\0\1" + bytes(100),
    "exr": lambda path, address: b"v/1\1" + bytes(100),
    "hdr": lambda path, address: b"#?RADIANCE\n" + bytes(100),
    "jpeg-2000": lambda path, address: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "heic": lambda path, address: box(b"ftyp", b"heic\0\0\0\0") + bytes(100),
    "pnm": lambda path, address: b"P6 96 64 255\n" + bytes(96 * 64 * 3),
    "pcx": lambda path, address: b"\x0a\5\1\x08" + bytes(100),
    "sgi": lambda path, address: b"\x01\xda\0\1" + bytes(600),
    "ico": lambda path, address: b"\0\0\1\0\1\0" + bytes(100),
    "xpm": lambda path, address: b"/* XPM */\nstatic char *x[] = {",
    "msl": lambda path, address: f"<image><read filename='{path}'/></image>".encode(),
    "mvg": lambda path, address: f"push graphic-context\nimage over 0,0 0,0 '{address}'\n".encode(),
    "hls": playlist,
    "movie": lambda path, address: movie(),
}
"""No picture that is decoded."""


def stripes(kind: str) -> bytes:
    """A picture that is taken."""
    return cv2.imencode(kind, np.ascontiguousarray(scene(0, 96, 64)))[1].tobytes()
