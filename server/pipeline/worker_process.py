"""One worker process as the gateway sees it: started, given one job at a time, stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from server.errors import ConfigurationError, Overloaded, WorkerCrashed
from server.pipeline.base import OnProgress
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
from server.secrecy import overwriting

_log = logging.getLogger(__name__)

_DIED = "The process that held the clip died."

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM", "MALLOC_ARENA_MAX"), "1"
)


class WorkerProcess:
    """Everything but the thread runs on the event loop. `sender` carries jobs into the pipe, which may take a while.

    `ending` is empty while the worker can be used, then why it ends: crash, memory, deadline, cancelled or shutdown.
    `stage` is what the current job reported last. `started` fails with `ConfigurationError`; `exited` never fails.
    """

    def __init__(self, factory: bytes, memory_bytes: int | None, sender: Executor) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender = sender
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: MessagePipe | None = None
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._sending: asyncio.Future[None] | None = None
        self._on_progress: OnProgress | None = None
        self.ending = ""
        self.stage = ""
        self.started: asyncio.Future[None] = self._loop.create_future()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        start = Start(factory, memory_bytes, os.getpid())
        # The kernel ties a child to the thread that started it, so the thread must live as long as the process.
        threading.Thread(target=self._attend, args=(start,), name="glimpse-worker", daemon=True).start()

    @property
    def pid(self) -> int | None:
        """Process id once started."""
        return self._process.pid if self._process else None

    @property
    def busy(self) -> bool:
        """Whether a job was given that has no answer yet."""
        return bool(self._answers)

    async def run(self, job: Any, on_progress: OnProgress | None) -> Any:
        """Give the worker a job and wait for its answer. When cancelled, call `stop` or `kill` before the next job.

        Jobs of a handler that reports no progress may follow each other before the first is answered: the worker then
        has the next one at hand, and answers in their order.

        Raises what the handler raised if it is a `GlimpseError`, else `WorkerCrashed`; what pickling the job raises.
        """
        assert self._pipe is not None
        self._number += 1
        self.stage = ""
        self._on_progress = on_progress
        answer = self._answers[self._number] = self._loop.create_future()
        message = Job(self._number, job)
        if self.exited.done():
            self._fail(WorkerCrashed(_DIED))
        # A pipe takes one message at a time, and threads of an executor do not keep an order.
        while self._sending is not None and not self._sending.done():
            await asyncio.wait({self._sending})
        sending = self._sending = self._loop.run_in_executor(self._sender, self._pipe.send, message)
        sending.add_done_callback(_look_at)
        # asyncio.wait leaves the futures alone when this task is cancelled: `stop` still needs them.
        await asyncio.wait({sending})
        error = sending.exception()
        if error is not None and not isinstance(error, OSError):
            del self._answers[message.number]
            raise error
        await asyncio.wait({answer})
        return answer.result()

    async def stop(self, grace_s: float, reason: str) -> None:
        """End the current job: ask the worker to, and kill it for `reason` after `grace_s` seconds."""
        pipe, answer, sending = self._pipe, self._answers.get(self._number), self._sending
        if answer is None:
            return
        assert pipe is not None
        assert sending is not None
        try:
            async with asyncio.timeout(grace_s):
                await asyncio.wait({sending})
                await asyncio.wait({self._loop.run_in_executor(self._sender, self._ask_to_stop, pipe)})
                await asyncio.wait({answer})
        except TimeoutError:
            self.kill(reason)

    def kill(self, reason: str) -> None:
        """End the process now."""
        self.ending = self.ending or reason
        if self._process is not None:
            self._process.kill()

    def _ask_to_stop(self, pipe: MessagePipe) -> None:
        with contextlib.suppress(OSError):
            pipe.send(Cancel(self._number))

    def _attend(self, start: Start) -> None:
        """Thread: start the process, pass on what it says, and see it end."""
        pipe, theirs = MessagePipe.pair()
        self._pipe = pipe
        try:
            process = self._process = _spawn(theirs)
        except OSError as error:
            self._post(self._on_message, StartFailed(str(error)))
            self._post(self._on_exit, -1)
            return
        finally:
            theirs.close()
        if self.ending:
            process.kill()
        try:
            pipe.send(start)
            while self._post(self._on_message, pipe.receive()):
                pass
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - an answer that cannot be read is a broken worker
            _log.error("unreadable answer of a worker: %s", type(error).__name__)
        process.kill()
        code = process.wait()
        pipe.close()
        self._post(self._on_exit, code)

    def _post(self, callback: Callable[[Any], None], argument: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, argument)
        except RuntimeError:  # the loop was closed before its workers were
            return False
        return True

    def _on_message(self, message: object) -> None:
        match message:
            case Ready():
                self.started.set_result(None)
            case StartFailed(reason):
                self.started.set_exception(ConfigurationError(f"A worker could not be set up: {reason}"))
                self.started.exception()
            case OutOfMemory():
                self.ending = self.ending or "memory"
                self._fail(WorkerCrashed("The clip needs more memory than a worker may use.", stage=self.stage))
            case Advanced(number, progress) if number == self._number:
                self.stage = progress.stage
                if self._on_progress is not None:
                    self._on_progress(progress)
            case Done(number, result) if number in self._answers:
                self._answers.pop(number).set_result(result)
            case Refused(number, error) if number in self._answers:
                self._fail(error, number)
            case Failed(number, kind, locations) if number in self._answers:
                _log.error("a job failed with %s at %s", kind, "; ".join(locations))
                self._fail(WorkerCrashed("The clip could not be processed.", stage=self.stage), number)
            case Stopped(number) if number in self._answers:
                self._fail(WorkerCrashed("The job was cancelled.", stage=self.stage), number)

    def _on_exit(self, code: int) -> None:
        if not self.ending:
            _log.error("a worker ended with status %d", code)
        self.ending = self.ending or "crash"
        if not self.started.done():
            self.started.set_exception(ConfigurationError(f"A worker ended with status {code} before it was ready."))
            self.started.exception()
        if self.ending == "shutdown":
            self._fail(Overloaded("The service is shutting down."))
        self._fail(WorkerCrashed(_DIED, stage=self.stage))
        self.exited.set_result(None)

    def _fail(self, error: Exception, number: int | None = None) -> None:
        """Answer one job, or all that have none, with an error."""
        for each in [number] if number is not None else list(self._answers):
            answer = self._answers.pop(each)
            answer.set_exception(error)
            answer.exception()  # nobody may be waiting any more, and that is no defect to be logged


def _look_at(sending: asyncio.Future[None]) -> None:
    """Retrieve the error of a job that could not be sent: who asked for it may not be waiting any more."""
    if not sending.cancelled():
        sending.exception()


def _spawn(end: MessagePipe) -> subprocess.Popen[bytes]:
    # No setting reaches what decodes a stranger's file: one of them is a key.
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith("GLIMPSE_")}
    environment = {**inherited, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-m", "server.pipeline.worker_main", *map(str, end.descriptors)]
    return subprocess.Popen(command, pass_fds=end.descriptors, stdin=subprocess.DEVNULL, env=overwriting(environment))
