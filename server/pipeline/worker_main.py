"""What runs in a worker process: confine it, build the handler once, then answer one job after another.

Started as `python -P -m server.pipeline.worker_main READER WRITER`, with the pipe's end as those file descriptors.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeAlias

from server.errors import GlimpseError
from server.pipeline.worker_pipe import (
    Advanced,
    Cancel,
    Done,
    Failed,
    Job,
    MessagePipe,
    OutOfMemory,
    Ready,
    Refused,
    Start,
    StartFailed,
    Stopped,
)
from server.sandbox.kernel import die_with_parent
from server.sandbox.layers import enter
from server.sandbox.limits import limit_memory, limit_processor_time
from server.secrecy import forbid_dumps
from server.types import Progress

Handler: TypeAlias = Callable[[Any, Callable[[Progress], None]], Any]
"""Answers a job; calls its second argument now and then, where cancellation takes effect. Its method `rest`, if it has
one, is called after each job, when nothing of that is held any more.
"""

_LOADED_LATE = ("av.subtitles.codeccontext", "av.subtitles.stream", "numpy.ma", "numpy.random")


class _JobCancelled(BaseException):
    """Not an `Exception`, so that no handler takes it for a failure of its own."""


def main(reader: int, writer: int) -> None:
    """Serve until the pipe ends."""
    pipe = MessagePipe.of(reader, writer)
    start: Start = pipe.receive()
    _confine(start)
    try:
        handler: Handler = pickle.loads(start.factory)()  # noqa: S301 - the gateway wrote it
    except Exception as error:  # noqa: BLE001 - whatever it is, the gateway must learn why there is no worker
        pipe.send(StartFailed(f"{type(error).__name__}: {error}"))
        return
    confinement = enter(start.bounds.sandbox)
    if start.bounds.sandbox == "required" and confinement.lacking:
        pipe.send(StartFailed(f"the sandbox is required and lacks {confinement.lacking} (GLIMPSE_WORKERS__SANDBOX)"))
        return
    pipe.send(Ready(confinement))
    while True:
        try:
            message = pipe.receive()
            if isinstance(message, Job):
                if start.bounds.job_cpu_s is not None:
                    limit_processor_time(start.bounds.job_cpu_s)
                _answer(pipe, handler, message)
            del message  # a clip must not stay in memory while the worker waits
        except (EOFError, OSError):
            return
        except MemoryError:
            # What the failed allocation left behind is unknown: leave, a fresh worker follows.
            pipe.send(OutOfMemory())
            return


def _answer(pipe: MessagePipe, handler: Handler, job: Job) -> None:
    def report(progress: Progress) -> None:
        _check_cancelled(pipe, job.number)
        pipe.send(Advanced(job.number, progress))

    answer = _outcome(handler, job, report)
    # Only now is everything of the job let go, also what the trace of an error held.
    rest: Callable[[], None] = getattr(handler, "rest", _nothing)
    rest()
    try:
        pipe.send(answer)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - a result that cannot be sent costs one job, not a worker
        pipe.send(_failed(job, error))


def _outcome(handler: Handler, job: Job, report: Callable[[Progress], None]) -> Done | Stopped | Refused | Failed:
    try:
        return Done(job.number, handler(job.payload, report))
    except _JobCancelled:
        return Stopped(job.number)
    except GlimpseError as error:
        error.__cause__ = error.__context__ = None
        return Refused(job.number, error.with_traceback(None))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - a defect of ours must cost one job, not a worker
        return _failed(job, error)


def _failed(job: Job, error: Exception) -> Failed:
    return Failed(job.number, type(error).__name__, _locations(error.__traceback__))


def _nothing() -> None:
    """What a handler does between jobs that has nothing to do."""


def _check_cancelled(pipe: MessagePipe, number: int) -> None:
    while pipe.waiting():
        try:
            message = pipe.receive()
        except (EOFError, OSError):
            os._exit(0)  # the gateway is gone and nobody wants the answer
        if isinstance(message, Cancel) and message.number == number:
            raise _JobCancelled


def _locations(trace: TracebackType | None) -> tuple[str, ...]:
    # Not `extract_tb`, which reads the sources.
    walked = ((frame.f_code, line) for frame, line in traceback.walk_tb(trace))
    return tuple(f"{code.co_filename}:{line} in {code.co_name}" for code, line in walked)


def _confine(start: Start) -> None:
    # The gateway decides when workers end, also when a terminal or a supervisor signals the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        die_with_parent(signal.SIGKILL)
    if os.getppid() != start.parent:
        os._exit(0)
    forbid_dumps()  # a core dump would put faces on the disk
    faulthandler.enable()
    sys.excepthook = _print_location
    import cv2

    cv2.setNumThreads(1)
    load_late()
    if start.bounds.memory_bytes is not None:
        limit_memory(start.bounds.memory_bytes)


def load_late() -> None:
    """Import now what libraries import when they first need it: in the sandbox they could not open it any more."""
    for name in _LOADED_LATE:
        importlib.import_module(name)


def _print_location(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(f"worker ended by {kind.__name__}: {'; '.join(_locations(trace))}\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
