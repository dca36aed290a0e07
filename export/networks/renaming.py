"""State dictionaries under the names of somebody else's code."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from torch import Tensor


def renamed(state: Mapping[str, Tensor], rules: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """`state` by the names that the first fitting of `rules` makes: a pattern for a whole name, and what becomes of it.

    A name that no rule fits stays.
    """
    return {_renamed(name, rules): value for name, value in state.items()}


def _renamed(name: str, rules: Sequence[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        found = re.fullmatch(pattern, name)
        if found:
            return found.expand(replacement)
    return name
