"""The circuit breaker, on a clock that the test moves."""

import pytest

from server.errors import BackendUnavailable
from server.predict.breaker import CircuitBreaker


class Clock:
    """A clock that stands until it is set."""

    now = 0.0

    def __call__(self):
        """Seconds."""
        return self.now


@pytest.fixture
def clock():
    """At 0 s."""
    return Clock()


@pytest.fixture
def breaker(clock):
    """Opens after 3 failures, for 5 s."""
    return CircuitBreaker(failures=3, cool_off_s=5.0, clock=clock)


def fail(breaker, times=1):
    """Calls that are admitted and fail."""
    for _ in range(times):
        breaker.admit()
        breaker.failed()


def test_opens_after_failures_in_a_row(breaker):
    """The third failure in a row opens it, and calls are told when to come back."""
    fail(breaker, 2)
    breaker.admit()
    breaker.failed()
    with pytest.raises(BackendUnavailable) as caught:
        breaker.admit()
    assert caught.value.details["retry_after_s"] == 5.0


def test_an_answer_in_between_starts_the_count_anew(breaker):
    """Failures that are not in a row do not open it."""
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open


def test_one_call_may_try_after_the_pause(breaker, clock):
    """After the pause one call is let through, a second waits for its outcome, and success closes the breaker."""
    fail(breaker, 3)
    clock.now = 5.0
    breaker.admit()
    with pytest.raises(BackendUnavailable):
        breaker.admit()
    breaker.succeeded()
    breaker.admit()
    assert not breaker.is_open


def test_a_failed_try_opens_it_for_another_pause(breaker, clock):
    """The pause starts again when the try fails."""
    fail(breaker, 3)
    clock.now = 5.0
    fail(breaker)
    clock.now = 9.9
    with pytest.raises(BackendUnavailable):
        breaker.admit()
    clock.now = 10.0
    breaker.admit()


def test_a_try_that_is_given_up_leaves_the_place_free(breaker, clock):
    """A caller that leaves during the try does not keep the breaker open for ever."""
    fail(breaker, 3)
    clock.now = 5.0
    breaker.admit()
    breaker.abandoned()
    breaker.admit()


def test_late_failures_do_not_prolong_the_pause(breaker, clock):
    """Calls that were under way when it opened and fail later do not postpone the try."""
    fail(breaker, 3)
    clock.now = 4.0
    breaker.failed()
    clock.now = 5.0
    breaker.admit()
