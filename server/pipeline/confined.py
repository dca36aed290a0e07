"""Tells the operator what confines the worker processes, once for each kind of them."""

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
