"""Bytes to text, and frame rates from what a table says of single events."""

from __future__ import annotations

from collections.abc import Iterable

from server.annotation.types import AnnotationError


def decoded(data: bytes, file: str) -> str:
    """UTF-8, or UTF-16 with its mark, as Excel writes it. Raises `AnnotationError` for anything else."""
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AnnotationError("the text is not UTF-8; save it as UTF-8", file=file, place=f"row {line}") from None
    if "\0" in text:
        raise AnnotationError("it is no text", file=file)
    return text


def frame_rate(pairs: Iterable[tuple[float, float]]) -> float | None:
    """Frames per second of a clip whose events are told as (frame, seconds); None where they say nothing.

    The latest of them says it best, since seconds are rounded.
    """
    frame, seconds = max(pairs, key=lambda pair: pair[1], default=(0.0, 0.0))
    return frame / seconds if frame > 0 and seconds > 0 else None
