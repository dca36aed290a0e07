"""One panel of the dashboard, and the queries that panels are made of.

What the rules record is read from there, so that a panel and the alert beside it agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

S = 'namespace=~"$namespace", job=~"$job"'
"""What a series of the gateway is chosen by."""
TRITON = 'namespace=~"$namespace"'
"""What one of Triton is: its job is another one."""
RATE = "$__rate_interval"


@dataclass(frozen=True, slots=True)
class Panel:
    """One question. `queries` are pairs of a legend and PromQL; `unit` is one of Grafana's names; `wide` is in the 24
    columns of a row. From `warn` on it is orange, from `bad` on red; a `stat` without `warn` is red below `bad`.
    """

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    about: str = ""
    kind: Literal["timeseries", "stat"] = "timeseries"
    warn: float | None = None
    bad: float | None = None
    stacked: bool = False
    wide: int = 8


def rate(metric: str, *by: str, having: str = S) -> str:
    """Per second, over what is drawn as one step."""
    return f"sum by ({', '.join(by)}) (rate({metric}{{{having}}}[{RATE}]))"


def quantile(share: float, metric: str, *by: str, over: str = RATE) -> str:
    """That of a histogram; `over` is the time that it looks back."""
    return f"histogram_quantile({share}, sum by ({', '.join((*by, 'le'))}) (rate({metric}_bucket{{{S}}}[{over}])))"


def recorded(name: str, having: str = S) -> str:
    """What a rule has recorded."""
    return f"{name}{{{having}}}"


def hour_and_week(name: str, legend: str, having: str = S) -> tuple[tuple[str, str], ...]:
    """What rules have recorded of the last hour and of the last week, as two queries."""
    return (f"{legend}, hour", recorded(f"{name}1h", having)), (f"{legend}, week", recorded(f"{name}7d", having))
