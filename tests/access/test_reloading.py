"""What is read anew while the service runs."""

import asyncio
import os
import signal

import pytest

from server.access.reloading import Reloader
from server.errors import ConfigurationError


class Thing:
    def __init__(self):
        self.read = 0
        self.error = None
        self.changed = asyncio.Event()

    async def reload(self):
        self.read += 1
        self.changed.set()
        if self.error:
            raise self.error


@pytest.fixture
def counted():
    return []


def reloader(counted, every_s=1e-3):
    return Reloader(lambda what, worked: counted.append((what, worked)), every_s=every_s)


async def test_only_what_has_changed_is_read_anew(tmp_path, counted):
    """By its time, its size, or because it is another file; also one that was not there, or is no more."""
    path, thing, all_of = tmp_path / "keys.json", Thing(), reloader(counted)
    all_of.add("keys", thing.reload, path)
    await all_of.look()
    assert thing.read == 0
    path.write_text("1", "utf-8")
    await all_of.look()
    await all_of.look()
    assert thing.read == 1
    before = path.stat()
    replaced = tmp_path / "new"
    replaced.write_text("2", "utf-8")
    os.utime(replaced, ns=(before.st_atime_ns, before.st_mtime_ns))
    replaced.replace(path)
    await all_of.look()
    assert thing.read == 2
    path.unlink()
    await all_of.look()
    assert thing.read == 3
    assert counted == [("keys", True)] * 3


async def test_what_is_wrong_is_told_once_and_read_again_when_it_changes(tmp_path, counted, caplog):
    """The old one serves on."""
    path, thing, all_of = tmp_path / "keys.json", Thing(), reloader(counted)
    all_of.add("keys", thing.reload, path)
    thing.error = ConfigurationError("it is no JSON")
    path.write_text("{", "utf-8")
    await all_of.look()
    await all_of.look()
    assert counted == [("keys", False)]
    [record] = caplog.records
    assert (record.levelname, record.reason) == ("ERROR", "it is no JSON")
    thing.error = None
    path.write_text("{}", "utf-8")
    await all_of.look()
    assert counted[1:] == [("keys", True)]


async def test_all_are_read_anew_where_somebody_asks(counted):
    """Each is told of by itself; one that is wrong does not keep the others."""
    all_of, good, bad, finished = reloader(counted), Thing(), Thing(), []
    bad.error = ConfigurationError("it is no JSON")
    all_of.add("bad", bad.reload)
    all_of.add("good", good.reload)
    all_of.afterwards(lambda: finished.append(good.read))
    assert await all_of.reload() == {"bad": "it is no JSON", "good": ""}
    assert finished == [1]


async def test_files_are_looked_at_again_and_again_and_on_a_signal(tmp_path, counted):
    """While the service runs."""
    path, often, seldom = tmp_path / "keys.json", Thing(), Thing()
    quick, slow = reloader(counted), reloader(counted, every_s=1e6)
    quick.add("often", often.reload, path)
    slow.add("seldom", seldom.reload)
    async with quick.running():
        path.write_text("1", "utf-8")
        async with asyncio.timeout(20):
            await often.changed.wait()
    async with slow.running():
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(20):
            await seldom.changed.wait()
