"""One worker process as the gateway sees it: started, given one job at a time, stopped or killed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import Any

from server.errors import ConfigurationError, LimitExceeded, Overloaded, WorkerCrashed
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
from server.pipeline.worker_spawn import spawn
from server.sandbox.confinement import Bounds, Confinement

_log = logging.getLogger(__name__)

_DIED = "The process that held the clip died."
_FORBIDDEN = "The process that held the clip did what its sandbox forbids, and was ended."

_CPU_SETTING = "GLIMPSE_WORKERS__CPU_SECONDS"
_ENDINGS = {-signal.SIGXCPU: "cpu", -signal.SIGSYS: "sandbox"}
"""Why a worker ended, by the status that the system gives it; anything else is a crash."""


class WorkerKilled(WorkerCrashed):
    """The process was killed by somebody else, such as an operator or a kernel that is out of memory: its job need not
    be the cause.
    """


class WorkerProcess:
    """Everything but the thread runs on the event loop. `sender` carries jobs into the pipe, which may take a while.

    `ending` is empty while the worker can be used, then why it ends: crash, memory, cpu, sandbox, deadline, cancelled
    or shutdown. `confinement` is known once it is started. `stage` is what the current job reported last. `spare` is
    that of `server.pipeline.workers`. `started` fails with `ConfigurationError`; `exited` never fails.
    """

    def __init__(self, factory: bytes, bounds: Bounds, sender: Executor, *, spare: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._sender = sender
        self._bounds = bounds
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: MessagePipe | None = None
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._sending: asyncio.Future[None] | None = None
        self._on_progress: OnProgress | None = None
        self.ending = ""
        self.stage = ""
        self.confinement = Confinement()
        self.spare = spare
        self.started: asyncio.Future[None] = self._loop.create_future()
        self.exited: asyncio.Future[None] = self._loop.create_future()
        start = Start(factory, bounds, os.getpid())
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

    def give_way(self, nice: int) -> None:
        """Let other processes come first on the processors, as far as `nice` says, 0..19."""
        wanted = os.getpriority(os.PRIO_PROCESS, 0) + nice
        # Each thread has a priority of its own, and those to come inherit it.
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                os.setpriority(os.PRIO_PROCESS, int(thread.name), wanted)

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
        ready = False
        pipe, theirs = MessagePipe.pair()
        self._pipe = pipe
        try:
            process, words = spawn(theirs)
            self._process = process
        except OSError as error:
            self._post(self._on_message, StartFailed(str(error)))
            self._post(self._on_exit, 1)
            return
        finally:
            theirs.close()
        if self.ending:
            process.kill()
        try:
            pipe.send(start)
            heard = True
            while heard:
                message = pipe.receive(self._bounds.memory_bytes)
                ready = ready or isinstance(message, Ready)
                heard = self._post(self._on_message, message)
                del message  # an answer must not stay in memory while the next one is waited for
        except (EOFError, OSError):
            pass
        except Exception as error:  # noqa: BLE001 - an answer that cannot be read is a broken worker
            _log.error("unreadable answer of a worker: %s", type(error).__name__)
        process.kill()
        code = process.wait()
        pipe.close()
        # Nothing of a stranger's was in the process before it was ready.
        said = words.heard(everything=not ready)
        self._post(partial(self._on_exit, said=said), code)

    def _post(self, callback: Callable[[Any], None], argument: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(callback, argument)
        except RuntimeError:  # the loop was closed before its workers were
            return False
        return True

    def _on_message(self, message: object) -> None:
        match message:
            case Ready(confinement):
                self.confinement = confinement
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

    def _on_exit(self, code: int, said: str = "") -> None:
        killed = not self.ending and code == -signal.SIGKILL
        if not self.ending:
            _log.error("a worker ended with status %d", code, extra={"said": said} if said else {})
        self.ending = self.ending or _ENDINGS.get(code, "crash")
        if not self.started.done():
            self.started.set_exception(ConfigurationError(f"A worker ended with status {code} before it was ready."))
            self.started.exception()
        if self.ending == "shutdown":
            self._fail(Overloaded("The service is shutting down."))
        elif self.ending == "cpu" and self._bounds.job_cpu_s is not None:
            most_s = self._bounds.job_cpu_s
            message = f"The request needs more than {most_s:g} s of processor time ({_CPU_SETTING})."
            self._fail(LimitExceeded(message, setting=_CPU_SETTING, limit=most_s, stage=self.stage))
        elif killed:
            self._fail(WorkerKilled(_DIED, stage=self.stage))
        self._fail(WorkerCrashed(_FORBIDDEN if self.ending == "sandbox" else _DIED, stage=self.stage))
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
