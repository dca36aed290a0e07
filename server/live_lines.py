"""What `glimpse live` tells: replies of a stream as lines for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

import client
from client import Tally

_TYPES: Mapping[type, str] = {
    client.StreamOpened: "opened",
    client.FrameDropped: "frame_dropped",
    client.FrameRefused: "frame_refused",
    client.Onset: "onset",
    client.Candidate: "candidate",
    client.StreamEvent: "event",
    client.Withdrawn: "withdrawn",
    client.Reconnected: "reconnected",
    client.StreamStats: "stats",
}


def as_json(reply: client.StreamReply | client.StreamOpened) -> str | None:
    """One line of JSON; None for the result of a frame, of which there are as many as pictures."""
    kind = _TYPES.get(type(reply))
    if kind is None:
        return None
    told = asdict(reply)
    if isinstance(reply, client.StreamEvent):
        # Events of streams have neither.
        del told["event"]["pictures"], told["event"]["explanation"]
    return json.dumps({"type": kind, **told}, allow_nan=False) + "\n"


def as_text(reply: client.StreamReply) -> str | None:
    """One line for people about a movement, None for everything else."""
    match reply:
        case client.Candidate():
            return f"{reply.apex_s:9.3f} s  candidate  face {reply.track_id}\n"
        case client.StreamEvent():
            event = reply.event
            grade = ", ".join((event.evidence.grade, *event.evidence.reasons))
            return (
                f"{event.offset_s:9.3f} s  event      face {event.track_id}  {event.kind}  {_class(event)}"
                f"  onset {event.onset_s:.3f}  apex {event.apex_s:.3f}  {grade}\n"
            )
        case client.Withdrawn():
            return f"{'':11}  withdrawn  face {reply.track_id}  {reply.reason}\n"
        case _:
            return None


class Messages:
    """What whoever watches must know. What is wrong with pictures is told once, not with each of them."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def of(self, reply: client.StreamReply) -> str | None:
        """One line, None where there is nothing to say."""
        if isinstance(reply, client.Reconnected):
            return (
                f"connected again ({reply.message}; attempts: {reply.attempts}); without an answer:"
                f" {len(reply.unanswered)} frames, {len(reply.movements)} movements"
            )
        if isinstance(reply, client.FrameRefused) and reply.code not in self._told:
            self._told.add(reply.code)
            return f"frame {reply.frame_index} was refused: {reply.message} ({reply.code})"
        return None


def statistics(tally: Tally) -> str:
    """The whole stream in a line."""
    return (
        f"{tally.sent} frames: {tally.analysed} analysed, {tally.dropped} dropped, {tally.refused} refused,"
        f" {tally.unanswered} unanswered; lag {tally.lag_s(0.5) * 1e3:.0f} ms (99 %: {tally.lag_s(0.99) * 1e3:.0f} ms);"
        f" {tally.events} events, {tally.withdrawn} withdrawn, {tally.reconnects} reconnections"
    )


def _class(event: client.Event) -> str:
    label = "withheld" if event.abstained else event.label
    return f"{label} {event.confidence:.2f}"
