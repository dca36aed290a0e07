"""What traces cost: `python -m bench.tracing [--runs N]`.

Two services side by side, one that traces every request to a collector in this process and one that traces none, are
sent the same clip in turn, and requests for a model that does not exist, which cost next to nothing. Medians of
the time of an answer, and the median of the ratios within pairs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from bench.live_service import Service, service

CLIP = Path("samples/positive.mp4")
_CHEAP_REQUESTS = 200
_FLUSH_S = 1.0


class Collector(trace_service_pb2_grpc.TraceServiceServicer):  # type: ignore[misc]  # generated without types
    """Counts the spans that it is sent."""

    def __init__(self) -> None:
        self.spans = 0

    def Export(  # noqa: N802 - as the interface calls it
        self, request: trace_service_pb2.ExportTraceServiceRequest, _: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        """One batch."""
        self.spans += sum(len(scope.spans) for told in request.resource_spans for scope in told.scope_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


def _clip(running: Service, data: bytes) -> None:
    _ask(f"{running.url}/v1/analyze", data)


def _cheap(running: Service, _: bytes) -> None:
    for _ in range(_CHEAP_REQUESTS):
        _ask(f"{running.url}/v1/models/none", None)


def _ask(url: str, data: bytes | None) -> None:
    request = urllib.request.Request(url, data=data, headers={"content-type": "video/mp4"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            answer.read()
    except urllib.error.HTTPError as refusal:
        refusal.read()


def compared(plain: Service, traced: Service, what: Callable[[Service, bytes], None], runs: int) -> list[list[float]]:
    """Seconds of each run, without traces and with them; who begins changes from pair to pair."""
    data = CLIP.read_bytes()
    for each in (plain, traced):
        what(each, data)
    taken: list[list[float]] = [[], []]
    for number in range(runs):
        sys.stderr.write(f"\r{what.__name__.strip('_')}: pair {number + 1} of {runs} ")
        for place in (0, 1) if number % 2 else (1, 0):
            begun = time.perf_counter()
            what((plain, traced)[place], data)
            taken[place].append(time.perf_counter() - begun)
    sys.stderr.write("\n")
    return taken


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=30, help="pairs (default: %(default)s)")
    runs = parser.parse_args().runs
    collector, server = Collector(), grpc.server(ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    address = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    one = {"GLIMPSE_WORKERS__COUNT": "1", "GLIMPSE_WORKERS__SPARE": "0"}
    with service(**one) as plain, service(**one, GLIMPSE_TELEMETRY__OTLP_ENDPOINT=address) as traced:
        print(f"| of {runs} pairs | without traces | with | median ratio |\n|---|---|---|---|")
        for what, name, scale in ((_clip, "a clip, ms", 1e3), (_cheap, "a refusal, ms", 1e3 / _CHEAP_REQUESTS)):
            off, on = compared(plain, traced, what, runs)
            ratio = statistics.median(b / a for a, b in zip(off, on, strict=True))
            print(
                f"| {name} | {statistics.median(off) * scale:.2f} | {statistics.median(on) * scale:.2f} | {ratio:.3f} |"
            )
        time.sleep(_FLUSH_S)
    print(f"\n{collector.spans} spans were delivered.")
    server.stop(0)


if __name__ == "__main__":
    main()
