"""Bytes of a clip to frames: one forward pass, in memory that does not grow with the clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import av

from server.errors import TooFewFrames, TruncatedMedia, UnreadableMedia
from server.media.container import announces_more, identify
from server.media.demux import Source, opened
from server.media.limits import STAGE, MediaLimits
from server.media.pixels import Orientation, PixelReader
from server.media.timeline import Timeline
from server.types import ClipInfo, Encoded, Frame, ReportWarning

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_EXACT_TIMES = {"mov", "matroska"}
"""Containers that store presentation times, so that a frame is known by its time stamp after a seek."""
_INTRA = 1  # AV_PICTURE_TYPE_I
_CUT_TOLERANCE_S = 0.25


class ClipDecoder:
    """Iterate once for the frames; then `info`, `warnings` and `each_of` tell and give the rest.

    Frames stay valid as long as they are held: each keeps its decoded picture (1.5 bytes a pixel for 4:2:0).
    Iterating raises any `MediaError`, or `LimitExceeded` at the frame that passes a limit.
    """

    def __init__(self, data: Encoded | memoryview, limits: MediaLimits, *, threads: int = 1) -> None:
        self._data = data
        self._limits = limits
        self._threads = threads
        self._container = identify(data)
        self._corrupt = 0
        self._undecodable = 0
        self._cut = announces_more(data, self._container)
        self._resized = False
        self._codec = ""
        self._size = (0, 0)
        self._timeline: Timeline | None = None
        self._reader: PixelReader | None = None

    def __iter__(self) -> Iterator[Frame]:
        """The frames in presentation order."""
        self._check_length()
        with opened(self._data, self._container, self._limits, threads=self._threads) as source:
            self._limits.check_seconds(source.duration_s - _CUT_TOLERANCE_S)
            self._codec = source.codec
            timeline = self._timeline = Timeline(source.time_base, source.nominal_gap)
            for picture in source.pictures():
                frame = self._accept(picture, timeline)
                if frame is not None:
                    yield frame
            self._conclude(source, timeline)

    @property
    def damaged(self) -> int:
        """Frames left out because they cannot be decoded whole; complete once the iteration has ended."""
        return self._corrupt + self._undecodable

    @property
    def info(self) -> ClipInfo:
        """What has been decoded so far; of the whole clip once the iteration has ended."""
        timeline = self._timeline
        if timeline is None or not len(timeline):
            return ClipInfo(0.0, 0, 0.0, *self._size, self._codec)
        return ClipInfo(timeline.duration_s, len(timeline), 1 / timeline.gap_s, *self._size, self._codec)

    @property
    def warnings(self) -> tuple[ReportWarning, ...]:
        """What the reader of a report should know about the clip; complete once the iteration has ended."""
        skipped = self._timeline.skipped if self._timeline else 0
        found = {
            "clip-truncated": self._cut and "The clip ends earlier than its header says; what was there is analysed.",
            "frames-corrupt": self.damaged > 0 and f"{self.damaged} damaged frames were left out.",
            "frames-out-of-order": skipped > 0 and f"{skipped} frames without a time of their own were left out.",
            "resolution-changed": self._resized
            and "The resolution changes within the clip; all frames were brought to the first.",
        }
        return tuple(ReportWarning(code, message) for code, message in found.items() if message)

    def each_of(self, indices: Iterable[int]) -> Iterator[Frame]:
        """Decode some frames again, in order, identical to those of the forward pass and numbered as there.

        After a pass, decoding starts at the key frame before each where the container's time stamps make that exact.
        Raises `IndexError` for a frame that the clip does not have, and whatever the pass would raise.
        """
        wanted = sorted(set(indices))
        if wanted and wanted[0] < 0:
            raise IndexError(wanted[0])
        found = 0
        for frame in self._by_seeking(wanted):
            found += 1
            yield frame
        yield from self._by_walking(wanted[found:])

    def _check_length(self) -> None:
        with opened(self._data, self._container, self._limits) as source:
            if not source.frames:
                source.check_length()

    def _accept(self, picture: VideoFrame, timeline: Timeline) -> Frame | None:
        if picture.is_corrupt:
            # A smeared picture shows motion that was not there; a gap in time does no harm.
            self._corrupt += 1
            return None
        self._limits.check_pixels(picture.width, picture.height)
        entry = picture.key_frame and picture.pict_type == _INTRA
        time_s = timeline.place(picture.pts, duration=picture.duration, entry=entry)
        if time_s is None:
            return None
        self._limits.check_frames(len(timeline))
        self._limits.check_seconds(time_s)
        return self._frame(picture, len(timeline) - 1, time_s)

    def _frame(self, picture: VideoFrame, index: int, time_s: float) -> Frame:
        if self._reader is None:
            self._reader = PixelReader(Orientation.of(picture))
            self._size = self._reader.orientation.size(picture.width, picture.height)
        reader = self._reader
        width, height = reader.orientation.size(*self._size)
        if (picture.width, picture.height) != (width, height):
            self._resized = True
            picture = reader.resize(picture, width, height)
        return Frame(index, time_s, reader.luma(picture), partial(reader.rgb, picture))

    def _conclude(self, source: Source, timeline: Timeline) -> None:
        self._undecodable = source.undecodable
        ended_s = timeline.duration_s
        self._cut = self._cut or source.cut or ended_s < source.duration_s - max(_CUT_TOLERANCE_S, 2 * timeline.gap_s)
        if len(timeline) >= 2:
            return
        if self._cut:
            raise TruncatedMedia("The file ends before a second frame.", stage=STAGE)
        if source.undecodable or self._corrupt:
            raise UnreadableMedia("The video stream is damaged: no motion can be decoded.", stage=STAGE)
        message = f"The clip has {len(timeline)} frame(s) with a time of their own; at least 2 are needed."
        raise TooFewFrames(message, stage=STAGE)

    def _by_walking(self, wanted: Sequence[int]) -> Iterator[Frame]:
        if not wanted:
            return
        there = frozenset(wanted)
        for frame in ClipDecoder(self._data, self._limits, threads=self._threads):
            if frame.index in there:
                yield frame
            if frame.index >= wanted[-1]:
                return
        raise IndexError(wanted[-1])

    def _by_seeking(self, wanted: Sequence[int]) -> Iterator[Frame]:
        """As many of `wanted`, from the first on, as can be reached exactly."""
        timeline = self._timeline
        if timeline is None or self._container not in _EXACT_TIMES or not wanted:
            return
        with opened(self._data, self._container, self._limits, threads=self._threads) as source:
            position, pictures = 0, source.pictures()
            for target in wanted:
                if target >= len(timeline):
                    return
                entry = timeline.entry_before(target)
                if entry > position:
                    try:
                        source.seek(timeline.ticks(entry))
                    except av.FFmpegError:
                        return
                    pictures = _from_entry(source.pictures(), timeline)
                frame = self._read_to(target, pictures, timeline)
                if frame is None:
                    return
                yield frame
                position = target + 1

    def _read_to(self, target: int, pictures: Iterator[VideoFrame], timeline: Timeline) -> Frame | None:
        for picture in pictures:
            index = None if picture.is_corrupt else timeline.index(picture.pts)
            if index == target:
                return self._frame(picture, target, timeline.time_s(target))
            if index is not None and index > target:
                return None
        return None


def _from_entry(pictures: Iterator[VideoFrame], timeline: Timeline) -> Iterator[VideoFrame]:
    """Leave out what comes before a frame at which the pass saw that decoding can start: pictures that lean on others
    from before the seek.
    """
    started = False
    for picture in pictures:
        index = timeline.index(picture.pts)
        started = started or (index is not None and index == timeline.entry_before(index))
        if started:
            yield picture


def open_clip(data: Encoded | memoryview, limits: MediaLimits, *, threads: int = 1) -> ClipDecoder:
    """Prepare the forward pass over a clip; iterate over what is returned.

    Raises `EmptyMedia`, `UnreadableMedia`, `TruncatedMedia`, `NoVideoStream`, `UnsupportedMedia` and `TooFewFrames`
    for what the first bytes tell; the iteration raises the rest.
    """
    return ClipDecoder(data, limits, threads=threads)


def probe(data: Encoded | memoryview, limits: MediaLimits) -> ClipInfo:
    """What the header says, at the cost of one decoded frame; `frames` and `fps` are estimates, 0 where unknown.

    Raises as `open_clip` and its iteration, for what shows so early.
    """
    container = identify(data)
    with opened(data, container, limits) as source:
        picture = next(source.pictures(), None)
        if picture is None:
            raise UnreadableMedia("No frame can be decoded.", stage=STAGE)
        width, height = Orientation.of(picture).size(picture.width, picture.height)
        frames = source.frames or round(source.duration_s * source.fps)
        return ClipInfo(source.duration_s, frames, source.fps, width, height, source.codec)
