"""Load and tenants: `python -m bench.trust_load [--seconds 300] [--tenants]`, against a service of its own.

Load: 64 clients ask again as soon as they have an answer, in turn with one client alone, so that both are measured on
the same machine in the same minutes. Tenants: a polite client alone, then beside a flood from another address. Exit
status 1 where something that is promised is not kept.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import trust_figures as figures
from bench.live_service import Service
from bench.live_tables import Check, say, show, show_checks
from bench.trust_service import CORES, Driver, analyses, clips, counted, driver, group, on_cores, running, since
from server.settings import load

ROUNDS = 3
_COUNTED_WITHIN_S = 10.0
_FLOOD, _POLITE = "127.0.0.2", "127.0.0.3"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    options = _options(arguments)
    with on_cores():
        found, checks = (_tenants if options.tenants else _load)(options)
    show_checks(checks)
    if options.json:
        options.json.write_text(json.dumps(found), encoding="utf-8")
    return 0 if all(check.met for check in checks) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.trust_load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="of load, in three parts")
    parser.add_argument("--alone-seconds", type=float, default=90.0, help="of one client alone, in three parts")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--clips", default="*[!w].mp4", help="which of samples/; all but the interview by default")
    parser.add_argument("--tenants", action="store_true", help="measure two tenants instead")
    parser.add_argument("--flood-clients", type=int, default=64)
    parser.add_argument("--flood-pause", type=float, default=0.5, help="seconds after which a refused one asks again")
    parser.add_argument("--json", type=Path, help="also write what was measured there")
    return parser.parse_args(arguments)


def _load(options: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    requests = analyses(clips(options.clips))
    alone: list[dict[str, Any]] = []
    loaded: list[dict[str, Any]] = []
    with running() as service, driver(service.url) as clients:
        clients.play(None, group("warm", CORES, requests, most=1))
        before = counted(service.url)
        for number in range(ROUNDS):
            say(f"round {number + 1} of {ROUNDS}: one client for {options.alone_seconds / ROUNDS:g} s")
            alone.append(_played(service, clients, options.alone_seconds / ROUNDS, group("one", 1, requests)))
            say(f"round {number + 1} of {ROUNDS}: {options.clients} clients for {options.seconds / ROUNDS:g} s")
            many = group("many", options.clients, requests)
            loaded.append(_played(service, clients, options.seconds / ROUNDS, many))
        told = _told(service, before, [*_answers(alone, "one"), *_answers(loaded, "many")])
    return {"alone": alone, "load": loaded}, [told, *_judged(alone, loaded, options)]


def _played(service: Service, clients: Driver, seconds: float, *groups: Mapping[str, Any]) -> dict[str, Any]:
    cpu_s = service.cpu_s()
    played = clients.play(seconds, *groups)
    return {**played, "service_cpu_s": service.cpu_s() - cpu_s}


def _answers(rounds: Sequence[Mapping[str, Any]], name: str) -> list[dict[str, Any]]:
    return [answer for each in rounds for answer in each["groups"][name]]


def _told(service: Service, before: Mapping[int, int], answers: Sequence[Mapping[str, Any]]) -> Check:
    """The service counts an answer when it is written, which is a moment after the client may have read it."""
    wanted = {status: count for status, count in figures.statuses(answers).items() if status > 0}
    end = time.monotonic() + _COUNTED_WITHIN_S
    while (there := since(before, counted(service.url))) != wanted and time.monotonic() < end:
        pass
    lost = figures.statuses(answers)[0]
    what = "every request answered, and counted by client and service alike"
    return Check(
        what, f"clients {_spelled(wanted)}, service {_spelled(there)}, {lost} lost", there == wanted and not lost
    )


def _spelled(counts: Mapping[int, int]) -> str:
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items())) or "none"


def _judged(
    alone: Sequence[Mapping[str, Any]], loaded: Sequence[Mapping[str, Any]], options: argparse.Namespace
) -> list[Check]:
    one, many = _answers(alone, "one"), _answers(loaded, "many")
    costs = figures.costs_s(one)
    rows = [
        _row("1", alone, one, costs),
        _row(str(options.clients), loaded, many, costs),
    ]
    show(
        f"Closed loop on {CORES} cores, in {ROUNDS} turns; work: what one client alone gets done is 1.00",
        ("clients", "seconds", "accepted", "refused", "per s", "work", "p50 s", "p99 s", "service CPU", "clients' CPU"),
        rows,
    )
    limits = load({}).limits
    places = limits.inflight + limits.queued
    services = [answer["service_s"] for answer in figures.accepted(many)]
    mean_s = CORES * sum(each["wall_s"] for each in loaded) / len(services)
    bound = figures.queue_bound_s(mean_s, services, places, CORES)
    p99 = figures.p50_p99(figures.took_s(many))[1]
    work = _work(loaded, "many", costs)
    broken = figures.broken([*one, *many])
    share = sum(each["cpu_s"] for each in loaded) / sum(each["wall_s"] for each in loaded) / CORES
    print(
        f"\nBound of the queue: {places} places x {mean_s:.3f} s mean service / {CORES} workers, with the"
        f" spread of that sum and one service: {bound:.1f} s. The clients took {share:.1%} of the cores."
    )
    needed = figures.THROUGHPUT_SHARE * CORES
    wrong = figures.wrong(many, figures.expected_digests(one))
    return [
        Check("only 200, or 429/503 with Retry-After", _reasons(broken), not broken),
        Check(f"p99 of accepted requests within the queue's {bound:.1f} s", f"{p99:.1f} s", p99 <= bound),
        Check(f"work at least {needed:g} clients alone", f"{work:.2f}", work >= needed),
        Check("the same report of a clip under load as alone", f"{wrong} differ", not wrong),
    ]  # fmt: skip


def _work(rounds: Sequence[Mapping[str, Any]], name: str, costs: Mapping[int, float]) -> float:
    done = [figures.throughput(each["groups"][name], costs, each["seconds"]) for each in rounds]
    return float(np.average(done, weights=[each["seconds"] for each in rounds]))


def _row(
    clients: str, rounds: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]], costs: Mapping[int, float]
) -> list[str]:
    times = figures.took_s(answers)
    wall = sum(each["wall_s"] for each in rounds)
    p50, p99 = figures.p50_p99(times)
    name = next(iter(rounds[0]["groups"]))
    return [
        clients, f"{sum(each['seconds'] for each in rounds):g}", str(len(times)), str(len(answers) - len(times)),
        f"{len(times) / wall:.2f}", f"{_work(rounds, name, costs):.2f}", f"{p50:.2f}", f"{p99:.2f}",
        f"{sum(each['service_cpu_s'] for each in rounds) / wall:.2f}",
        f"{sum(each['cpu_s'] for each in rounds) / wall:.3f}",
    ]  # fmt: skip


def _reasons(broken: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in broken.items()) or "nothing else"


def _tenants(options: argparse.Namespace) -> tuple[dict[str, Any], list[Check]]:
    requests = analyses(clips(options.clips))
    alone: list[dict[str, Any]] = []
    beside: list[dict[str, Any]] = []
    polite = group("polite", 1, requests, source=_POLITE, pause_s=0.5)
    flood = group(
        "flood", options.flood_clients, analyses(clips("*.mp4")), source=_FLOOD, refused_pause_s=options.flood_pause
    )
    with running() as service, driver(service.url) as clients:
        clients.play(None, group("warm", CORES, requests, source=_POLITE, most=1))
        for number in range(ROUNDS):
            say(f"round {number + 1} of {ROUNDS}: the polite one alone, then beside {options.flood_clients} clients")
            alone.append(_played(service, clients, options.seconds / ROUNDS, polite))
            beside.append(_played(service, clients, options.seconds / ROUNDS, polite, flood))
    one, both = _answers(alone, "polite"), _answers(beside, "polite")
    crowd = _answers(beside, "flood")
    (p50, p99), (p50_beside, p99_beside) = (figures.p50_p99(figures.took_s(each)) for each in (one, both))
    rows = [
        ["alone", str(len(one)), str(len(one) - len(figures.accepted(one))), f"{p50:.2f}", f"{p99:.2f}", "-", "-"],
        [
            f"beside {options.flood_clients}", str(len(both)), str(len(both) - len(figures.accepted(both))),
            f"{p50_beside:.2f}", f"{p99_beside:.2f}", *(str(count) for count in (
                len(figures.accepted(crowd)), len(crowd) - len(figures.accepted(crowd)))),
        ],
    ]  # fmt: skip
    show(
        f"A polite tenant, one request after the other, {options.seconds:g} s each on {CORES} cores, in {ROUNDS} turns",
        ("polite tenant", "requests", "refused", "p50 s", "p99 s", "flood accepted", "flood refused"),
        rows,
    )
    share = sum(each["cpu_s"] for each in beside) / sum(each["wall_s"] for each in beside) / CORES
    print(f"\nThe clients, flood included, took {share:.1%} of the cores.")
    broken = figures.broken([*one, *both, *crowd])
    turned_away = len(both) - len(figures.accepted(both))
    factor = p99_beside / p99
    return {"alone": alone, "beside": beside}, [
        Check("only 200, or 429/503 with Retry-After", _reasons(broken), not broken),
        Check("the polite tenant is never refused", f"{turned_away} refused", not turned_away),
        Check(
            f"its p99 grows at most {figures.TENANT_FACTOR:g} times", f"{factor:.2f}", factor <= figures.TENANT_FACTOR
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
