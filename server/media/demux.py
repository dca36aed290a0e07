"""Opens libav on bytes in memory, locked down, and yields decoded pictures of the one video stream.

libav may read nothing but the bytes: the demuxer is named, every protocol is forbidden, references to other files
in MOV are ignored, and should it try all the same, its opening of files is replaced by a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, NoReturn

import av

from server.errors import NoVideoStream, UnreadableMedia, UnsupportedMedia
from server.media import jpeg
from server.media.boxes import check_index
from server.media.codecs import DECODERS
from server.media.container import Container
from server.media.limits import STAGE, MediaLimits
from server.types import Encoded

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_ENCRYPTED_TAGS = {"encv", "drmi"}
_BUFFER_BYTES = 1 << 18
_ATTACHED_PICTURE = 1 << 10
_OVERLAP, _SLACK_BYTES, _PACKET_BYTES = 2, 1 << 20, 4096
"""A pass over a clip reads each byte once, and a few twice; packets may be completed by a common head (Matroska)."""
_NOMINAL_FPS = Fraction(30)
_DURATION_TAG = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)")


class _Bytes:
    """What PyAV needs of a file, over bytes or a memoryview, without a copy of the whole."""

    def __init__(self, data: Encoded | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self._position = 0

    def read(self, size: int) -> bytes:
        chunk = bytes(self._view[self._position : self._position + size])
        self._position += len(chunk)
        return chunk

    def seek(self, offset: int, whence: int = 0) -> int:
        base = (0, self._position, self._view.nbytes)[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position


def _refuse_to_open(url: str, flags: int, options: Mapping[str, str]) -> NoReturn:
    raise UnsupportedMedia("The upload refers to other files; send the video itself.", stage=STAGE)


class Source:
    """An open container and its video stream.

    `cut` tells that reading ended in an error, `undecodable` counts packets that made no picture.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: VideoStream,
        limits: MediaLimits,
        time_base: Fraction,
        size: int,
    ) -> None:
        self._size = size
        self._container = container
        self._stream = stream
        self._limits = limits
        self._rate = stream.average_rate or stream.guessed_rate or Fraction(0)
        self.time_base = time_base
        self.codec = DECODERS[stream.codec_context.name]
        self.cut = False
        self.undecodable = 0
        self._decoded = 0
        self._decoded_pixels = 0

    @property
    def width(self) -> int:
        """Coded width the header states, px."""
        return self._stream.codec_context.width

    @property
    def height(self) -> int:
        """Coded height the header states, px."""
        return self._stream.codec_context.height

    @property
    def fps(self) -> float:
        """Frame rate the header states, 0 where it states none."""
        return float(self._rate)

    @property
    def frames(self) -> int:
        """Frames the header states, 0 where it states none."""
        return self._stream.frames

    @property
    def duration_s(self) -> float:
        """Duration of the video the header states, 0 where it states none.

        Matroska states one for the whole file, which sound may outlast, and leaves the stream's own to a tag.
        """
        if self._stream.duration is not None:
            return float(self._stream.duration * self.time_base)
        tag = _DURATION_TAG.fullmatch(self._stream.metadata.get("DURATION", ""))
        if tag:
            hours, minutes, seconds = tag.groups()
            return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
        if self._container.duration is not None and len(self._container.streams) == 1:
            return self._container.duration / av.time_base
        return 0.0

    @property
    def nominal_gap(self) -> int:
        """Ticks between frames at the stated rate."""
        return round(1 / ((self._rate or _NOMINAL_FPS) * self.time_base))

    def pictures(self) -> Iterator[VideoFrame]:
        """Every picture that can be decoded, in presentation order, from where the source stands.

        Raises `LimitExceeded` for pictures that the decoder refuses for their size, `UnsupportedMedia` for encrypted
        packets.
        """
        for packet in self._packets():
            if packet.has_sidedata("encryption_info"):
                raise UnsupportedMedia("The video is encrypted.", stage=STAGE)
            if self.codec == "mjpeg":
                jpeg.check_scans(bytes(packet), self._limits)
            pictures = self._decode(packet)
            self._account(pictures)
            yield from pictures
        yield from self._decode(None)

    def _account(self, pictures: list[VideoFrame]) -> None:
        """Of everything that was decoded, also of what is not shown, has no time of its own, or came to nothing."""
        context = self._stream.codec_context
        self._decoded += len(pictures)
        self._decoded_pixels += max(1, len(pictures)) * context.width * context.height
        self._limits.check_frames(self._decoded + self.undecodable)
        self._limits.check_decoded(self._decoded_pixels)

    def check_length(self) -> None:
        """Read on to the end without decoding, as far as the limits let it.

        Raises `LimitExceeded`, as decoding would do much later, where the header does not tell.
        """
        first: int | None = None
        pictures = 0
        for packet in self._packets():
            pictures += self._shows(packet)
            self._limits.check_frames(pictures)
            self._limits.check_decoded(pictures * self.width * self.height)
            if packet.pts is not None:
                first = packet.pts if first is None else first
                self._limits.check_seconds(float((packet.pts - first) * self.time_base))

    def _shows(self, packet: Packet[VideoStream]) -> bool:
        """Whether a packet becomes a picture; VP8 has some that others only lean on (RFC 6386, section 9.1)."""
        return self.codec != "vp8" or bool(memoryview(packet)[0] & 0x10)

    def seek(self, ticks: int) -> None:
        """Go to the key frame at or before a time stamp. Raises `av.FFmpegError` where the container cannot."""
        self._container.seek(ticks, stream=self._stream)

    def _packets(self) -> Iterator[Packet[VideoStream]]:
        left = _OVERLAP * self._size + _SLACK_BYTES
        try:
            for packet in self._container.demux(self._stream):
                left -= max(0, packet.size - _PACKET_BYTES)
                if left < 0:
                    message = "The packets of the video are far larger than the file: it unfolds, or repeats itself."
                    raise UnreadableMedia(message, stage=STAGE)
                if packet.size:
                    yield packet
        except av.FFmpegError:
            self.cut = True
        except IndexError:
            # PyAV stumbles at the end over streams that appeared midway; ours has given all its packets by then.
            return

    def _decode(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        context = self._stream.codec_context
        try:
            return context.decode(packet)
        except av.FFmpegError as error:
            if isinstance(error, av.error.ArgumentError) and not context.width:
                # With `max_pixels` set, this is how decoders answer to a size beyond it.
                raise self._limits.pixels_exceeded("The pictures are larger than allowed") from None
            self.undecodable += 1
            return []


@contextmanager
def opened(
    data: Encoded | memoryview, demuxer: Container, limits: MediaLimits, *, threads: int = 1
) -> Iterator[Source]:
    """Open a clip that `container.identify` named.

    Raises `UnreadableMedia`, `NoVideoStream`, `UnsupportedMedia`, and `LimitExceeded` for what the header alone tells.
    """
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": demuxer if demuxer != "mov" else "mov,mp4,m4a,3gp,3g2,mj2",
        "codec_whitelist": ",".join(DECODERS),
        "max_pixels": str(limits.decoder_pixels),
        "max_streams": "32",
    }
    if demuxer == "mov":
        check_index(data, limits)
        options |= {"enable_drefs": "0", "use_absolute_path": "0"}
    try:
        container = av.open(
            _Bytes(data),
            "r",
            format=demuxer,
            options=options,
            metadata_errors="replace",
            buffer_size=_BUFFER_BYTES,
            io_open=_refuse_to_open,
        )
    except (av.FFmpegError, ArithmeticError, ValueError):
        raise UnreadableMedia("The container cannot be read.", stage=STAGE) from None
    with container:
        yield _select(container, demuxer, limits, threads, memoryview(data).nbytes)


