"""Expected waits, by a clock that the tests turn."""

import pytest

from server.api.expectation import ServiceTime, ahead


class Clock:
    """Stands still until it is told."""

    now = 0.0

    def __call__(self):
        return self.now


def test_a_tenant_waits_for_its_own_and_for_one_of_each_other_in_turn():
    """A flood of forty counts once before the first request of somebody else, twice before the second."""
    assert ahead(0, [40]) == 1
    assert ahead(1, [40]) == 3
    assert ahead(40, [1, 1]) == 42
    assert ahead(0, []) == 0


@pytest.mark.parametrize(("together", "workers", "expected"), [(1, 2, 0.5), (2, 2, 0.5), (8, 2, 0.5), (1, 1, 1.0)])
def test_the_service_time_is_that_of_a_full_service(together, workers, expected):
    """Whether requests came alone or eight at a time: one second of work on two workers is an answer each half."""
    clock = Clock()
    service = ServiceTime(workers, clock)
    began = [service.begin() for _ in range(together)]
    clock.now = max(1.0, together / workers)
    for each in began:
        service.end(each, answered=True)
    assert service.seconds == pytest.approx(expected)


def test_a_request_that_was_cancelled_tells_nothing():
    """It may have ended at any time."""
    clock = Clock()
    service = ServiceTime(1, clock)
    begun = service.begin()
    clock.now = 5.0
    assert service.end(begun, answered=False) == 5.0
    assert service.seconds is None
