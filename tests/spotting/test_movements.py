"""Runs above a threshold as movements, and movements as events."""

import numpy as np

from server.spotting.movements import Movement, group, movements_in


def test_a_run_of_thousands_of_summits_is_cut_into_all_of_them():
    """A region that goes to and fro for minutes without coming to rest is as many movements as it has summits."""
    k = np.arange(30_000)
    size = ((0.03 + 0.03 * k / len(k)) * (1 + 0.5 * np.sin(2 * np.pi * k / 10))).astype(np.float32)
    found = movements_in(size[:, None], np.array([0.01], dtype=np.float32))
    assert len(found) == 3000
    assert [movement.apex for movement in found] == sorted(movement.apex for movement in found)


def test_an_event_is_every_movement_that_overlaps_its_strongest_one_by_half():
    """Movements anywhere in a long clip join the strongest one that they share half of the shorter one's time with."""
    rng = np.random.default_rng(0)
    starts, lengths = rng.integers(0, 20_000, 600), rng.integers(1, 700, 600)
    excess = rng.permutation(600) + 1.0
    movements = [
        Movement(0, int(start), int(start), int(start + length), float(e))
        for start, length, e in zip(starts, lengths, excess, strict=True)
    ]
    leads = []
    for movement in sorted(movements, key=lambda m: -m.excess):
        joined = any(
            min(lead.stop, movement.stop) - max(lead.start, movement.start)
            >= 0.5 * min(lead.stop - lead.start, movement.stop - movement.start)
            for lead in leads
        )
        leads += [] if joined else [movement]
    events = group(movements)
    assert [event[0] for event in events] == leads
    assert sorted(m.excess for event in events for m in event) == sorted(excess)
