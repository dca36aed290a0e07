"""Several gateways share several Tritons: `python -m bench.scale_out [--gateways 1 2 3] [--tritons 1 2]`.

On one machine more of them are no faster, so this says nothing of speed. It says how evenly the calls are spread, by
the Tritons' own counters; whether a request is lost when one Triton of several is killed under load; what the longest
answer takes when one stands still (SIGSTOP); and how soon one that is back is asked again, be it by a probe. Clients
send pairs of pictures in a closed loop. Exit status 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from bench.chaos_triton import CLIPS, MODEL, REPOSITORY, Answer, Load, kill, pair, port_of, wait_until
from bench.live_service import service
from bench.live_tables import Check, say, show, show_checks
from server.predict.tritonserver import TritonServer

PATIENCE_S = 60.0
EVEN = 0.1
"""Largest share of all calls by which two Tritons may differ: gateways take turns, each for itself, and probe both."""
HUNG_S = 10.0
"""Largest time of an answer that was under way to a Triton which then stood still: 3 s until the next probe, 2.3 s for
that, and the request itself, with room for a machine that is busy.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Each number of gateways over each number of Tritons, then what fails."""
    options = _options(arguments)
    checks: list[Check] = []
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        # The one model alone, so that a start takes a second or two.
        (Path(folder) / MODEL).symlink_to((REPOSITORY / MODEL).resolve())
        for tritons in options.tritons:
            for gateways in options.gateways:
                say(f"{gateways} gateways over {tritons} Tritons")
                told, found = _round(Path(folder), gateways, tritons, options)
                rows.append(told)
                checks += found
    show(
        f"Pairs of pictures for {options.seconds:g} s each, two clients for each gateway",
        (
            "gateways",
            "Tritons",
            "answered",
            "calls of each Triton",
            "lost by a kill",
            "back in load s",
            "longest hung s",
        ),
        rows,
    )
    show_checks(checks)
    return 0 if all(check.met for check in checks) else 1


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scale_out", description=__doc__)
    parser.add_argument("--gateways", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--tritons", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    return parser.parse_args(arguments)


def _round(folder: Path, gateways: int, tritons: int, options: argparse.Namespace) -> tuple[list[str], list[Check]]:
    with ExitStack() as running:
        servers = [running.enter_context(TritonServer(folder)) for _ in range(tritons)]
        address = ",".join(server.grpc_address for server in servers)
        settings = {
            "GLIMPSE_BACKEND__KIND": "triton", "GLIMPSE_BACKEND__TRITON_ADDRESS": address,
            "GLIMPSE_BACKEND__REPOSITORY": str(folder), "GLIMPSE_LIVE__FRAMES_PER_SECOND": "100",
        }  # fmt: skip
        urls = [running.enter_context(service(**settings)).url for _ in range(gateways)]
        work = pair(CLIPS[0])
        with httpx.Client(base_url=urls[0], timeout=120.0, trust_env=False) as client:
            expected = {work.name: work.send(client).raise_for_status().json()}
        loads = [Load(url, [[work]], expected) for url in urls]
        before = [_served(server) for server in servers]
        with _all(loads):
            time.sleep(options.seconds)
            counts = [_served(server) - start for server, start in zip(servers, before, strict=True)]
            told = [str(gateways), str(tritons), str(sum(len(load.answers) for load in loads))]
            told.append(" ".join(f"{count:.0f}" for count in counts))
            what = f"{gateways} gateways over {tritons} Tritons"
            if tritons == 1:
                return [*told, "-", "-", "-"], _judged(what, loads)
            spread = (max(counts) - min(counts)) / sum(counts)
            back_s, servers[0] = _killed(servers[0], folder, running, options.seconds)
            longest_s = _hung(servers[0], loads, folder, running, options.seconds)
        lost = sum(not answer.outcome.startswith("200") for load in loads for answer in load.answers)
    checks = [
        *_judged(what, loads),
        Check(f"{what}: calls differ by at most {EVEN:.0%}", f"{spread:.1%}", spread <= EVEN),
        Check(f"{what}: longest answer with one hung at most {HUNG_S:g} s", f"{longest_s:.1f} s", longest_s <= HUNG_S),
    ]
    return [*told, str(lost), f"{back_s:.1f}", f"{longest_s:.1f}"], checks


@contextmanager
def _all(loads: Sequence[Load]) -> Iterator[None]:
    with ExitStack() as running:
        for load in loads:
            running.enter_context(load.running(2))
        yield


def _killed(server: TritonServer, folder: Path, running: ExitStack, seconds: float) -> tuple[float, TritonServer]:
    """Seconds from its being ready again to the first inference that it is asked for; and the new process."""
    port = port_of(server.grpc_address)
    kill(server)
    time.sleep(seconds)
    again = running.enter_context(TritonServer(folder, grpc_port=port))
    ready_at = time.monotonic()
    wait_until(lambda: _served(again) > 0, PATIENCE_S)
    back_s = time.monotonic() - ready_at
    time.sleep(seconds)
    return back_s, again


def _hung(server: TritonServer, loads: Sequence[Load], folder: Path, running: ExitStack, seconds: float) -> float:
    """The longest answer to what was asked before or while it stood still."""
    began = time.monotonic()
    os.killpg(server.pid, signal.SIGSTOP)
    try:
        time.sleep(HUNG_S + seconds)
    finally:
        # Its Python backend aborts now and then when it goes on, so that it ends here.
        os.killpg(server.pid, signal.SIGCONT)
        kill(server)
    later: list[Answer] = [answer for load in loads for answer in list(load.answers) if answer.ended > began]
    return max(answer.seconds for answer in later)


def _judged(what: str, loads: Sequence[Load]) -> list[Check]:
    answers = [answer for load in loads for answer in load.answers]
    lost = [answer.outcome for answer in answers if not answer.outcome.startswith("200")]
    wrong = [answer.wrong for answer in answers if answer.wrong]
    return [
        Check(
            f"{what}: every request is answered",
            f"{len(lost)} of {len(answers)} were not {lost[:1] or ''}".strip(),
            not lost,
        ),
        Check(f"{what}: as in peace", f"{len(wrong)} were not {wrong[:1] or ''}".strip(), not wrong),
    ]


def _served(server: TritonServer) -> float:
    """Inferences that a Triton has answered, by its own count."""
    text = httpx.get(f"http://{server.metrics_address}/metrics", trust_env=False).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(each.value for each in samples if each.name.startswith("nv_inference_request_success"))


if __name__ == "__main__":
    sys.exit(main())
