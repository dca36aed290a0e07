"""Chaos for the gateway's workers: `python -m bench.chaos_workers [--kills 20]`, against a service of its own.

Under the load of clips and of live streams, workers that are busy are killed one after the other, of clips and of
streams in turn; then some are stopped, as if they hung. Every request must be answered: a clip with the report that it
gets from a calm service, a stream whole or with the error that its worker died, a stopped worker's clip with 504. Exit
status 1 where something that is promised is not kept.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import trust_figures as figures
from bench.live_footage import Footage
from bench.live_service import Service
from bench.live_tables import Check, say, show, show_checks
from bench.trust_live import Played, Streams
from bench.trust_service import (
    ANALYZE,
    CORES,
    SAMPLES,
    Driver,
    analyses,
    clip_workers,
    clips,
    counted,
    driver,
    group,
    metrics,
    on_cores,
    running,
    total,
)

RECOVERY_S = 2.0
_CLIENTS, _STREAMS = 6, 1
_BUSY_S = 0.2
_EARLY = 1 / 3
"""Share of a stream within which its worker is killed, so that the blow does not come when it is over."""
_WAIT_S = 300.0
_LEAST_DEADLINE_S, _MOST_DEADLINE_S = 10.0, 120.0
_DEADLINE_FACTOR = 4
"""A request with a worker that hangs may take so many times the p99 of the others, so that only that worker is late."""
_RESTARTS = "glimpse_worker_restarts_total"


@dataclass(frozen=True)
class Blow:
    """One worker that was killed or stopped: of clips or of streams, when (`time.monotonic`), and when all workers were
    there again.
    """

    target: str
    how: str
    at_s: float
    whole_s: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, judge."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos_workers", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of workers of clips, and as many of streams")
    parser.add_argument("--stops", type=int, default=3, help="of workers of clips, which then hang")
    parser.add_argument("--clips", default="*e.mp4", help="which of samples/")
    options = parser.parse_args(arguments)
    with on_cores():
        checks = _chaos(options)
    show_checks(checks)
    return 0 if all(check.met for check in checks) else 1


def _chaos(options: argparse.Namespace) -> list[Check]:
    files = clips(options.clips)
    requests = analyses(files)
    footage = Footage(str(SAMPLES / "positive.mp4"), 30, 640, 480, "jpeg")
    with (
        running(GLIMPSE_LIVE__FRAMES_PER_SECOND="100000") as service,
        driver(service.url) as clients,
    ):
        say("calm: what each clip and the stream are answered")
        calm = clients.play(None, group("calm", len(requests), requests, most=1))["groups"]["calm"]
        expected = figures.expected_digests(calm)
        streams = Streams(service.grpc, footage, _STREAMS)
        beside = set(service.workers) - set(clip_workers(service.workers))
        told = streams.play()
        _wait(lambda: len(service.workers) == CORES + 2, "no process waits for the next stream")
        # Of the two beside the workers that give way, the one that ended with its stream was that of streams.
        (spare,) = beside & set(service.workers)

        def of_clips() -> int:
            return _busiest(lambda: clip_workers(service.workers))

        def of_streams() -> int:
            """The oldest is that of the stream; the next one waits, or begins."""
            _wait(lambda: 0 < streams.answered < told.answered * _EARLY, "no stream begins")
            pids = service.workers
            return min(set(pids) - set(clip_workers(pids)) - {spare}, key=_age)

        say(f"chaos: {options.kills} workers of clips are killed, and {options.kills} of streams")
        with streams.playing():
            clients.begin(None, group("clips", _CLIENTS, requests))
            # A clip whose worker was killed joins the queue again, once: after so many it has been answered.
            enough = _CLIENTS + CORES
            blows = [
                _blow(service, victim, signal.SIGKILL, target, enough)
                for _ in range(options.kills)
                for target, victim in (("clips", of_clips), ("streams", of_streams))
            ]
            _progress(service, enough)
            killed = clients.stop()
        p99 = figures.p50_p99(figures.took_s(killed["groups"]["clips"]))[1]
        deadline_s = round(min(max(_LEAST_DEADLINE_S, _DEADLINE_FACTOR * p99), _MOST_DEADLINE_S))
        late = analyses(files, f"?deadline_s={deadline_s}")
        stopped, stops = _stopped(service, clients, late, of_clips, options.stops)
        restarts = {reason: total(metrics(service.url), _RESTARTS, reason=reason) for reason in ("crash", "deadline")}
    answers = killed["groups"]["clips"]
    return [
        *_clip_checks(answers, expected, blows, killed["start_s"]),
        *_stream_checks(streams.played, told, blows),
        *_stop_checks(stopped, expected, stops, deadline_s),
        Check(
            "every worker that was killed or hung was replaced, and counted",
            ", ".join(f"{count:.0f} x {reason}" for reason, count in restarts.items()),
            restarts["crash"] >= options.kills and restarts["deadline"] >= len(stops),
        ),
    ]


def _stopped(
    service: Service, clients: Driver, requests: Sequence[Any], victim: Callable[[], int], count: int
) -> tuple[list[figures.Answer], list[Blow]]:
    """Workers of clips hang, one after the other."""
    if not count:
        return [], []
    say(f"chaos: {count} workers of clips hang")
    # As many clients as workers, so that nobody waits for long and it is the worker that costs the deadline.
    clients.begin(None, group("clips", CORES, requests))
    blows = [_blow(service, victim, signal.SIGSTOP, "clips", CORES) for _ in range(count)]
    _progress(service, CORES)
    return clients.stop()["groups"]["clips"], blows


def _blow(service: Service, victim: Callable[[], int], how: signal.Signals, target: str, answers: int) -> Blow:
    _progress(service, answers)
    replaced = total(metrics(service.url), _RESTARTS)
    pid = victim()
    at_s = time.monotonic()
    os.kill(pid, how)

    def whole() -> bool:
        # A worker that is gone is still counted as busy until the gateway has noticed.
        samples = metrics(service.url)
        noticed = total(samples, _RESTARTS) > replaced if target == "clips" else pid not in service.workers
        return (
            noticed and sum(total(samples, "glimpse_workers", state=state) for state in ("idle", "busy")) == CORES + 1
        )

    _wait(whole, f"a worker of {target} was not replaced")
    return Blow(target, how.name, at_s, time.monotonic())


def _age(pid: int) -> int:
    """Clock ticks from the start of the machine to that of the process."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return sys.maxsize


