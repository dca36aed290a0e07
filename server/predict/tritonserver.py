"""Runs the real Triton of `triton_install` on a model repository, on loopback, and takes it down without remains.

For development and for tests; production runs NVIDIA's container on the same repository.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, BinaryIO, Literal, Self

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from server.errors import BackendUnavailable, ConfigurationError
from server.predict.triton_install import ensure_installed
from server.secrecy import overwriting

_HOST = "127.0.0.1"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Triton's Python backend keeps its tensors
_POLL_S = 0.05
_LOG_TAIL_CHARACTERS = 4000


class TritonServer:
    """A Triton process that serves `repository`, as a context manager or through `serve`.

    `home` is where Triton is, or gets, installed. A port of 0 means any free one. `startup_timeout_s` covers loading
    and warming every model, `stop_timeout_s` a clean shutdown, after which the whole process group is killed. With
    `control_mode` explicit, clients may load and unload models. `launcher` is a command that becomes the server.
    """

    def __init__(
        self,
        repository: Path,
        *,
        home: Path = Path(".triton"),
        grpc_port: int = 0,
        http_port: int = 0,
        metrics_port: int = 0,
        startup_timeout_s: float = 120.0,
        stop_timeout_s: float = 6.0,
        control_mode: Literal["none", "explicit"] = "none",
        launcher: Sequence[str] = (),
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._repository = repository
        self._home = home
        self._wanted = (grpc_port, http_port, metrics_port)
        self._ports = self._wanted
        self._startup_timeout_s = startup_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._control_mode = control_mode
        self._launcher = launcher
        self._report = report
        self._process: subprocess.Popen[bytes] | None = None
        self._log: BinaryIO | None = None
        self._region = ""

    @property
    def grpc_address(self) -> str:
        """host:port of the inference protocol."""
        return f"{_HOST}:{self._ports[0]}"

    @property
    def http_address(self) -> str:
        """host:port of the HTTP protocol."""
        return f"{_HOST}:{self._ports[1]}"

    @property
    def metrics_address(self) -> str:
        """host:port of the Prometheus text."""
        return f"{_HOST}:{self._ports[2]}"

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group. Raises `BackendUnavailable` when not running."""
        if self._process is None:
            raise BackendUnavailable("this Triton is not running")
        return self._process.pid

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, log_to_stderr: bool = False) -> None:
        """Start and wait until every model was tried and the server answers.

        The server's log goes to a file without a name, from which `log_tail` reads, or to stderr.

        Raises `ConfigurationError` where it cannot be installed or ends at once, `BackendUnavailable` where it is not
        ready in time; both show the end of the server's log.
        """
        if not self._repository.is_dir():
            raise ConfigurationError(f"the model repository {str(self._repository)!r} is not a directory")
        installation = ensure_installed(self._home, report=self._report)
        self._ports = _free_ports(self._wanted)
        self._region = f"glimpse_{os.getpid()}_{secrets.token_hex(4)}_"
        path = [str(installation.environment_bin), os.environ.get("PATH", os.defpath)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["PATH"] = os.pathsep.join(path)
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(str(folder) for folder in installation.libraries)
        self._log = None if log_to_stderr else tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._process = subprocess.Popen(
            [*self._launcher, str(installation.binary), *self._arguments(installation.backends)],
            env=overwriting(environment),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if self._log is None else self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Ask it to end, then kill the process group. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        # Looked at but not reaped (Popen's own methods reap), so that the process id still names this group when it is
        # killed below.
        os.kill(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + self._stop_timeout_s
        while not _ended(process.pid) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for leftover in _SHARED_MEMORY.glob(f"{self._region}*"):
            leftover.unlink(missing_ok=True)
        if self._log is not None:
            self._log.close()

    def serve(self) -> int:
        """Run until the server ends or SIGINT or SIGTERM arrives; the exit status for the caller, 0 when asked to end.

        Call it from the main thread. Where to reach the server goes to `report`.
        """
        asked = False

        def end(_signal: int, _frame: FrameType | None) -> None:
            nonlocal asked
            asked = True

        previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.start(log_to_stderr=True)
            with self:
                self._report(
                    f"Triton serves {self._repository}: gRPC {self.grpc_address}, HTTP {self.http_address}, "
                    f"metrics http://{self.metrics_address}/metrics"
                )
                while not asked and not _ended(self.pid):
                    time.sleep(_POLL_S)
                if not asked:
                    self._report("Triton ended by itself")
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return 0 if asked else 1

    def log_tail(self) -> str:
        """The end of the server's log; empty where the log went to stderr."""
        if self._log is None:
            return ""
        size = os.fstat(self._log.fileno()).st_size
        start = max(0, size - _LOG_TAIL_CHARACTERS)
        return os.pread(self._log.fileno(), _LOG_TAIL_CHARACTERS, start).decode("utf-8", "replace")

    def _arguments(self, backends: Path) -> list[str]:
        grpc_port, http_port, metrics_port = self._ports
        options = {
            "model-repository": self._repository.resolve(),
            "backend-directory": backends,
            # Triton listens on all interfaces unless told otherwise, and has no authentication.
            "grpc-address": _HOST,
            "http-address": _HOST,
            "metrics-address": _HOST,
            "grpc-port": grpc_port,
            "http-port": http_port,
            "metrics-port": metrics_port,
            # What is in the repository at the start is what is served: no half-written model, and, unless asked for, no
            # client that loads one.
            "model-control-mode": self._control_mode,
            **({"load-model": "*"} if self._control_mode == "explicit" else {}),
            # A model that does not load must not take the others down: neither by ending the server, nor by a
            # readiness that stays false for its sake.
            "exit-on-error": "false",
            "strict-readiness": "false",
            # Memory of answered requests that is kept for reuse, in requests: bounded, and enough for one gateway.
            "grpc-infer-allocation-pool-size": 16,
            "exit-timeout-secs": 3,
            # No GPU here: without these it logs a warning for each attempt to talk to one.
            "allow-gpu-metrics": "false",
            "pinned-memory-pool-byte-size": 0,
            # Under a name of our own, what a killed server leaves in shared memory can be found and removed.
            "backend-config": f"python,shm-region-prefix-name={self._region}",
        }
        # The configuration says everything; guessing at what it left out would differ between the two Tritons.
        return ["--disable-auto-complete-config", *(f"--{name}={value}" for name, value in options.items())]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self._startup_timeout_s
        with grpc.insecure_channel(self.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            while True:
                if _ended(self.pid):
                    raise ConfigurationError(f"Triton ended while starting:\n{self.log_tail()}")
                if _ready(stub):
                    return
                if time.monotonic() > deadline:
                    raise BackendUnavailable(
                        f"Triton was not ready after {self._startup_timeout_s:g} s:\n{self.log_tail()}"
                    )
                time.sleep(_POLL_S)


def _ready(stub: Any) -> bool:
    try:
        return bool(stub.ServerReady(service_pb2.ServerReadyRequest(), timeout=2.0).ready)
    except grpc.RpcError:
        return False


def _ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _free_ports(wanted: tuple[int, int, int]) -> tuple[int, int, int]:
    """`wanted` with each 0 replaced. All are held open together, so that no two are the same."""
    held = []
    try:
        ports = []
        for port in wanted:
            probe = socket.socket()
            held.append(probe)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError as error:
                raise ConfigurationError(f"port {port} of {_HOST} is taken: {error.strerror}") from error
            ports.append(probe.getsockname()[1])
    finally:
        for probe in held:
            probe.close()
    return ports[0], ports[1], ports[2]