def _select(
    container: av.container.InputContainer, demuxer: Container, limits: MediaLimits, threads: int, size: int
) -> Source:
    streams = [stream for stream in container.streams.video if not stream.disposition & _ATTACHED_PICTURE]
    if not streams:
        raise NoVideoStream("The file has no video stream.", stage=STAGE)
    stream = streams[0]
    _check_codec(stream)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = av.stream.Discard.all
    context = stream.codec_context
    if context.width:
        limits.check_pixels(context.width, context.height)
    elif demuxer != "mpegts":
        # Only a transport stream may come without sizes in its header; here the decoder refused what it found.
        raise limits.pixels_exceeded("The picture size is larger than allowed, or is not stated")
    time_base = stream.time_base
    if not time_base:
        raise UnreadableMedia("The video stream states no unit of time.", stage=STAGE)
    context.options = {"max_pixels": str(limits.decoder_pixels)}
    context.thread_count = threads
    source = Source(container, stream, limits, time_base, size)
    limits.check_frames(source.frames)
    limits.check_decoded(source.frames * context.width * context.height)
    return source


def _check_codec(stream: VideoStream) -> None:
    # A codec that libav has no decoder for leaves the stream without a context.
    context = stream.codec_context
    if context is None or context.name not in DECODERS:
        accepted = ", ".join(sorted(DECODERS.values()))
        raise UnsupportedMedia(f"The video codec is not supported; accepted are {accepted}.", stage=STAGE)
    try:
        encrypted = context.codec_tag in _ENCRYPTED_TAGS
    except UnicodeDecodeError:
        encrypted = False
    if encrypted:
        raise UnsupportedMedia("The video is encrypted.", stage=STAGE)
