"""How much an endpoint that costs money may be asked: requests within an hour, tokens and money within a day.

Held in memory, for this process alone: a restart begins with nothing spent.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from server.errors import BudgetSpent

_HOUR_S = 3600.0
_DAY_S = 86400.0
_PREFIX = "GLIMPSE_MLLM__"


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may be spent. Prices are in dollars for a million tokens; `day_usd` 0 sets no limit of money."""

    requests_per_hour: int
    tokens_per_day: int
    day_usd: float = 0.0
    input_million_tokens_usd: float = 0.0
    output_million_tokens_usd: float = 0.0


@dataclass(slots=True)
class Expense:
    """One request: when it was sent, what it took or, until that is known, may take."""

    at_s: float
    input_tokens: int
    output_tokens: int


class Budget:
    """Counts before a request is sent what it may take, so that requests at the same time cannot pass the limits
    together, and corrects that by what the endpoint says. `clock` gives seconds that never go back.
    """

    def __init__(self, allowance: Allowance, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance = allowance
        self._clock = clock
        self._expenses: deque[Expense] = deque()

    def require(self, requests: int) -> None:
        """Raises `BudgetSpent` where so many requests are not left in this hour."""
        now = self._forget()
        recent = [expense.at_s for expense in self._expenses if expense.at_s > now - _HOUR_S]
        over = len(recent) + requests - self._allowance.requests_per_hour
        if over > 0:
            free_at_s = recent[min(over, len(recent)) - 1] + _HOUR_S if recent else now + _HOUR_S
            raise _spent("requests of this hour", "REQUESTS_PER_HOUR", free_at_s - now)

    def begin(self, input_tokens: int, output_tokens: int) -> Expense:
        """Count a request that may take so many tokens. Raises `BudgetSpent`."""
        self.require(1)
        now = self._clock()
        expense = Expense(now, input_tokens, output_tokens)
        tokens = sum(each.input_tokens + each.output_tokens for each in self._expenses)
        if tokens + input_tokens + output_tokens > self._allowance.tokens_per_day:
            raise _spent("tokens of this day", "TOKENS_PER_DAY", self._oldest_leaves_s(now))
        usd = sum(self._usd(each) for each in (*self._expenses, expense))
        if 0 < self._allowance.day_usd < usd:
            raise _spent("money of this day", "DAY_USD", self._oldest_leaves_s(now))
        self._expenses.append(expense)
        return expense

    def settle(self, expense: Expense, input_tokens: int, output_tokens: int) -> None:
        """What the request took after all."""
        expense.input_tokens, expense.output_tokens = max(input_tokens, 0), max(output_tokens, 0)

    def _usd(self, expense: Expense) -> float:
        allowance = self._allowance
        received_usd = expense.output_tokens * allowance.output_million_tokens_usd
        return (expense.input_tokens * allowance.input_million_tokens_usd + received_usd) / 1e6

    def _forget(self) -> float:
        now = self._clock()
        while self._expenses and self._expenses[0].at_s <= now - _DAY_S:
            self._expenses.popleft()
        return now

    def _oldest_leaves_s(self, now: float) -> float:
        """Until something is free again; it may be too little still."""
        return self._expenses[0].at_s + _DAY_S - now if self._expenses else _DAY_S


def _spent(what: str, setting: str, retry_after_s: float) -> BudgetSpent:
    name = f"{_PREFIX}{setting}"
    return BudgetSpent(f"the {what} for model 'mllm' are spent ({name})", setting=name, retry_after_s=retry_after_s)
