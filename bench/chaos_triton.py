"""Triton killed and started again under load: is every request answered, rightly, and how soon is all well again?

Usage: `python -m bench.chaos_triton [--times 20] [--clients 4] [--fallback]`. A service with the backend Triton and a
Triton beside it, both on loopback; half of the clients send the sample clips in a closed loop, the others pairs of
pictures from them, which take a fraction of the time. Before the first kill each is sent once in peace: every later
answer must have the same events, labels and times, and probabilities within 1e-4.
Exit status 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import httpx

from bench.live_service import service
from bench.live_tables import Check, say, show, show_checks
from server.predict.tritonserver import TritonServer

MODEL = "glimpse_flow"
REPOSITORY = Path("model_repository")
CLIPS = tuple(Path("samples") / f"{name}.mp4" for name in ("positive", "negative", "surprise", "neutral_blink"))
TOLERANCE = 1e-4
PROMISED_S = 2.0
CALM_S, PAUSE_S, PATIENCE_S = 1.0, 0.05, 30.0
TYPED = {429: "overloaded", 503: "backend-unavailable", 504: "deadline-exceeded"}


@dataclass(frozen=True)
class Answer:
    """What became of one request, and when, in seconds of the monotonic clock."""

    outcome: str
    ended: float
    wrong: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Work:
    """One request that is sent again and again."""

    name: str
    route: str
    files: Mapping[str, bytes]

    def send(self, client: httpx.Client) -> httpx.Response:
        """Once."""
        return client.post(self.route, files={part: (part, data) for part, data in self.files.items()})


def clip(path: Path) -> Work:
    """A clip."""
    return Work(path.stem, "/v1/analyze", {"clip": path.read_bytes()})


def pair(path: Path) -> Work:
    """The first frame of a clip, and the one in its middle."""
    with av.open(str(path)) as source:
        frames = [frame.to_ndarray(format="bgr24") for frame in source.decode(video=0)]
    onset, apex = (cv2.imencode(".png", frames[index])[1].tobytes() for index in (0, len(frames) // 2))
    return Work(f"{path.stem} pair", "/v1/classify", {"onset": onset, "apex": apex})


@dataclass
class Load:
    """Clients in a closed loop, and a prober of liveness, until `over`."""

    url: str
    kinds: Sequence[Sequence[Work]]
    expected: Mapping[str, Any]
    answers: list[Answer] = field(default_factory=list)
    probes: list[tuple[int, float]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, clients: int) -> Iterator[None]:
        """All of them, until the block is left and each has its last answer."""
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(clients)]
        threads.append(threading.Thread(target=self._probe))
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in threads:
                thread.join()

    def first(self, outcome: str, after: float) -> float | None:
        """When the first answer of a kind came after a moment."""
        return min((a.ended for a in list(self.answers) if a.outcome == outcome and a.ended > after), default=None)

    def _send(self, number: int) -> None:
        kind = self.kinds[number % len(self.kinds)]
        with httpx.Client(base_url=self.url, timeout=120.0, trust_env=False) as client:
            while not self.over.is_set():
                number += 1
                answer = self._one(client, kind[number % len(kind)])
                self.answers.append(answer)
                if not answer.outcome.startswith("200"):
                    self.over.wait(PAUSE_S)

    def _one(self, client: httpx.Client, work: Work) -> Answer:
        started = time.monotonic()
        try:
            response = work.send(client)
            body = response.json()
        except (httpx.HTTPError, ValueError) as error:
            return Answer(f"no answer ({type(error).__name__})", time.monotonic())
        ended = time.monotonic()
        if response.status_code != 200:
            typed = TYPED.get(response.status_code) == body.get("code")
            told = typed and (response.status_code == 504 or "retry-after" in response.headers)
            return Answer(f"{response.status_code} {body.get('code')}" if told else f"untyped {body}", ended)
        backend = body["model"]["backend"]
        wrong = difference(self.expected[work.name], body)
        if (backend == "local") != any(warning["code"] == "fallback" for warning in body["warnings"]):
            wrong = "the report does not say who stood in"
        return Answer(f"200 {backend}", ended, wrong, ended - started)

    def _probe(self) -> None:
        with httpx.Client(base_url=self.url, timeout=10.0, trust_env=False) as client:
            while not self.over.wait(0.1):
                started = time.monotonic()
                try:
                    status = client.get("/livez").status_code
                except httpx.HTTPError:
                    status = 0
                self.probes.append((status, time.monotonic() - started))


def difference(expected: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    """What is not as it was in peace; empty where all is."""
    before_all, now_all = (body.get("events", [body]) for body in (expected, report))
    if len(before_all) != len(now_all):
        return f"{len(now_all)} events for {len(before_all)}"
    for before, now in zip(before_all, now_all, strict=True):
        for name in ("label", "onset_s", "apex_s", "offset_s"):
            if before.get(name) != now.get(name):
                return f"{name} {now.get(name)} for {before.get(name)}"
        for label, share in before["probabilities"].items():
            if abs(share - now["probabilities"][label]) > TOLERANCE:
                return f"{label} {now['probabilities'][label]} for {share}"
    return ""


def port_of(address: str) -> int:
    """The port of host:port."""
    return int(address.rpartition(":")[2])


def wait_until(met: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time; looked at a hundred times a second."""
    end = time.monotonic() + seconds
    while not met():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def model_ready(address: str) -> bool:
    """What Triton says of itself and of the model."""
    paths = ("/v2/health/ready", f"/v2/models/{MODEL}/ready")
    try:
        return all(httpx.get(f"http://{address}{path}", trust_env=False).status_code == 200 for path in paths)
    except httpx.HTTPError:
        return False


