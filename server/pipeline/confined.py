"""Tells the operator of worker processes: what confines them, once for each kind of them, and which run."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from server.pipeline.base import Observer
from server.pipeline.worker_process import WorkerProcess
from server.sandbox.confinement import LAYERS

_log = logging.getLogger(__name__)


def tell_confinement(workers: str, processes: Iterable[WorkerProcess], observer: Observer | None) -> None:
    """By the process that is confined least; `workers` says what they are for."""
    least = min((process.confinement for process in processes), key=lambda each: len(each.applied))
    applied = ", ".join(least.applied)
    if least.lacking:
        _log.warning("workers for %s lack a layer of their sandbox", workers, extra={"lacks": least.lacking})
    _log.info("workers for %s are confined", workers, extra={"layers": applied})
    if observer is not None:
        observer.set_sandbox(workers, {layer: layer in least.applied for layer in LAYERS})


def watch_process(workers: str, process: WorkerProcess, observer: Observer | None) -> None:
    """Tell that a process is ready, and later that it has ended; `workers` says what it is for."""
    pid = process.pid
    if observer is None or pid is None or process.exited.done():
        return
    observer.track_worker(workers, pid, runs=True)
    process.exited.add_done_callback(lambda _: observer.track_worker(workers, pid, runs=False))
