"""The frames of spotted movements, decoded anew in one pass: only those of what is under way are held."""

from __future__ import annotations

from collections.abc import Sequence

from server.media.decode import ClipDecoder
from server.pipeline.event_frames import EventFrames
from server.types import Frame


class SecondPass:
    """The frames of `plans`, which are in the order in which their last frames come."""

    def __init__(self, decoder: ClipDecoder, plans: Sequence[EventFrames]) -> None:
        self._frames = iter(decoder.each_of({index for plan in plans for index in plan.frames}))
        self._ahead = list(plans)
        self._held: dict[int, Frame] = {}

    def forward_to(self, plan: EventFrames) -> None:
        """Decode up to the last frame of `plan`, the next one; what no later plan needs is let go of at the next call.

        Raises what decoding raises.
        """
        needed = min(other.first for other in self._ahead)
        self._held = {index: frame for index, frame in self._held.items() if index >= needed}
        while plan.last not in self._held:
            frame = next(self._frames)
            self._held[frame.index] = frame
        self._ahead.remove(plan)

    def frames(self, indices: Sequence[int], time_s: float) -> list[Frame]:
        """Those frames; `time_s` is for sources that may have lost them."""
        return self.there(indices)

    def there(self, indices: Sequence[int]) -> list[Frame]:
        """Those frames."""
        return [self._held[index] for index in indices]
