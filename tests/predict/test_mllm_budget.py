"""What may be spent at an endpoint."""

import pytest

from server.errors import BudgetSpent
from server.predict.mllm_budget import Allowance, Budget


class Clock:
    """Seconds that the test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def budget(**changes):
    clock = Clock()
    values = {"requests_per_hour": 3, "tokens_per_day": 10_000, **changes}
    return Budget(Allowance(**values), clock=clock), clock


def test_requests_of_an_hour_are_bounded():
    """The error says when the first of them is an hour old, and then there is room for one."""
    spending, clock = budget()
    for _ in range(3):
        spending.begin(1, 1)
        clock.now += 600
    with pytest.raises(BudgetSpent, match="GLIMPSE_MLLM__REQUESTS_PER_HOUR") as refused:
        spending.begin(1, 1)
    assert refused.value.details == {"retry_after_s": 1800.0, "setting": "GLIMPSE_MLLM__REQUESTS_PER_HOUR"}
    clock.now += 1800
    spending.begin(1, 1)
    with pytest.raises(BudgetSpent):
        spending.begin(1, 1)


def test_a_clip_of_many_movements_is_refused_as_a_whole():
    """Before the first of them is sent."""
    spending, _ = budget()
    spending.require(3)
    spending.begin(1, 1)
    with pytest.raises(BudgetSpent):
        spending.require(3)


def test_tokens_are_counted_before_they_are_known():
    """Requests at the same time cannot pass the limit together; what was assumed too high is given back."""
    spending, clock = budget()
    first = spending.begin(4000, 1000)
    spending.begin(4000, 1000)
    with pytest.raises(BudgetSpent, match="TOKENS_PER_DAY"):
        spending.begin(1, 0)
    spending.settle(first, 100, 20)
    spending.begin(1000, 100)
    clock.now += 86400
    spending.begin(9000, 1000)


def test_money_is_bounded_by_the_prices():
    """Two dollars a million in, ten out: 0.01 dollars are soon gone."""
    prices = {"input_million_tokens_usd": 2.0, "output_million_tokens_usd": 10.0}
    spending, _ = budget(day_usd=0.01, **prices)
    spending.begin(3000, 300)
    with pytest.raises(BudgetSpent, match="DAY_USD") as refused:
        spending.begin(500, 10)
    assert refused.value.details["retry_after_s"] == 86400.0
    free, _ = budget(**prices)
    free.begin(9000, 999)