def kill(server: TritonServer) -> None:
    """The server and the processes of its models, without a word; what they leave is removed."""
    os.killpg(server.pid, signal.SIGKILL)
    server.stop()


@dataclass(frozen=True)
class Recovery:
    """Seconds from Triton being ready to the first report that it answered, to `/readyz`, and from kill to ready."""

    report_s: float
    readyz_s: float
    away_s: float


def ready_again(url: str) -> bool:
    """What the service says, without a remark on who stands in."""
    answer = httpx.get(f"{url}/readyz", trust_env=False)
    return answer.status_code == 200 and not answer.json()["reasons"]


def chaos(repository: Path, options: argparse.Namespace) -> tuple[Load, list[Recovery]]:
    """The whole run."""
    recoveries: list[Recovery] = []
    server = TritonServer(repository)
    server.start()
    ports = port_of(server.grpc_address), port_of(server.http_address)
    settings = {
        "GLIMPSE_BACKEND__KIND": "triton",
        "GLIMPSE_BACKEND__TRITON_ADDRESS": server.grpc_address,
        "GLIMPSE_BACKEND__REPOSITORY": str(repository),
        "GLIMPSE_BACKEND__FALLBACK": "local" if options.fallback else "none",
        "GLIMPSE_WORKERS__COUNT": str(options.workers),
    }
    try:
        with service(**settings) as running:
            kinds = [clip(path) for path in CLIPS], [pair(path) for path in CLIPS]
            with httpx.Client(base_url=running.url, timeout=120.0, trust_env=False) as client:
                expected = {work.name: work.send(client).raise_for_status().json() for kind in kinds for work in kind}
            load = Load(running.url, kinds, expected)
            with load.running(options.clients):
                for number in range(options.times):
                    time.sleep(CALM_S)
                    killed_at = time.monotonic()
                    kill(server)
                    server = TritonServer(repository, grpc_port=ports[0], http_port=ports[1])
                    server.start()
                    wait_until(partial(model_ready, server.http_address), PATIENCE_S)
                    recoveries.append(recovered(load, killed_at))
                    say(f"{number + 1}/{options.times}: {recoveries[-1].report_s:.2f} s to the first report")
            if running.process.poll() is not None:
                raise SystemExit("the service has ended")
    finally:
        server.stop()
    return load, recoveries


def recovered(load: Load, killed_at: float) -> Recovery:
    """From this moment, at which Triton is ready; without an end the patience counts."""
    ready_at = time.monotonic()
    seen: dict[str, float] = {}

    def well() -> bool:
        if "readyz" not in seen and ready_again(load.url):
            seen["readyz"] = time.monotonic()
        first = load.first("200 triton", ready_at)
        if first is not None:
            seen["report"] = first
        return len(seen) == 2

    wait_until(well, PATIENCE_S)
    late = ready_at + PATIENCE_S
    return Recovery(seen.get("report", late) - ready_at, seen.get("readyz", late) - ready_at, ready_at - killed_at)


def report(load: Load, recoveries: Sequence[Recovery], options: argparse.Namespace) -> bool:
    """Print it; whether all promises were kept."""
    outcomes = Counter(answer.outcome for answer in load.answers)
    wrong = [answer.wrong for answer in load.answers if answer.wrong]
    unanswered = sum(count for outcome, count in outcomes.items() if outcome.startswith("no answer"))
    kinds = {"200 triton", *(f"{status} {code}" for status, code in TYPED.items())}
    kinds |= {"200 local"} if options.fallback else set()
    failures = sum(count for outcome, count in outcomes.items() if outcome not in kinds) - unanswered
    reports, readyz, away = (
        [getattr(recovery, name) for recovery in recoveries] for name in ("report_s", "readyz_s", "away_s")
    )
    fallback = "with" if options.fallback else "without"
    show(
        f"Triton killed {len(recoveries)} times under {options.clients} clients, {fallback} fall-back",
        ("outcome", "requests"),
        [(outcome, str(count)) for outcome, count in sorted(outcomes.items())],
    )
    show(
        "Recovery",
        ("seconds", "median", "worst"),
        [
            (name, f"{median(values):.2f}", f"{max(values):.2f}")
            for name, values in (
                ("from kill to Triton ready", away),
                ("from Triton ready to /readyz without remark", readyz),
                ("from Triton ready to the first report by Triton", reports),
                ("for one report, all the time", [a.seconds for a in load.answers if a.outcome.startswith("200")]),
            )
        ],
    )
    slowest = max(seconds for _, seconds in load.probes)
    checks = [
        Check("no wrong report", f"{len(wrong)} of {len(load.answers)} {wrong[:1] or ''}".strip(), not wrong),
        Check("every request is answered", f"{unanswered} were not", not unanswered),
        Check("by a report or a typed error", f"{failures} were not", not failures),
        Check(f"first report within {PROMISED_S:g} s", f"{max(reports):.2f} s", max(reports) <= PROMISED_S),
        Check(
            "alive all the time",
            f"{len(load.probes)} probes, slowest {slowest:.2f} s",
            all(status == 200 for status, _ in load.probes),
        ),
    ]
    show_checks(checks)
    return all(check.met for check in checks)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.chaos_triton", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="how often Triton is killed")
    parser.add_argument("--clients", type=int, default=4, help="how many send requests")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of the service")
    parser.add_argument("--fallback", action="store_true", help="let the local models stand in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # The one model alone, so that a start takes a second or two.
        (Path(folder) / MODEL).symlink_to((REPOSITORY / MODEL).resolve())
        load, recoveries = chaos(Path(folder), options)
    sys.exit(0 if report(load, recoveries, options) else 1)


if __name__ == "__main__":
    main()
