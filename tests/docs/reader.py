"""Somebody who does what a document says: commands, programs and pages in their order, in one folder."""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.docs.blocks import Block, blocks_of, commands

ROOT = Path(__file__).parents[2]
STARTUP_S = 120
"""A program that serves has said within this where it listens."""
SERVERS = {
    "serve": (
        {"--port": "8080", "--grpc-port": "8081"},
        re.compile(r'"url": "https?://([\d.]+:\d+)", "grpc": "([\d.]+:\d+)"'),
    ),
    "triton": (
        {"--port": "8001", "--http-port": "8000", "--metrics-port": "8002"},
        re.compile(r"gRPC ([\d.]+:\d+), HTTP ([\d.]+:\d+), metrics http://([\d.]+:\d+)"),
    ),
}
"""Commands of `glimpse` that serve: their options of ports with the defaults, and what they say of their addresses."""
OUTPUT = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Reader:
    """Reads documents in `folder`, in which samples, default model and programs are. `addresses` are those
    of services that run already, by the port that documents have for them.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str] | None = None, **environment: str) -> None:
        self.folder = folder
        self.addresses = dict(addresses or {})
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._programs: list[subprocess.Popen[str]] = []
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GLIMPSE_", "COVERAGE"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
        self._environment = {**clean, "PATH": path, "COLUMNS": "120", **environment}
        (folder / "model_repository").mkdir(parents=True)
        for name in ("samples", "docs", "helm"):
            (folder / name).symlink_to(ROOT / name)
        for name in ("model_repository/glimpse_flow", ".triton"):
            (folder / name).symlink_to(ROOT / name)
        (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)

    def read(self, document: Path) -> int:
        """Do what `document` says, and return how many blocks were run."""
        done = 0
        for block in blocks_of(document):
            where = f"{document.name}, line {block.line}"
            if block.title:
                (self.folder / block.title).parent.mkdir(parents=True, exist_ok=True)
                (self.folder / block.title).write_text(self._here(block.text), encoding="utf-8")
            elif block.is_run:
                (self._python if block.language == "python" else self._shell)(block, where)
                done += 1
            elif opened := re.fullmatch(r"open (\S+), choose (\S+)", block.comment):
                self.open_page(self._here(opened[1]), self.folder / opened[2], block.text, where)
                done += 1
        return done

    def open_page(self, address: str, file: Path, shows: str, where: str) -> None:
        """Open a page, choose a file in its only file field, and see that the page shows `shows`."""
        raise NotImplementedError(f"{where}: no browser to open {address}, choose {file} and see {shows}")

    def close(self) -> None:
        """End what was started, the last one first."""
        for program in reversed(self._programs):
            program.send_signal(signal.SIGINT)
            try:
                program.wait(60)
            finally:
                program.kill()
                program.wait()
                if program.stderr:
                    program.stderr.close()

    def _here(self, text: str) -> str:
        for port, address in self.addresses.items():
            text = re.sub(rf"(?:127\.0\.0\.1|localhost):{port}\b", address, text)
        return text

    def _python(self, block: Block, where: str) -> None:
        said = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(said):
            exec(compile(self._here(block.text), where, "exec"), self._names)
        _compare(block.output, said.getvalue(), where)

    def _shell(self, block: Block, where: str) -> None:
        for command, output in commands(block):
            text = self._here(command)
            if text.rstrip().endswith(" &"):
                self._start(text.rstrip()[:-1], where)
            else:
                _compare(output, self._ended(text, where), where)

    def _ended(self, script: str, where: str) -> str:
        """What commands say on standard output; raises where one fails. Variables outlive them, as in a terminal."""
        kept = self.folder / ".variables"
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f"[ ! -e {kept} ] || . {kept}\n{script}\ndeclare -px > {kept}\n"],
            cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, f"{where}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def _start(self, command: str, where: str) -> None:
        """Run a command that serves, on free ports, and wait until it says where."""
        found = re.search(r"\bglimpse (serve|triton)\b(.*)", command, re.DOTALL)
        assert found, f"{where}: what runs beside must be a server"
        options, says = SERVERS[found[1]]
        asked = dict(re.findall(r"(--[\w-]*port) (\d+)", found[2]))
        others = re.sub(r"--[\w-]*port \d+", "", found[2])
        free = " ".join(f"{option} 0" for option in options)
        kept = self.folder / ".variables"
        script = f"[ ! -e {kept} ] || . {kept}\n{command[: found.start()]}exec glimpse {found[1]} {free} {others}"
        # A program that takes the place of the shell ends by the signals that the shell is sent.
        script = re.sub(r"\n((?:\w+=\S+ )+)exec ", r"\nexport \1\nexec ", script)
        program = subprocess.Popen(
            ["bash", "-euc", script],
            cwd=self.folder, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._programs.append(program)
        ports = (asked.get(option, port) for option, port in options.items())
        self.addresses.update(zip(ports, _listening(program, says, where), strict=True))


def _compare(expected: str | None, said: str, where: str) -> None:
    if expected is None:
        return
    checker = doctest.OutputChecker()
    example = doctest.Example("", expected)
    assert checker.check_output(expected, said, OUTPUT), f"{where}\n{checker.output_difference(example, said, OUTPUT)}"


def _listening(program: subprocess.Popen[str], says: re.Pattern[str], where: str) -> tuple[str, ...]:
    """The addresses that the program says; what it says after that is thrown away."""
    assert program.stderr is not None
    deadline, told = time.monotonic() + STARTUP_S, ""
    with selectors.DefaultSelector() as selector:
        selector.register(program.stderr, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            piece = os.read(program.stderr.fileno(), 1 << 16).decode()
            assert piece, f"{where}: it ended before it listened: {told}"
            told += piece
            if found := says.search(told.replace("\n", " ")):
                threading.Thread(target=program.stderr.read, daemon=True).start()
                return found.groups()
    raise AssertionError(f"{where}: it did not say where it listens: {told}")


class _Quiet(SimpleHTTPRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextlib.contextmanager
def file_server(folder: Path) -> Iterator[str]:
    """Serves the files of a folder, as `python -m http.server` does; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
