"""How often a broken stream is opened again, and after which pauses."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """At most `attempts` in a row without an answer to any frame, which is about a minute by default; 0 for none.

    The pause before each is random between 0 and a bound that doubles from `first_s` to `most_s`, so that the clients
    of a service that restarts do not come back all at once; never shorter than what the service asked for, which is
    itself held to `most_s`.
    """

    attempts: int = 24
    first_s: float = 0.2
    most_s: float = 5.0

    def pause_s(self, attempt: int, asked_s: float | None = None) -> float:
        """Seconds before an attempt, counted from 1."""
        bound = min(self.most_s, self.first_s * 2.0 ** (attempt - 1))
        return max(random.uniform(0.0, bound), min(asked_s or 0.0, self.most_s))
