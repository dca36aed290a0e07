"""What a worker that was taken over can reach: nothing, tried from inside real ones."""

from __future__ import annotations

import os
import platform
import socket
from contextlib import ExitStack

import pytest

from server.errors import LimitExceeded, WorkerCrashed
from server.sandbox.syscalls import machine
from tests.sandbox import attacks
from tests.sandbox.conftest import linux, soon

pytestmark = linux
REFUSED = "EPERM"


@pytest.fixture
def canaries(tmp_path):
    """A file, and sockets that listen: none of them may notice anything."""
    file = tmp_path / "canary"
    file.write_text("alive", "utf-8")
    path = str(tmp_path / "socket")
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        unix = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        udp.bind(("127.0.0.1", 0))
        unix.bind(path)
        abstract.bind(f"\0glimpse-{os.getpid()}")
        for each in (unix, abstract):
            each.listen()
        for each in (tcp, udp, unix, abstract):
            each.setblocking(False)
        attempts = [
            ("connect", tcp.getsockname()[1]),
            ("datagram", udp.getsockname()[1]),
            ("unix", path),
            ("unix", f"\0glimpse-{os.getpid()}"),
            ("bind",),
            ("pair",),
            *((what, str(file)) for what in ("read", "write", "look", "remove", "rename", "link", "folder", "mode")),
            ("write", str(file) + ".new"),
            ("read", "/etc/passwd"),
            ("read", f"/proc/{os.getpid()}/environ"),
            ("list", "/proc"),
        ]
        yield attempts
        for each in (tcp, unix, abstract):
            with pytest.raises(BlockingIOError):
                each.accept()
        with pytest.raises(BlockingIOError):
            udp.recv(1)
    assert file.read_text("utf-8") == "alive"
    assert {each.name for each in tmp_path.iterdir()} == {"canary", "socket"}


PROCESSES = [
    ("fork",),
    ("spawn",),
    ("signal", os.getpid()),
    ("memory-file",),
    ("executable-memory",),
    ("descriptors", 100),
    ("raise-limits",),
    ("dumpable",),
    ("rename-self",),
    ("priority", os.getpid()),
    ("affinity",),
]


async def test_a_worker_for_clips_reaches_nothing(make, canaries):
    """No file, socket, process, signal, new code or new descriptor: each is refused, and work goes on."""
    pool, watcher = await make()
    for attempt in (*canaries, *PROCESSES):
        assert (attempt, await pool.run(attempt, deadline=soon())) == (attempt, REFUSED)
    assert await pool.run(("nothing",), deadline=soon()) == "done"
    assert not watcher.restarts


async def test_a_worker_for_streams_reaches_nothing(make_live, canaries):
    """The same holds for the processes of live streams."""
    workers, watcher = await make_live()
    async with workers.borrow() as process:
        for attempt in (*canaries, *PROCESSES):
            assert (attempt, await process.run(attempt, None)) == (attempt, REFUSED)
        assert await process.run(("nothing",), None) == "done"
    assert not watcher.restarts


@pytest.mark.parametrize(
    "attempt",
    [
        ("execute",),
        ("call", "ptrace", 16, os.getpid(), 0, 0),
        ("call", "process_vm_readv", os.getpid(), 0, 0, 0, 0, 0),
    ],
    ids=["program", "tracing", "memory of others"],
)
async def test_an_attack_ends_the_worker(attempt, make, caplog):
    """A program, a look into another process: the kernel ends the worker, which costs that job and is counted."""
    pool, watcher = await make()
    with pytest.raises(WorkerCrashed, match="sandbox"):
        await pool.run(attempt, deadline=soon())
    assert await pool.run(("nothing",), deadline=soon()) == "done"
    assert watcher.restarts == {"sandbox": 1}


async def test_an_attack_ends_the_stream(make_live, caplog):
    """The same ends a live stream, and is counted."""
    workers, watcher = await make_live()
    async with workers.borrow() as process:
        with pytest.raises(WorkerCrashed, match="sandbox"):
            await process.run(("execute",), None)
    async with workers.borrow() as process:
        assert await process.run(("nothing",), None) == "done"
    assert watcher.restarts == {"sandbox": 1}


