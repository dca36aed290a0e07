"""What the trust benches share: a service on two cores, its metrics, its processes, and clients beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bench.live_service import Service, rss_of, service
from bench.trust_figures import Mark

CORES = 2
SAMPLES = Path("samples")
ANALYZE = "/v1/analyze"


@contextmanager
def on_cores(count: int = CORES) -> Iterator[None]:
    """Keep this process, and whatever it starts, on so many processors."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(everywhere)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


@contextmanager
def running(workers: int = CORES, **settings: str) -> Iterator[Service]:
    """A service with as many workers as cores, as it is by default."""
    given = {"GLIMPSE_WORKERS__COUNT": str(workers), "GLIMPSE_WORKERS__SPARE": "1", **settings}
    with service(**given) as found:
        yield found


class Driver:
    """The process of the clients, `bench.trust_drive`."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-m", "bench.trust_drive", url.removeprefix("http://")]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, seconds: float | None, *groups: Mapping[str, Any]) -> None:
        """Begin a round of these groups; without `seconds` it goes on until it is stopped."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"seconds": seconds, "groups": groups}) + "\n")
        self._process.stdin.flush()

    def stop(self) -> dict[str, Any]:
        """End the round."""
        assert self._process.stdin is not None
        self._process.stdin.write("stop\n")
        self._process.stdin.flush()
        return self.result()

    def result(self) -> dict[str, Any]:
        """Wait for the end of the round."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the clients ended before their round did")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def play(self, seconds: float | None, *groups: Mapping[str, Any]) -> dict[str, Any]:
        """A whole round; without `seconds`, until every client has asked as often as it shall."""
        self.begin(seconds, *groups)
        return self.result()

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(30)


@contextmanager
def driver(url: str) -> Iterator[Driver]:
    """Clients of the service at `url`."""
    found = Driver(url)
    try:
        yield found
    finally:
        found.close()


def clips(pattern: str) -> list[Path]:
    """The clips of `samples/` of that pattern, by name. Raises `SystemExit` where there are none."""
    found = sorted(SAMPLES.glob(pattern))
    if not found:
        message = f"no clip in {SAMPLES} is named like {pattern}"
        raise SystemExit(message)
    return found


def analyses(files: Sequence[Path], query: str = "") -> list[dict[str, Any]]:
    """A request for each clip."""
    return [{"path": ANALYZE + query, "type": "video/mp4", "file": str(file)} for file in files]


def group(name: str, clients: int, requests: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:
    """Clients of `bench.trust_drive` that ask again as soon as they have an answer, or as a refusal tells them."""
    return {
        "name": name, "clients": clients, "requests": list(requests), "pause_s": 0.0, "refused_pause_s": None,
        "source": "", "leave_after": None, "leave_after_s": None, "most": None, **changes,
    }  # fmt: skip


def metrics(url: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of `/metrics`, by name and labels."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(samples: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    """The sum of all samples of that name which have these labels."""
    return sum(
        value for (found, pairs), value in samples.items() if found == name and labels.items() <= dict(pairs).items()
    )


def counted(url: str, route: str = ANALYZE) -> dict[int, int]:
    """How many requests of a route the service has answered, by status."""
    found: dict[int, int] = {}
    for (name, pairs), value in metrics(url).items():
        labels = dict(pairs)
        if name == "glimpse_requests_total" and labels["route"] == route and labels["status"].isdigit():
            found[int(labels["status"])] = int(value)
    return found


def since(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    """What was counted in between."""
    return {status: count - before.get(status, 0) for status, count in after.items() if count > before.get(status, 0)}


def gauges(url: str) -> dict[str, float]:
    """What is held at the moment: places, uploads, waits, streams; only what is not zero."""
    held: dict[str, float] = {}
    for (name, pairs), value in metrics(url).items():
        if value and name in {"glimpse_inflight", "glimpse_queue_depth", "glimpse_live_streams"}:
            held[" ".join((name, *(label for _, label in pairs)))] = value
    samples = metrics(url)
    if busy := total(samples, "glimpse_workers", state="busy"):
        held["glimpse_workers busy"] = busy
    return held


def look(found: Service, at_s: float) -> Mark:
    """The service now."""
    pid = found.process.pid
    status = Path(f"/proc/{pid}/status").read_text()
    threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads:"))
    pids = found.workers
    return Mark(
        at_s=at_s,
        gateway_bytes=rss_of(pid),
        workers_bytes=sum(rss_of(worker) for worker in clip_workers(pids)),
        processes=len(pids),
        files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
        threads=threads,
    )


def clip_workers(pids: Sequence[int]) -> list[int]:
    """Those of clips, which give way to others on the processors; a spare one and those of streams do not."""
    gateway = os.getpriority(os.PRIO_PROCESS, 0)
    found = []
    for pid in pids:
        with suppress(OSError):
            if os.getpriority(os.PRIO_PROCESS, pid) > gateway:
                found.append(pid)
    return found
