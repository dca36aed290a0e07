"""`glimpse live`: a camera, a file or a pipe to a running service, and what it sees."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from server import console
from server.cli_tls import CaFileOption, CertificateOption, KeyOption, tls_of
from server.settings import load

if TYPE_CHECKING:
    from client import AsyncStream, Encode, EventKind, Frame, StreamOptions, Tls

_NOMINAL_RATE = 30.0


class Policy(StrEnum):
    """What happens to a frame for which there is no room."""

    WAIT = "wait"
    DROP_OLDEST = "drop-oldest"
    DROP_LATEST = "drop-latest"


class Pictures(StrEnum):
    """How pictures travel."""

    JPEG = "jpeg"
    GRAY = "gray"
    BGR = "bgr"


class Whose(StrEnum):
    """Whose expressions."""

    LARGEST = "largest"
    ALL = "all"


def live(  # noqa: PLR0917 - each is an option of the command line
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="Number of a camera, a video file, or - for JPEGs on stdin.")
    ],
    target: Annotated[
        str, typer.Option(help="gRPC address of the service, host:port; grpcs://host:port under TLS.")
    ] = "127.0.0.1:8081",
    model: Annotated[str | None, typer.Option(help="Name of the model.")] = None,
    model_version: Annotated[str | None, typer.Option(help="Version of the model.")] = None,
    faces: Annotated[Whose, typer.Option(help="Whose expressions.")] = Whose.LARGEST,
    kinds: Annotated[str, typer.Option(help="Events to report.")] = "micro,macro",
    policy: Annotated[
        Policy | None, typer.Option(help="Where frames come too fast. With wait, a file goes as fast as it can.")
    ] = None,
    rate: Annotated[float | None, typer.Option(min=1.0, max=1000.0, help="Frames per second: camera, stdin.")] = None,
    pictures: Annotated[Pictures, typer.Option(help="How pictures travel.")] = Pictures.JPEG,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per reply.")] = False,
    ca_file: CaFileOption = None,
    client_certificate: CertificateOption = None,
    client_key: KeyOption = None,
) -> None:
    """Follow the faces of a live source by a running service, until it ends or Ctrl-C."""
    from client import ClientError, StreamOptions

    unknown = sorted(set(kinds.split(",")) - {"micro", "macro"})
    if unknown:
        raise typer.BadParameter(f"--kinds takes micro and macro, not {', '.join(unknown)}")
    chosen = policy or Policy.DROP_OLDEST
    try:
        frames, frame_rate = _opened(source, chosen, rate, pictures)
        options = StreamOptions(
            model=model,
            version=model_version,
            faces="all" if faces is Whose.ALL else "largest",
            kinds=cast("frozenset[EventKind]", frozenset(kinds.split(","))),
            policy="wait"
            if chosen is Policy.WAIT
            else "drop_oldest"
            if chosen is Policy.DROP_OLDEST
            else "drop_latest",
            frame_rate=frame_rate,
        )
        tls = tls_of(ca_file, client_certificate, client_key)
        asyncio.run(_follow(target, tls, frames, options, json=json))
    except ClientError as error:
        console.say(f"glimpse: {error}")
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(1) from None


def _opened(source: str, policy: Policy, rate: float | None, pictures: Pictures) -> tuple[Iterable[Frame], float]:
    """The frames of a source and how many there are per second. Raises `client.SourceError`."""
    from client.sources import VideoFile, camera, mjpeg, paced

    encode: Encode = "jpeg" if pictures is Pictures.JPEG else "raw"
    gray = pictures is Pictures.GRAY
    if source == "-":
        if sys.stdin.isatty():
            raise typer.BadParameter("stdin is a terminal; pipe JPEGs into it")
        return mjpeg(sys.stdin.buffer, rate=rate or _NOMINAL_RATE), rate or _NOMINAL_RATE
    if source.isdecimal():
        return camera(int(source), rate=rate, encode=encode, gray=gray), rate or _NOMINAL_RATE
    if rate is not None:
        raise typer.BadParameter("a file has its own times; --rate is for cameras and stdin")
    if not Path(source).is_file():
        raise typer.BadParameter(f"{source}: no such file")
    video = VideoFile(source, encode=encode, gray=gray)
    return (video if policy is Policy.WAIT else paced(video)), video.rate


async def _follow(target: str, tls: Tls | None, frames: Iterable[Frame], options: StreamOptions, *, json: bool) -> None:
    """Tell everything that comes, and the statistics however the stream ends. Raises `client.ClientError`."""
    from client import AsyncClient
    from server.remote import credential_of

    options_of_client = credential_of(load().client)
    async with AsyncClient(target, tls=tls or False, **options_of_client) as service, service.stream(options) as stream:
        _end_on_signals(stream)
        try:
            await _tell(stream, frames, json=json)
        finally:
            from server.live_lines import statistics

            console.say(statistics(stream.tally))


async def _tell(stream: AsyncStream, frames: Iterable[Frame], *, json: bool) -> None:
    from server import live_lines, live_meter

    if json:
        console.data(live_lines.as_json(stream.opened) or "")
    messages = live_lines.Messages()
    with live_meter.shown(stream.tally, lines=not json) as meter:
        async for reply in stream.follow(frames):
            if line := live_lines.as_json(reply) if json else live_lines.as_text(reply):
                console.data(line)
            if message := messages.of(reply):
                console.say(message)
            if meter is not None:
                meter.take(reply)


def _end_on_signals(stream: AsyncStream) -> None:
    """The first signal lets what was sent be answered; the second one ends at once."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    ending = False

    def end() -> None:
        nonlocal ending
        if ending:
            task.cancel()
        ending = True
        stream.finish()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
