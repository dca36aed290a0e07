"""Ten thousand mutated clips and pictures, and ten thousand mutated requests: `python -m bench.fuzz`.

The service is a process of its own, started with small limits. Every mutant follows from `--seed` and its number, so
that the same seed sends a finding again. Memory is compared between the end and after the first
`--warm-up` requests, until when the allocators have met every kind of request; both at rest, with all workers there.
Exit status 1 where something is not as it must be.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time

import grpc

from bench.fuzz import corpus, requests
from bench.fuzz.bombard import SETTINGS, Bombardment, Found
from bench.live_service import service
from export.output import message

_GROWTH = 0.05


def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=int, default=10_000, help="mutated clips and pictures")
    parser.add_argument("--requests", type=int, default=10_000, help="mutated requests")
    parser.add_argument("--warm-up", type=int, default=5_000, help="requests before memory is first measured")
    parser.add_argument("--seconds", type=float, default=1800.0, help="nothing is sent after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grow", action="store_true", help="keep what is answered as nothing in tests/corpus is")
    chosen = parser.parse_args()
    with service(**SETTINGS) as running:
        end = time.monotonic() + chosen.seconds
        fire = Bombardment(running, seed=chosen.seed, warm_up=chosen.warm_up, end=end)
        found = asyncio.run(fire.run(chosen.media, chosen.requests, _progress))
        if chosen.grow:
            asyncio.run(_grow(fire, found, running.url, running.grpc))
    _print(found)
    sys.exit(bool(wrong(found)))


def wrong(found: Found) -> list[str]:
    """What is not as it must be, in words."""
    assert found.warm is not None
    assert found.last is not None
    complaints = [
        f"{fault.kind} {fault.mutant.key}: {fault.outcome.name}: {fault.outcome.fault}" for fault in found.faults
    ]
    if found.unforeseen:
        complaints.append(f"{found.unforeseen} unforeseen errors in the log of the service")
    if not found.ready:
        complaints.append("the service is not ready")
    if found.last.workers != found.warm.workers:
        complaints.append(f"{found.last.workers} processes instead of {found.warm.workers}")
    for name in ("gateway_bytes", "worker_bytes"):
        before, after = getattr(found.warm, name), getattr(found.last, name)
        if after > before * (1 + _GROWTH):
            complaints.append(f"{name} grew from {before / 2**20:.1f} to {after / 2**20:.1f} MiB")
    return complaints


def _progress(sent: int) -> None:
    if sent % 500 == 0:
        message(f"{sent} sent")


async def _grow(fire: Bombardment, found: Found, url: str, address: str) -> None:
    known = {(each.kind, each.outcome) for each in corpus.kept()}
    async with grpc.aio.insecure_channel(address) as channel:
        target = requests.Target(url.removeprefix("http://"), address, channel)
        for (kind, outcome), mutant in sorted(found.first.items()):
            if (kind, outcome) in known:
                continue
            least = await fire.smallest(kind, mutant, outcome, target)
            data = fire.made(kind, least)
            if len(data) <= corpus.LARGEST:
                name = re.sub(r"[^a-z0-9_]+", "-", outcome.lower()) + ".bin"
                steps = ", ".join(map(str, least.steps))
                made = f"seed `{least.seed}`, key {least.key}, steps {steps or 'none'}"
                corpus.add(corpus.Kept(kind, name, outcome, made), data)


def _print(found: Found) -> None:
    assert found.warm is not None
    assert found.last is not None
    print(f"{'kind':<10} {'outcome':<44} {'count':>6}")
    for (kind, outcome), count in sorted(found.outcomes.items()):
        print(f"{kind:<10} {outcome:<44} {count:>6}")
    print(f"\n{found.sent} requests in {found.seconds:.0f} s, {found.sent / found.seconds:.1f} per second")
    for name, state in (("after warm-up", found.warm), ("at the end", found.last)):
        gateway, workers = state.gateway_bytes / 2**20, state.worker_bytes / 2**20
        print(f"{name}: gateway {gateway:.1f} MiB, {state.workers} workers {workers:.1f} MiB")
    print(f"workers replaced: {found.restarts}; ready: {found.ready}")
    for complaint in wrong(found):
        print(f"WRONG {complaint}")


if __name__ == "__main__":
    main()
