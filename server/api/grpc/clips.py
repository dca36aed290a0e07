"""`Analyze`: a clip in pieces, then its progress and its report."""

from __future__ import annotations

import asyncio
from typing import Any

from server.api.gateway import Gateway
from server.api.grpc import convert, requests
from server.api.grpc.calls import Call
from server.api.limits import Ticket
from server.api.pace import Pace
from server.api.progress import Pending
from server.errors import DeadlineExceeded, FaceLost, OptionError
from server.secrecy import wipe
from server.spans import span
from server.types import AnalyzeOptions, Report


async def analyze(call: Call, gateway: Gateway) -> None:
    """Serve one call. A face that is lost is an error after the report of what was seen until then."""
    deadline = gateway.deadline(call.arrived, call.wanted_s)
    clip = bytearray()
    try:
        with gateway.admission.enter("analyze") as ticket:
            with span("upload") as told:
                options = await _upload(call, gateway, ticket, clip, deadline)
                told.set({"glimpse.upload.bytes": len(clip)})
            await _answer(call, gateway, ticket, options, clip, deadline=deadline)
    finally:
        wipe(clip)


async def _answer(
    call: Call, gateway: Gateway, ticket: Ticket, options: AnalyzeOptions, clip: bytearray, *, deadline: float
) -> None:
    longest_s = gateway.limits.upload_idle_s
    pending = Pending()
    work = asyncio.ensure_future(
        gateway.analyze(ticket, clip, options, request_id=call.request_id, deadline=deadline, on_progress=pending)
    )
    work.add_done_callback(lambda _: pending.wake())
    try:
        report = await _followed(call, work, pending, longest_s)
    except FaceLost as error:
        if seen := error.details.get("report"):
            await call.write(convert.report(seen), longest_s)
        raise
    finally:
        work.cancel()
        await asyncio.wait({work})
    with span("report"):
        await call.write(convert.report(report), longest_s)


async def _followed(call: Call, work: asyncio.Future[Report], pending: Pending, longest_s: float) -> Report:
    while not work.done():
        await pending.changed()
        while not pending.empty:
            await call.write(convert.progress(pending.take()), longest_s)
    return work.result()


async def _upload(call: Call, gateway: Gateway, ticket: Ticket, clip: bytearray, deadline: float) -> AnalyzeOptions:
    """The options, and the bytes into `clip`; then the ticket's place is among those that wait or are worked on."""
    pace = Pace(gateway.limits)
    options: AnalyzeOptions | None = None
    while (message := await _next(call, pace, deadline)) is not None:
        part = message.WhichOneof("part")
        if options is None:
            if part != "options":
                raise OptionError("the first message must hold the options", option="options", stage="upload")
            options = requests.analyze_options(message.options)
        elif part == "data":
            ticket.hold(len(message.data))
            pace.advance(len(message.data))
            clip += message.data
        else:
            raise OptionError("every message after the first must hold data", option="data", stage="upload")
    if options is None:
        raise OptionError("no message came; the first must hold the options", option="options", stage="upload")
    ticket.uploaded()
    return options


async def _next(call: Call, pace: Pace, deadline: float) -> Any:
    try:
        async with asyncio.timeout_at(min(pace.stalled_at, deadline)):
            return await call.read()
    except TimeoutError:
        late = deadline <= pace.stalled_at
        raise DeadlineExceeded("the upload did not end in time" if late else pace.complaint, stage="upload") from None
