"""The resting level."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.spotting.baseline import _knots, _Rest, runs


@settings(max_examples=60, deadline=None)
@given(
    step=st.floats(0.004, 0.2),
    lengths=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 20)), min_size=1, max_size=5),
    seed=st.integers(0, 1000),
)
def test_knots_are_the_means_of_quarters_of_a_second(step, lengths, seed):
    """Each rest is cut into parts of nearly a quarter of a second; each counts once, at its middle, by its mean."""
    segments, start = [], 0
    zero = (0.0, 0.0)
    for length, gap in lengths:
        segments.append(_Rest(start, start + length, 0.0, 0.0, zero, zero, zero))
        start += length + gap
    grid = np.arange(start + 1) * step
    place = np.random.default_rng(seed).standard_normal((start + 1, 2)).astype(np.float32)
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(place, axis=0, dtype=np.float64)])
    ((times, values),) = _knots(grid, sums[:, None], [segments])
    at = 0
    for rest in segments:
        count = max(round((rest.stop - rest.start) * step / 0.25), 1)
        part = slice(at, at + count)
        edges = [rest.start + (rest.stop - rest.start) * n // count for n in range(count)]
        edges.append(rest.stop)
        for number, (low, high) in enumerate(pairwise(edges)):
            np.testing.assert_allclose(times[part][number], grid[low:high].mean(), atol=1e-9)
            np.testing.assert_allclose(values[part][number], place[low:high].mean(axis=0), atol=1e-5)
        at += count
    assert at == len(times) == len(values)


def test_runs_are_those_of_each_column_in_order():
    """Runs at either end of a column count, and a column without any has none."""
    flags = np.array([[1, 0, 0], [1, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 1]], dtype=np.bool_)
    assert [each.tolist() for each in runs(flags)] == [[0, 0, 2, 2], [0, 3, 1, 4], [2, 5, 3, 5]]