def test_every_fatal_call_ends_a_process(in_sandbox):
    """Each call that nobody makes by the way: tracing, mounting, other namespaces, modules, io_uring, keys, BPF."""
    found = machine()
    assert found is not None
    endings = in_sandbox([("call", name) for name in found.fatal])
    assert dict(zip(found.fatal, endings, strict=True)) == dict.fromkeys(found.fatal, "SIGSYS")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 alone has a second interface")
def test_the_second_interface_is_closed(in_sandbox):
    """Calls by the numbers of x32, which mean something else, end the process."""
    assert in_sandbox([("other-interface",)]) == ["SIGSYS"]


async def test_no_dump_is_made(make):
    """Nothing of a worker that crashes is written, nor piped into a program that would keep it."""
    pool, _ = await make(factory=attacks.build_that_looked)
    assert await pool.run((), deadline=soon()) == (0, (0, 0))


async def test_processor_time_is_limited(make, caplog):
    """A job that computes for ever fails alone, with the limit's name, and its worker is replaced."""
    pool, watcher = await make(job_cpu_s=1.0)
    with pytest.raises(LimitExceeded) as caught:
        await pool.run(("burn", 60.0), deadline=soon())
    assert caught.value.details == {"setting": "GLIMPSE_WORKERS__CPU_SECONDS", "limit": 1.0}
    assert await pool.run(("nothing",), deadline=soon()) == "done"
    assert watcher.restarts == {"cpu": 1}


async def test_processor_time_is_counted_by_job(make, make_live):
    """However long a worker lives, each job has all of its time: a stream may run for hours."""
    pool, _ = await make(job_cpu_s=1.0)
    workers, _ = await make_live(job_cpu_s=1.0)
    async with workers.borrow() as process:
        for run in (lambda job: pool.run(job, deadline=soon()), lambda job: process.run(job, None)):
            await run(("burn", 0.9))
            used, limit = await run(("processor-limit",))
            assert 1.0 <= limit - used < 2.0


async def test_a_worker_holds_five_descriptors(make):
    """Its end of the pipe, an empty input, an output that goes nowhere, and where it reports a crash."""
    pool, _ = await make()
    assert len(await pool.run(("held",), deadline=soon())) == 5


async def test_descriptors_are_limited_without_the_kernels_help(make):
    """Where the sandbox is off, a job that opens ever more files runs out of them, and its worker goes on."""
    pool, watcher = await make(whole=False, sandbox="off")
    assert await pool.run(("descriptors", 100), deadline=soon()) == "EMFILE"
    assert await pool.run(("nothing",), deadline=soon()) == "done"
    assert not watcher.restarts
    assert watcher.sandbox["clips"] == {
        "limits": True,
        **dict.fromkeys(("privileges", "files", "network", "signals", "syscalls"), False),
    }


async def test_nothing_can_be_written_without_the_kernels_help(make, tmp_path):
    """Where the sandbox is off, not one byte gets into a file all the same."""
    pool, _ = await make(whole=False, sandbox="off")
    assert await pool.run(("write", str(tmp_path / "face")), deadline=soon()) == "EFBIG"
    assert (tmp_path / "face").read_bytes() == b""


async def test_a_worker_knows_no_secret(make, monkeypatch):
    """Keys, proxies, credentials of clouds and libraries to load first stay in the gateway."""
    secret = {
        "GLIMPSE_MLLM__API_KEY": "x", "AWS_SECRET_ACCESS_KEY": "x", "HTTPS_PROXY": "http://u:x@proxy", "LD_PRELOAD": "",
        "GOOGLE_APPLICATION_CREDENTIALS": "x", "PYTHONSTARTUP": "x", "OTEL_EXPORTER_OTLP_HEADERS": "x", "HOME": "/x",
    }  # fmt: skip
    for name, value in secret.items():
        monkeypatch.setenv(name, value)
    pool, _ = await make()
    known = await pool.run(("variables",), deadline=soon())
    assert not set(secret) & set(known)
    assert {"PATH", "PYTHONPATH", "OMP_NUM_THREADS"} <= set(known)