def _busiest(victims: Callable[[], list[int]]) -> int:
    """One of them that is in the midst of its work; of several, the first."""
    found: list[int] = []

    def busy() -> bool:
        before = _used(victims())
        time.sleep(_BUSY_S)
        after = _used(list(before))
        found[:] = [pid for pid in before if after.get(pid, 0) > before[pid]]
        return bool(found)

    _wait(busy, "no worker is busy")
    return found[0]


def _used(pids: Sequence[int]) -> dict[int, int]:
    """Processor time, in ticks, of those that live."""
    used: dict[int, int] = {}
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            used[pid] = int(fields[11]) + int(fields[12])
    return used


def _progress(service: Service, answers: int) -> None:
    """Wait until so many more clips have been analysed, so that every blow meets a service that works."""
    before = counted(service.url, ANALYZE).get(200, 0)
    _wait(lambda: counted(service.url, ANALYZE).get(200, 0) >= before + answers, "no clip is answered any more")


def _wait(there: Callable[[], bool], otherwise: str) -> None:
    end = time.monotonic() + _WAIT_S
    while not there():
        if time.monotonic() > end:
            raise SystemExit(otherwise)
        time.sleep(0.02)


def _clip_checks(
    answers: Sequence[figures.Answer], expected: dict[int, str], blows: Sequence[Blow], start_s: float
) -> list[Check]:
    mine = [blow for blow in blows if blow.target == "clips"]
    moments = sorted(start_s + each["began_s"] + each["took_s"] for each in figures.accepted(answers))
    whole = [blow.whole_s - blow.at_s for blow in mine]
    after = [_first_after(moments, blow.whole_s) for blow in mine]
    counts = figures.statuses(answers)
    _, p99 = figures.p50_p99(figures.took_s(answers))
    show(
        f"{len(mine)} workers of clips killed under {_CLIENTS} clients on {CORES} cores",
        ("answers", "of them 200", "p99 s", "whole again s: median", "longest", "next answer s: longest"),
        [[str(len(answers)), str(counts[200]), f"{p99:.2f}", f"{sorted(whole)[len(whole) // 2]:.2f}",
          f"{max(whole):.2f}", f"{max(after):.2f}"]],
    )  # fmt: skip
    broken = figures.broken(answers)
    wrong = figures.wrong(answers, expected)
    return [
        Check("every clip is answered with 200, also one whose worker was killed", _reasons(broken), not broken),
        Check("every report is that of a calm service", f"{wrong} differ", not wrong),
        Check(
            f"once a new worker is ready, an answer within {RECOVERY_S:g} s",
            f"{max(after):.2f} s",
            max(after) <= RECOVERY_S,
        ),
    ]


