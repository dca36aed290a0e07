"""Starting and stopping a Triton of one's own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from server.errors import BackendUnavailable, ConfigurationError
from server.predict import tritonserver
from server.predict.triton_install import TritonInstallation
from server.predict.tritonserver import TritonServer
from tests.triton_metrics import OF_TRITON

LISTEN = "0A"
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F"}
"""127.0.0.1, plain and as an IPv6 socket spells it."""


def gone(pid):
    """Whether there is no such process, not even a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def group(pid):
    """The members of a process group that are not zombies."""
    members = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = stat.read_text().rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(pgrp) == pid and state != "Z":
            members.append(stat.parent.name)
    return members


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a shell script in the place of the server's binary."""

    def put(script):
        installation = TritonInstallation(tmp_path / "home")
        installation.binary.parent.mkdir(parents=True)
        installation.binary.write_text(f"#!/bin/sh\n{script}\n")
        installation.binary.chmod(0o755)
        monkeypatch.setattr(tritonserver, "ensure_installed", lambda _home, report: installation)

    return put


def test_listens_on_loopback_alone(triton):
    """None of the three ports is open to another machine."""
    addresses = (triton.grpc_address, triton.http_address, triton.metrics_address)
    ports = {int(address.rpartition(":")[2]) for address in addresses}
    listening = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{triton.pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            host, _, port = local.partition(":")
            if state == LISTEN and int(port, 16) in ports:
                listening.setdefault(int(port, 16), set()).add(host)
    assert set(listening) == ports
    assert set().union(*listening.values()) <= LOOPBACK


def test_tells_the_metrics_that_rules_and_dashboard_ask_for(triton):
    """By the names that these use, each for every model; those of GPUs only where there is one."""
    text = httpx.get(f"http://{triton.metrics_address}/metrics", trust_env=False).text
    # Not the library's own parser, which adds `_total` to names of counters that lack it.
    assert set(re.findall(r"^(nv_\w+)\{", text, re.MULTILINE)) >= OF_TRITON


@pytest.mark.parametrize("stop_timeout_s", [6.0, 0.0], ids=["asked to end", "killed"])
def test_leaves_nothing_behind(stop_timeout_s, triton_server_factory, maker):
    """After stopping there is no process of its group and nothing of it in shared memory; stopping twice is fine."""
    maker.add("tiny")
    server = triton_server_factory(maker.path, stop_timeout_s=stop_timeout_s)
    pid = server.pid
    mine = f"glimpse_{os.getpid()}_"
    before = set(Path("/dev/shm").glob(f"{server._region}*"))
    assert before
    assert all(path.name.startswith(mine) for path in before)
    server.stop()
    server.stop()
    assert gone(pid)
    assert group(pid) == []
    assert not set(Path("/dev/shm").glob(f"{server._region}*"))
    with pytest.raises(BackendUnavailable, match="not running"):
        _ = server.pid


def test_serve_ends_when_asked(triton, maker, pytestconfig):
    """`serve` says where it listens, runs until SIGTERM, then takes Triton with it and reports success."""
    maker.add("tiny")
    script = (
        "import sys; from pathlib import Path; from server.predict.tritonserver import TritonServer\n"
        "server = TritonServer(Path(sys.argv[1]), home=Path(sys.argv[2]),\n"
        "                      report=lambda line: print(server.pid, line, flush=True))\n"
        "sys.exit(server.serve())"
    )
    command = [sys.executable, "-c", script, str(maker.path), str(pytestconfig.rootpath / ".triton")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=pytestconfig.rootpath
    ) as process:
        pid, _, line = process.stdout.readline().partition(" ")
        assert "gRPC 127.0.0.1:" in line
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert gone(int(pid))


def test_a_server_that_ends_at_once_shows_its_log(program, tmp_path):
    """The error holds the last words of the server."""
    program("echo the reason why; exit 3")
    with pytest.raises(ConfigurationError, match="the reason why"):
        TritonServer(tmp_path).start()


def test_a_server_that_is_never_ready_is_killed(program, tmp_path):
    """Past the bound the error says so, and neither the server, deaf to SIGTERM, nor its child is left."""
    program(f"trap '' TERM; echo loading; echo $$ > {tmp_path}/pid; sleep 600 & sleep 600")
    with pytest.raises(BackendUnavailable, match=r"not ready after 1 s:\nloading"):
        TritonServer(tmp_path, startup_timeout_s=1.0, stop_timeout_s=0.1).start()
    pid = int((tmp_path / "pid").read_text())
    assert gone(pid)
    deadline = time.monotonic() + 20
    while group(pid):  # the kernel may take a moment to bury the child
        assert time.monotonic() < deadline


def test_a_repository_that_is_not_there(tmp_path):
    """A wrong path is an error before anything is installed or started."""
    with pytest.raises(ConfigurationError, match="not a directory"):
        TritonServer(tmp_path / "nowhere", home=tmp_path / "home").start()
    assert not (tmp_path / "home").exists()


def test_a_port_that_is_taken(program, tmp_path):
    """A port that another process holds is named."""
    program("exit 1")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}"):
            TritonServer(tmp_path, grpc_port=port).start()
