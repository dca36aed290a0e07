"""Cohen's kappa (Cohen, Educational and Psychological Measurement 20, 1960)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Table: TypeAlias = Mapping[tuple[str, str], int]
"""How often the machine said the first and the human the second."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """`value` at most 1, None where it is not defined, and then `undefined` says why; `agreed` the share of equal
    answers among `items`, None where there are none.
    """

    value: float | None
    agreed: float | None
    items: int
    undefined: str = ""


def cohen_kappa(table: Table, items: str) -> Kappa:
    """Agreement beyond what the shares of each class make likely by chance. `items` says what was counted.

    It is not defined without items, and where both gave one and the same class to all: then there is nothing that
    chance alone would not explain.
    """
    total = sum(table.values())
    if not total:
        return Kappa(None, None, 0, f"no {items}")
    machine, human = Counter[str](), Counter[str]()
    for (ours, theirs), count in table.items():
        machine[ours] += count
        human[theirs] += count
    equal = sum(count for (ours, theirs), count in table.items() if ours == theirs)
    # In whole numbers, so that a chance of exactly 1 is known as such.
    chance = sum(machine[name] * human[name] for name in machine)
    if chance == total * total:
        return Kappa(None, equal / total, total, f"all {items} are of one class for both: {next(iter(machine))}")
    return Kappa((equal * total - chance) / (total * total - chance), equal / total, total)
