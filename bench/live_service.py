"""The service and the client of `bench.live` as processes: started, pinned to cores, and what they use."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as pb_grpc

_START_S = 120.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_S = 1.0


@dataclass
class Service:
    """A running `glimpse serve`, its addresses, and the processes that belong to it."""

    process: subprocess.Popen[bytes]
    url: str
    grpc: str
    log: Path

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, of clips and of streams."""
        return _children(self.process.pid)

    def pin(self, workers: int, gateway: int) -> None:
        """Keep every worker on one core and the gateway on another."""
        for pid in self.workers:
            _pin(pid, workers)
        _pin(self.process.pid, gateway)

    def frames_per_s(self) -> float:
        """What all live streams together may send, as the service tells it."""
        with grpc.insecure_channel(self.grpc) as channel:
            told = pb_grpc.MicroExpressionsStub(channel).GetServerInfo(pb.GetServerInfoRequest())
        return float(told.max_live_frames_per_second)

    def cpu_s(self) -> float:
        """Processor time of all its processes so far, those that have ended included."""
        own = _stat(self.process.pid, ended=True)
        return own + sum(_stat(pid) for pid in self.workers)

    def rss_bytes(self) -> float:
        """Resident memory of all its processes; what they share counts for each."""
        return float(self.rss_of([self.process.pid, *self.workers]))

    @staticmethod
    def children_of(pid: int) -> list[int]:
        """Processes that any thread of `pid` has started and that live."""
        return _children(pid)

    @staticmethod
    def rss_of(pids: Sequence[int]) -> int:
        """Resident memory of some processes."""
        return sum(rss_of(pid) for pid in pids)

    @contextmanager
    def sampled(self, every_s: float = SAMPLE_S) -> Iterator[list[tuple[float, float]]]:
        """Resident memory now and then: seconds since the beginning, and bytes."""
        samples: list[tuple[float, float]] = []
        ended, start = threading.Event(), time.monotonic()

        def sample() -> None:
            number = 0
            while not ended.wait(max(0.0, start + number * every_s - time.monotonic())):
                samples.append((time.monotonic() - start, self.rss_bytes()))
                number += 1

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield samples
        finally:
            ended.set()
            thread.join()


@contextmanager
def service(**settings: str) -> Iterator[Service]:
    """The service as an operator starts it, on free ports, with these variables."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--grpc-port", "0"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    environment = {
        **inherited, "PYTHONFAULTHANDLER": "1", "GLIMPSE_WORKERS__COUNT": "1", "GLIMPSE_WORKERS__SPARE": "0",
        "GLIMPSE_LIVE__TENANT_SHARE": "1", **settings,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        with (
            log.open("w", encoding="utf-8") as sink,
            subprocess.Popen(command, env=environment, stdout=sink, stderr=sink) as process,
        ):
            try:
                yield Service(process, *_addresses(process, log), log)
            finally:
                process.send_signal(signal.SIGINT)


class Client:
    """The process that sends, `bench.live_drive`. `core` is the one it is kept on, any where None."""

    def __init__(self, address: str, core: int | None = None) -> None:
        command = [sys.executable, "-m", "bench.live_drive", address]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._core = core

    def play(self, orders: Sequence[Mapping[str, Any]], begin: Callable[[], None]) -> dict[str, Any]:
        """One round of streams at a time; `begin` is called when they are open, before the first frame."""
        self._tell(json.dumps(orders))
        if self._hear() != "open":
            raise SystemExit("the client did not open its streams")
        if self._core is not None:
            _pin(self._process.pid, self._core)
        begin()
        self._tell("go")
        answer: dict[str, Any] = json.loads(self._hear())
        return answer

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("the client ended")
        return line.strip()


@contextmanager
def client(address: str, core: int | None = None) -> Iterator[Client]:
    """A client of the service at `address`."""
    running = Client(address, core)
    try:
        yield running
    finally:
        running.close()


def run(running: Service, driver: Client, orders: Sequence[Mapping[str, Any]], pin: tuple[int, int] | None) -> Any:
    """One round: what the client saw, and what the service used. `pin` is the core of the workers and of the rest.

    Memory is that of the round: a worker ends with its stream.
    """
    with ExitStack() as playing:
        found: dict[str, Any] = {}

        def begin() -> None:
            if pin is not None:
                running.pin(*pin)
            found["cpu_s"] = running.cpu_s()
            found["rss"] = playing.enter_context(running.sampled())

        played = driver.play(orders, begin)
        cpu_s = running.cpu_s() - found["cpu_s"]
    return {**played, "cpu_s": cpu_s, "rss": found["rss"]}


def _addresses(process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    end = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < end:
        text = log.read_text(encoding="utf-8")
        if found := re.search(r'"url": "(http://[\d.]+:\d+)", "grpc": "([\d.]+:\d+)"', text):
            return found[1], found[2]
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
    message = f"the service did not start: {log.read_text(encoding='utf-8')[-2000:]}"
    raise SystemExit(message)


def _children(pid: int) -> list[int]:
    """Processes that any thread of `pid` has started and that live."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _pin(pid: int, core: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), {core})


def _stat(pid: int, *, ended: bool = False) -> float:
    """Processor time of a process; with `ended`, also of its children that have ended and were waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(value) for value in fields[11 : 15 if ended else 13]) / _TICKS


def cpu_of(pid: int) -> float:
    """Processor time of a process so far, 0 where it has ended."""
    return _stat(pid)


def rss_of(pid: int) -> int:
    """Resident memory of a process, 0 where it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
