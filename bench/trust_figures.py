"""The arithmetic of the trust benches: what became of requests, and what was promised of them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.live_figures import quantile

Answer = Mapping[str, Any]
"""What one request got, as `bench.trust_drive` tells it."""

THROUGHPUT_SHARE = 0.8
TENANT_FACTOR = 2.0
_NORMAL_P99 = 2.33

REFUSALS = (429, 503)
FILES_SPARE, THREADS_SPARE = 4, 4
"""What a library may keep for itself between two looks: a resolver, a thread of a pool that had not begun before."""


@dataclass(frozen=True)
class Mark:
    """The service at one moment, seconds after the beginning: resident memory of the gateway and of the workers of
    clips, its processes, and the gateway's open files and threads.
    """

    at_s: float
    gateway_bytes: int
    workers_bytes: int
    processes: int
    files: int
    threads: int


def statuses(answers: Iterable[Answer]) -> Counter[int]:
    """How often each status came; 0 stands for a request without an answer."""
    return Counter(int(answer["status"]) for answer in answers)


def broken(answers: Iterable[Answer], allowed: Sequence[int] = (200,)) -> Counter[str]:
    """Answers that were not promised: neither of `allowed` nor a refusal that says when to come back."""
    found: Counter[str] = Counter()
    for answer in answers:
        status = answer["status"]
        if status in REFUSALS and status not in allowed:
            if not answer["retry_after_s"] or answer["retry_after_s"] < 1:
                found[f"{status} without Retry-After"] += 1
        elif status not in allowed:
            found[answer.get("lost") or f"{status} {answer.get('code', '')}".strip()] += 1
    return found


def accepted(answers: Iterable[Answer]) -> list[Answer]:
    """Those that were answered with what they asked for."""
    return [answer for answer in answers if answer["status"] == 200]


def took_s(answers: Iterable[Answer]) -> list[float]:
    """Seconds of each that was accepted, from its first byte to its answer."""
    return [float(answer["took_s"]) for answer in accepted(answers)]


def costs_s(alone: Iterable[Answer]) -> dict[int, float]:
    """What each request takes when its client is the only one: the mean, by its place in the list."""
    times: dict[int, list[float]] = defaultdict(list)
    for answer in accepted(alone):
        times[answer["request"]].append(answer["took_s"])
    return {place: float(np.mean(each)) for place, each in times.items()}


def throughput(answers: Iterable[Answer], costs: Mapping[int, float], seconds: float) -> float:
    """Work that was done within the first `seconds`, by what it takes one client alone: that client has 1."""
    inside = [each for each in accepted(answers) if each["began_s"] + each["took_s"] <= seconds]
    return sum(costs[answer["request"]] for answer in inside) / seconds


def queue_bound_s(mean_s: float, services_s: Sequence[float], places: int, workers: int) -> float:
    """What 99 of 100 accepted requests may take where `places` are inside and `workers` served at a time.

    The work of all places, spread over the workers, is a sum of that many service times: its 99th percentile by the
    normal distribution, and one service time at most for the request that a worker has just begun. `mean_s` is the
    time that one request takes a worker, with all that lies around it; `services_s` what each took.
    """
    spread = float(np.std(services_s))
    return (places * mean_s + _NORMAL_P99 * math.sqrt(places) * spread) / workers + max(services_s)


def wrong(answers: Iterable[Answer], expected: Mapping[int, str]) -> int:
    """How many reports say something else than the calm one of the same clip."""
    return sum(1 for answer in accepted(answers) if answer["digest"] != expected[answer["request"]])


def expected_digests(alone: Iterable[Answer]) -> dict[int, str]:
    """What a calm service says about each clip. Raises `SystemExit` where it does not always say the same."""
    said: dict[int, set[str]] = defaultdict(set)
    for answer in accepted(alone):
        said[answer["request"]].add(answer["digest"])
    if any(len(each) != 1 for each in said.values()):
        raise SystemExit("one clip got two different reports from a calm service")
    return {place: each.pop() for place, each in said.items()}


def grown(samples: Sequence[tuple[float, float]], seconds: float, *, warm: float, last: float) -> float | None:
    """How much the median of the last share of the time is above that of the same share after the warm-up.

    `samples` are seconds since the beginning and what was measured. None where one of the two has fewer than three.
    """
    early = [value for at, value in samples if warm * seconds <= at < (warm + last) * seconds]
    late = [value for at, value in samples if at >= (1 - last) * seconds]
    if min(len(early), len(late)) < 3:
        return None
    return float(np.median(late) / np.median(early)) - 1


def p50_p99(values: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile; infinite of none, since nobody was answered."""
    found = [quantile(values, share) for share in (0.5, 0.99)]
    return tuple(math.inf if each is None else each for each in found)  # type: ignore[return-value]