def _first_after(moments: Sequence[float], moment: float) -> float:
    return next((each - moment for each in moments if each >= moment), float("inf"))


def _stream_checks(played: Sequence[Played], told: Played, blows: Sequence[Blow]) -> list[Check]:
    mine = [blow for blow in blows if blow.target == "streams"]
    whole = [each for each in played if each.status == "OK"]
    died = [each for each in played if (each.status, each.code) == ("INTERNAL", "worker-crashed")]
    after = [_first_after(sorted(each.ended_s for each in whole), blow.at_s) for blow in mine]
    show(
        f"{len(mine)} workers of streams killed under {_STREAMS} client",
        ("streams", "whole", "worker died", "next whole stream s: longest"),
        [[str(len(played)), str(len(whole)), str(len(died)), f"{max(after, default=0.0):.2f}"]],
    )
    other = Counter(f"{each.status} {each.code}" for each in played if each not in whole and each not in died)
    wrong = sum(each.events != told.events or each.answered != each.sent for each in whole)
    return [
        Check("every stream is whole or says that its worker died", _reasons(other), not other),
        Check("a stream is told of for every worker killed", f"{len(died)} of {len(mine)}", len(died) >= len(mine)),
        Check("every whole stream tells the events of a calm one", f"{wrong} differ", not wrong),
    ]


def _stop_checks(
    answers: Sequence[figures.Answer], expected: dict[int, str], stops: Sequence[Blow], deadline_s: int
) -> list[Check]:
    if not stops:
        return []
    counts = figures.statuses(answers)
    longest = max(each["took_s"] for each in answers)
    show(
        f"{len(stops)} workers of clips stopped, requests with a deadline of {deadline_s} s",
        ("answers", "of them 200", "504", "longest s"),
        [[str(len(answers)), str(counts[200]), str(counts[504]), f"{longest:.2f}"]],
    )
    broken = figures.broken(answers, allowed=(200, 504))
    wrong = figures.wrong(answers, expected)
    return [
        Check("with workers that hang, only 200 or 504", _reasons(broken), not broken),
        Check("a hung worker costs one request", f"{counts[504]} x 504", counts[504] <= len(stops)),
        Check("every report is that of a calm service", f"{wrong} differ", not wrong),
    ]


def _reasons(broken: Mapping[str, int]) -> str:
    return ", ".join(f"{count} x {reason}" for reason, count in broken.items()) or "nothing else"


if __name__ == "__main__":
    sys.exit(main())
