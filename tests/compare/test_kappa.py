"""Cohen's kappa against numbers worked out by hand, and its undefined cases."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.compare.kappa import cohen_kappa


def test_a_table_worked_out_by_hand():
    """Agreed: (20 + 15) / 50 = 0.7. By chance: (25 * 30 + 25 * 20) / 50^2 = 0.5. Kappa: 0.2 / 0.5 = 0.4."""
    found = cohen_kappa({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}, "items")
    assert (found.value, found.agreed, found.items, found.undefined) == (pytest.approx(0.4), 0.7, 50, "")


def test_three_classes_worked_out_by_hand():
    """Rows 10 2 0, 1 8 1, 0 2 6: agreed 24/30; by chance (12 * 11 + 10 * 12 + 8 * 7) / 900 = 308/900.

    Kappa: (720 - 308) / (900 - 308) = 412/592.
    """
    rows = {"a": (10, 2, 0), "b": (1, 8, 1), "c": (0, 2, 6)}
    table = {(ours, theirs): n for ours, row in rows.items() for theirs, n in zip("abc", row, strict=True)}
    assert cohen_kappa(table, "items").value == pytest.approx(412 / 592)


@pytest.mark.parametrize(
    ("table", "why"),
    [({}, "no events"), ({("a", "a"): 7}, "all events are of one class for both: a")],
)
def test_what_is_not_defined_is_said(table, why):
    """Neither 0 nor 1: without items, and where both use one class alone, there is no kappa."""
    found = cohen_kappa(table, "events")
    assert (found.value, found.undefined) == (None, why)


@pytest.mark.parametrize("table", [{("a", "b"): 3}, {("a", "a"): 2, ("a", "b"): 2}])
def test_one_class_of_one_side_is_no_better_than_chance(table):
    """Where one side alone has a single class, kappa is defined, and 0."""
    assert cohen_kappa(table, "events").value == 0.0


@settings(max_examples=50)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abcd")), min_size=1, max_size=60))
def test_the_formula_of_weights_gives_the_same(pairs):
    """1 less the disagreement over the disagreement by chance, from the matrix of counts."""
    matrix = np.zeros((4, 4))
    for ours, theirs in pairs:
        matrix["abcd".index(ours), "abcd".index(theirs)] += 1
    chance = np.outer(matrix.sum(1), matrix.sum(0)) / len(pairs)
    apart = 1 - np.eye(4)
    found = cohen_kappa({pair: pairs.count(pair) for pair in pairs}, "items").value
    if (chance * apart).sum() == 0:
        assert found is None
    else:
        assert found == pytest.approx(1 - (matrix * apart).sum() / (chance * apart).sum())
