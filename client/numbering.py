"""Numbers of faces and movements that never mean two things, though every connection counts from 1 anew."""

from __future__ import annotations

from dataclasses import replace

from client.live_types import Candidate, FrameReply, FrameResult, MovementReply, Onset, StreamEvent, Withdrawn


class Numbering:
    """Counts on over connections, and knows the movements that are under way."""

    def __init__(self) -> None:
        self._faces = 0
        self._movements = 0
        self._most_faces = 0
        self._most_movements = 0
        self._open: set[int] = set()

    def onward(self, reply: FrameReply | MovementReply) -> FrameReply | MovementReply:
        """The reply with numbers that go on from those of the connections before."""
        match reply:
            case FrameResult():
                if not self._faces:
                    self._most_faces = max([self._most_faces, *(face.track_id for face in reply.faces)])
                    return reply
                return replace(
                    reply, faces=tuple(replace(face, track_id=self._face(face.track_id)) for face in reply.faces)
                )
            case Onset() | Candidate():
                movement = self._movement(reply.movement)
                self._open.add(movement)
                return replace(reply, movement=movement, track_id=self._face(reply.track_id))
            case Withdrawn():
                movement = self._movement(reply.movement)
                self._open.discard(movement)
                return replace(reply, movement=movement, track_id=self._face(reply.track_id))
            case StreamEvent():
                movement = self._movement(reply.movement)
                self._open.discard(movement)
                event = replace(reply.event, track_id=self._face(reply.event.track_id))
                return StreamEvent(movement, event)
            case _:
                return reply

    def restart(self) -> tuple[int, ...]:
        """A new connection counts from 1; the movements that were under way, which are forgotten."""
        self._faces, self._movements = self._most_faces, self._most_movements
        gone = tuple(sorted(self._open))
        self._open.clear()
        return gone

    def _face(self, number: int) -> int:
        self._most_faces = max(self._most_faces, self._faces + number)
        return self._faces + number

    def _movement(self, number: int) -> int:
        self._most_movements = max(self._most_movements, self._movements + number)
        return self._movements + number
