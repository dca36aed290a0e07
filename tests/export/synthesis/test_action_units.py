"""The tables of action units."""

from __future__ import annotations

import pytest

from export.labels import LABELS
from export.synthesis.action_units import ANCHORS, BUMPS, COMBINATIONS, INCIDENTAL_UNITS, Act


def test_every_bump_has_an_anchor() -> None:
    """No unit moves a point that is not on the face, and no point is without use."""
    used = {bump.anchor for bumps in BUMPS.values() for bump in bumps}
    assert used == set(ANCHORS)


def test_every_combination_moves_something() -> None:
    """All units of all classes, and those that come along, have bumps."""
    units = {act.unit for entries in COMBINATIONS.values() for entry in entries for act in entry.acts}
    assert units | set(INCIDENTAL_UNITS) <= set(BUMPS)
    assert set(COMBINATIONS) == set(LABELS)


def test_no_combination_is_listed_twice_in_a_class() -> None:
    """A weight is written once."""
    for entries in COMBINATIONS.values():
        keys = [frozenset(entry.acts) for entry in entries]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize(("label", "acts", "share"), [("negative", (Act(4),), 0.20), ("positive", (Act(12),), 0.38)])
def test_commonest_combination(label: str, acts: tuple[Act, ...], share: float) -> None:
    """Brow lowering alone leads the negative class, the lip corner puller alone the positive one."""
    entries = COMBINATIONS[label]
    first = max(entries, key=lambda entry: entry.weight)
    assert first.acts == acts
    assert first.weight / sum(entry.weight for entry in entries) == pytest.approx(share, abs=0.01)


def test_one_sided_units_are_marked() -> None:
    """Contempt is a one-sided dimpler."""
    assert any(entry.acts == (Act(14, unilateral=True),) for entry in COMBINATIONS["negative"])
