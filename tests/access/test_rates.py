"""How often a caller may ask."""

from hypothesis import given
from hypothesis import strategies as st

from server.access.rates import Rate, Rates


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_burst_is_let_in_then_the_rate_holds():
    """What is refused says when to come back, and coming back then is right."""
    clock = Clock()
    rates, rate = Rates(clock), Rate(per_s=2.0, burst=3)
    assert [rates.take("a", rate).wait_s for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    clock.now = 0.5
    taken = rates.take("a", rate)
    assert (taken.wait_s, taken.limit, taken.remaining, taken.window_s) == (0.0, 3, 0, 1.5)
    assert taken.reset_s == 1.5
    assert rates.take("a", rate).wait_s > 0


def test_callers_do_not_share_a_rate():
    """One that is over its rate costs nobody else."""
    rates = Rates(Clock())
    assert [rates.take(name, Rate(per_s=1.0)).wait_s for name in "aab"] == [0.0, 1.0, 0.0]


def test_a_rate_of_nothing_bounds_nothing():
    """There is no quota to tell."""
    assert Rates(Clock()).take("a", Rate()) is None


def test_without_a_burst_what_comes_in_a_second_may_come_at_once():
    """At least one."""
    assert (Rate(per_s=2.5).size, Rate(per_s=0.1).size, Rate(per_s=2.5, burst=7).size) == (3, 1, 7)


def test_of_very_many_callers_the_silent_ones_are_forgotten():
    """Memory does not grow with the subjects of tokens."""
    rates, rate = Rates(Clock(), most=2), Rate(per_s=0.001, burst=1)
    for name in "abac":
        rates.take(name, rate)
    assert rates.take("a", rate).wait_s > 0
    assert rates.take("b", rate).wait_s == 0


def test_a_rate_that_was_changed_holds_at_once():
    """A bucket is never fuller than the new one."""
    clock = Clock()
    rates = Rates(clock)
    rates.take("a", Rate(per_s=1.0, burst=100))
    assert rates.take("a", Rate(per_s=1.0, burst=2)).remaining == 1


@given(
    st.floats(0.01, 1000),
    st.integers(0, 50),
    st.lists(st.floats(0, 10, allow_nan=False), min_size=1, max_size=60),
)
def test_never_more_are_let_in_than_the_burst_and_the_rate_allow(per_s, burst, pauses):
    """Over any course of time, and who waits as told is let in."""
    clock = Clock()
    rates, rate = Rates(clock), Rate(per_s=per_s, burst=burst)
    let_in = 0
    for pause in pauses:
        clock.now += pause
        quota = rates.take("a", rate)
        assert 0 <= quota.remaining <= quota.limit
        let_in += quota.wait_s == 0
    assert let_in <= rate.size + clock.now * per_s + 1e-6
    while (wait_s := rates.take("a", rate).wait_s) == 0:
        pass
    clock.now += wait_s
    assert rates.take("a", rate).wait_s == 0
