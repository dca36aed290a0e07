"""How many gateways and Tritons a load needs, and what breaks first when there is more.

Clips wait for the workers of one gateway as customers for several servers: the mean wait is that of M/M/c (Erlang C)
times (1 + squared coefficient of variation of the service time) / 2, the approximation of Lee and Longton (1959) for
M/G/c, which is exact for one server (Pollaczek and Khinchine) and for exponential service times. Requests in the
service follow from Little's law.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from export.capacity_costs import Costs
from export.capacity_load import Load, Terms, check_load, check_terms
from server.errors import OptionError

MIB = 2**20
MOST_STREAMS = 256
"""The largest value of GLIMPSE_LIVE__MAX_STREAMS."""
STREAMS_SHARE = 0.8
"""Of a gateway's processors, what its own admission lets live streams have (`server.pipeline.live.SERVED_SHARE`)."""
_LEAST_PLACES = 16
"""What GLIMPSE_LIMITS__INFLIGHT is by default where two for each processor are fewer."""
_MOST_GATEWAYS = 10_000
_MOST_GROWTH = 1024.0


@dataclass(frozen=True)
class Bound:
    """Something of which one gateway or Triton has only so much: how much is taken, of what there is, and what happens
    beyond it. Of that, `planned` is the share that a plan takes at most; `growth` is the factor by which the load may
    grow until all is taken.
    """

    name: str
    taken: float
    there: float
    unit: str
    then: str
    planned: float = 1.0
    growth: float = math.inf


@dataclass(frozen=True)
class Plan:
    """What is needed. `replicas` and `tritons` include those to spare; bounds are told with these away, the nearest
    first. `memory_bytes` is what a gateway takes, uploads aside, not its limit. `clip_s` are seconds of a worker.
    """

    replicas: int
    tritons: int
    processors: int
    memory_bytes: int
    streams_each: int
    clip_s: float
    stream_processors: float
    bounds: tuple[Bound, ...]


def planned(load: Load, costs: Costs, terms: Terms) -> Plan:
    """The fewest gateways and Tritons that serve the load. Raises `OptionError` for what cannot be served at all."""
    check_terms(terms)
    check_load(load, costs)
    replicas = next((number for number in range(1, _MOST_GATEWAYS + 1) if _serves(load, costs, terms, number)), None)
    if replicas is None:
        raise OptionError(f"{_MOST_GATEWAYS} gateways of these would not do", option="clips")
    tritons = max(1, math.ceil(_triton_busy(load, costs, terms) / terms.utilisation)) if terms.asks_triton else 0
    each = math.ceil(load.streams / replicas)
    memory = costs.memory
    return Plan(
        replicas=replicas + terms.spare,
        tritons=tritons + terms.spare if tritons else 0,
        processors=(replicas + terms.spare) * terms.processors,
        # One worker more is the spare one, and one process more waits for the next stream.
        memory_bytes=memory.gateway_bytes
        + (terms.processors + 1) * memory.worker_bytes
        + (each + 1) * memory.stream_bytes,
        streams_each=each,
        clip_s=load.clip_s(costs),
        stream_processors=load.stream_s(costs),
        bounds=_nearest_first(load, costs, terms, replicas, tritons),
    )


def values(plan: Plan, costs: Costs, terms: Terms) -> dict[str, Any]:
    """Values of the chart for a plan; it derives the resources of a pod from them."""
    memory = costs.memory
    found: dict[str, Any] = {
        "gateway": {
            "replicas": plan.replicas,
            "settings": {
                "workers": {"count": terms.processors, "spare": 1},
                "live": {"max_streams": max(1, plan.streams_each)},
            },
            "memory": {
                "processMiB": math.ceil(memory.gateway_bytes / MIB),
                "workerMiB": math.ceil(memory.worker_bytes / MIB),
                "streamMiB": math.ceil(memory.stream_bytes / MIB),
            },
        }
    }
    if plan.tritons:
        found["triton"] = {"mode": "deployment", "replicas": plan.tritons}
    return found


def as_yaml(values: Mapping[str, Any], indent: int = 0) -> str:
    """Nested maps of numbers and plain words as YAML."""
    lines = []
    for name, value in values.items():
        nested = isinstance(value, Mapping)
        lines.append(f"{'  ' * indent}{name}:{'' if nested else f' {value}'}\n")
        if nested:
            lines.append(as_yaml(value, indent + 1))
    return "".join(lines)


