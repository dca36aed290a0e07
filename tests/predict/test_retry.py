"""Retries: how long each pauses, and how many all callers together may make."""

from server.predict.retry import Retry, RetryBudget


def test_pauses_grow_and_are_bounded():
    """Random, up to twice as long with each failure, never past the longest."""
    retry = Retry(base_s=0.1, longest_s=0.3)
    for failed, most in ((1, 0.1), (2, 0.2), (3, 0.3), (9, 0.3)):
        assert all(0.0 <= retry.pause_s(failed) <= most for _ in range(50))


def test_retries_are_a_share_of_the_calls():
    """After the first few, one retry for each ten calls and no more, however many callers fail."""
    budget = RetryBudget(share=0.1, per_second=0.0, burst=3, clock=lambda: 0.0)
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
    granted = 0
    for _ in range(1000):
        budget.called()
        granted += budget.take()
    assert 99 <= granted <= 100


def test_a_quiet_service_may_try_again_too():
    """Time fills the bucket as well, up to its size."""
    now = 0.0
    budget = RetryBudget(share=0.1, per_second=0.5, burst=2, clock=lambda: now)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    now = 2.0
    assert [budget.take() for _ in range(2)] == [True, False]
    now = 1000.0
    assert [budget.take() for _ in range(3)] == [True, True, False]
