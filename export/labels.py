"""The three classes of the MEGC2019 composite protocol, in the order of every tensor, file and table here."""

from __future__ import annotations

LABELS: tuple[str, ...] = ("negative", "positive", "surprise")