def mean_wait_s(servers: int, arrivals_per_s: float, service_s: float, variation: float) -> float:
    """Mean wait for one of so many servers; infinite where they cannot keep up."""
    if not arrivals_per_s or not service_s:
        return 0.0
    offered = arrivals_per_s * service_s
    if offered >= servers:
        return math.inf
    blocked = 1.0
    for number in range(1, servers + 1):
        # Erlang B by its recursion, in which nothing overflows.
        blocked = offered * blocked / (number + offered * blocked)
    delayed = blocked / (1.0 - (offered / servers) * (1.0 - blocked))
    return delayed * service_s / (servers - offered) * (1.0 + variation) / 2.0


def _serves(load: Load, costs: Costs, terms: Terms, replicas: int) -> bool:
    bounds = _of_gateway(load, costs, terms, replicas)
    whole = math.ceil(load.streams / replicas) <= MOST_STREAMS
    return whole and all(bound.taken <= bound.planned * bound.there for bound in bounds)


def _of_gateway(load: Load, costs: Costs, terms: Terms, replicas: int) -> Sequence[Bound]:
    """The bounds of one of so many gateways that share the load evenly."""
    arrivals = load.clips_per_s / replicas
    clip_s = load.clip_s(costs)
    streams = load.streams / replicas * load.stream_s(costs)
    own = arrivals * costs.request_gateway_s
    local = 0.0 if terms.asks_triton else load.events_per_s() / replicas * terms.each_inference_s(costs)
    left = terms.processors - streams - own - local
    # There are as many workers as processors; what else runs on these slows all of them alike.
    slowed_s = clip_s * terms.processors / left if left > 0 else math.inf
    wait_s = mean_wait_s(terms.processors, arrivals, slowed_s, terms.variation)
    places = max(_LEAST_PLACES, 2 * terms.processors)
    inside = arrivals * (slowed_s + wait_s) if arrivals else 0.0
    return (
        Bound(
            "processors", arrivals * clip_s + streams + own + local, terms.processors, "processors",
            "clips take longer and streams look at every second picture", terms.utilisation,
        ),
        Bound("mean wait of a clip", wait_s, terms.wait_s, "s", "clips wait, then 429 for what would come too late"),
        Bound("event loop", own, 1, "processors", "everything in that gateway is late", terms.utilisation),
        Bound("streams, by time", streams, STREAMS_SHARE * terms.processors, "processors", "429 for a new stream"),
        Bound("streams, by number", load.streams / replicas, MOST_STREAMS, "streams", "429 for a new stream"),
        Bound("places", inside, places, "requests", "the next ones wait, then 429"),
    )  # fmt: skip


def _of_triton(load: Load, costs: Costs, terms: Terms, tritons: int) -> Sequence[Bound]:
    if not tritons:
        return ()
    busy = _triton_busy(load, costs, terms) / tritons
    return (
        Bound("Triton", busy, 1, "processors", "inference waits, then 504, then its circuit opens", terms.utilisation),
    )


def _nearest_first(load: Load, costs: Costs, terms: Terms, replicas: int, tritons: int) -> tuple[Bound, ...]:
    def bounds(factor: float) -> Sequence[Bound]:
        grown = load.times(factor)
        return (*_of_gateway(grown, costs, terms, replicas), *_of_triton(grown, costs, terms, tritons))

    now = bounds(1.0)
    grown = [replace(bound, growth=_growth(bounds, place)) for place, bound in enumerate(now)]
    return tuple(sorted((bound for bound in grown if bound.taken > 0), key=lambda bound: bound.growth))


def _growth(bounds: Callable[[float], Sequence[Bound]], place: int) -> float:
    """By bisection, since a wait grows as no line does."""

    def holds(factor: float) -> bool:
        bound = bounds(factor)[place]
        return bound.taken <= bound.there

    low, high = 1.0, _MOST_GROWTH
    if holds(high):
        return math.inf
    while high - low > 1e-3 * low:
        middle = (low + high) / 2.0
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _triton_busy(load: Load, costs: Costs, terms: Terms) -> float:
    """How many instances of the model would be busy all the time."""
    return load.events_per_s() * terms.each_inference_s(costs)


def _inference_s(costs: Costs, terms: Terms) -> float:
    return costs.inference_s(terms.model, terms.backend) if terms.inference_s is None else terms.inference_s
