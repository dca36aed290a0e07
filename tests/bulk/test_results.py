"""A folder of results: what a run leaves there, however it ends, and what the next one does with it."""

import asyncio
import errno
import json
import os
import resource
import sqlite3
import tempfile
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.bulk.errors import DiskFull, ResultsBroken, ResultsInUse, ResultsUnwritable
from server.bulk.journal import Journal
from server.bulk.results import Results
from server.errors import OptionError
from tests.bulk.conftest import Saying, clips_of, content_of, look

EXAMPLES = int(os.environ.get("EXAMPLES", "8"))


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_every_clip_has_one_line(corpus, out):
    """Reports and errors by path in the order of names, events beside them, and a manifest that counts."""
    complete, pace, summary = await look(out, corpus, Saying())
    assert complete
    assert (pace.analysed, pace.failed, pace.done, pace.film_s) == (3, 2, 0, 6.0)
    assert [line["path"] for line in _lines(out / "reports.jsonl")] == ["a.mp4", "b.mp4", "d.mp4"]
    assert [line["id"] for line in _lines(out / "reports.jsonl")] == ["face of a", "face of b", "face of d"]
    assert [(line["path"], line["code"], line["stage"]) for line in _lines(out / "errors.jsonl")] == [
        ("c.mp4", "no-face", "faces"),
        ("gone.mp4", "unreadable-file", "read"),
    ]
    assert [line["path"] for line in _lines(out / "events.jsonl")] == ["a.mp4", "b.mp4", "d.mp4"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest == {"model": "a", "finished": True, "clips": {"reports": 3, "failures": 2}}
    assert (summary.clips, summary.film_s, summary.events) == (3, 6.0, Counter({"positive": 3}))
    assert summary.failures == Counter({"no-face": 1, "unreadable-file": 1})


async def test_what_is_done_is_not_done_again(corpus, out):
    """Neither reports nor failures; a file that was only touched is read, but not analysed."""
    await look(out, corpus, Saying())
    before = content_of(out)
    os.utime(corpus / "a.mp4", ns=(1, 1))
    engine = Saying()
    complete, pace, _ = await look(out, corpus, engine)
    assert (complete, pace.done, pace.analysed, pace.failed) == (True, 5, 0, 0)
    assert engine.analysed == []
    assert content_of(out) == before


async def test_a_changed_clip_replaces_its_result(corpus, out):
    """Also where it failed before, or fails now; nothing of the old content is left."""
    await look(out, corpus, Saying())
    (corpus / "a.mp4").write_text("nobody any more")
    (corpus / "c.mp4").write_text("face at last")
    _, pace, _ = await look(out, corpus, Saying())
    assert (pace.done, pace.analysed, pace.failed) == (3, 1, 1)
    assert [line["path"] for line in _lines(out / "reports.jsonl")] == ["b.mp4", "c.mp4", "d.mp4"]
    assert [line["path"] for line in _lines(out / "errors.jsonl")] == ["a.mp4", "gone.mp4"]


async def test_failures_are_looked_at_again_when_asked_for(corpus, out):
    """Each once, and what has a report is left alone."""
    await look(out, corpus, Saying())
    engine = Saying()
    _, pace, _ = await look(out, corpus, engine, retry_failed=True)
    assert (pace.done, pace.failed, engine.analysed) == (3, 2, [b"nobody"])


async def test_a_result_outlives_its_clip(corpus, out):
    """Who deletes a clip after its analysis keeps the report."""
    await look(out, corpus, Saying())
    before, clips = content_of(out), clips_of(corpus)
    (corpus / "a.mp4").unlink()
    with Results(out) as results:
        results.enqueue(clips)
        page = results.page(0, retry_failed=False)
        assert (page.clips, page.done) == ([], 5)
        results.finish("jsonl", complete=True)
    assert content_of(out) == before


async def test_other_options_are_refused(corpus, out):
    """What differs is named; thrown away with `fresh`, nothing of the old run is left."""
    was = {"model": {"name": "a", "version": "1"}, "settings": {"GLIMPSE_LIMITS__FACES": 16}}
    await look(out, corpus, Saying(), manifest=was)
    now = {"model": {"name": "a", "version": "2"}, "settings": {"GLIMPSE_LIMITS__FACES": 4}}
    with pytest.raises(OptionError, match="model version was 1 and is 2; GLIMPSE_LIMITS__FACES was 16 and is 4"):
        await look(out, corpus, Saying(), manifest=now)
    (corpus / "b.mp4").unlink()
    await look(out, corpus, Saying(), manifest=now, fresh=True)
    assert [line["path"] for line in _lines(out / "reports.jsonl")] == ["a.mp4", "d.mp4"]


def test_one_run_at_a_time(out):
    """A second one is refused while the first is there, and let in afterwards."""
    with Results(out), pytest.raises(ResultsInUse, match="another run"):
        Results(out)
    Results(out).close()


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    """Results need a folder of their own; `fresh` takes away what a run has left, and no more."""
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OptionError, match="something else"):
        Results(tmp_path)
    Results(tmp_path, fresh=True).close()
    assert (tmp_path / "thesis.txt").read_text() == "mine"


async def test_results_that_somebody_changed_are_refused(corpus, out):
    """Lines that are gone, and a journal that is none."""
    await look(out, corpus, Saying())
    (out / "reports.jsonl").write_text("")
    with pytest.raises(ResultsBroken, match="shorter than it was left"):
        Results(out)
    (out / "journal.sqlite").write_text("not a database at all, but long enough to be looked at" * 100)
    with pytest.raises(ResultsBroken, match="no journal"):
        Results(out)


async def test_half_a_line_is_cut_off(corpus, out):
    """What a killed run wrote and its journal does not know is gone before anything else is read or written."""
    await look(out, corpus, Saying())
    before = content_of(out)
    with (out / "reports.jsonl").open("ab") as file:
        file.write(b'{"path": "half a l')
    Results(out).close()
    assert content_of(out) == before


async def test_a_full_disk_ends_the_run_and_costs_nothing_that_is_done(corpus, out):
    """The kernel refuses to write past a limit: a typed error, whole lines, and the next run goes on."""
    (corpus / "d.mp4").write_text("face" + "." * 600_000)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Room for the journal and for one large report, not for the second, of which a part is written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, hard))
    try:
        (corpus / "e.mp4").write_text("face" + "!" * 600_000)
        with pytest.raises(DiskFull, match="what was recorded is kept"):
            await look(out, corpus, Saying(slots=1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    recorded = _lines(out / "reports.jsonl")
    assert [line["path"] for line in recorded] == ["e.mp4"]
    _, pace, _ = await look(out, corpus, Saying())
    assert (pace.done, pace.analysed) == (2, 3)
    assert len(_lines(out / "reports.jsonl")) == 4


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, ResultsUnwritable)])
async def test_what_cannot_be_written_is_told_by_kind(number, kind, corpus, out, monkeypatch):
    """A full disk and a broken one are different things to an operator."""

    def refused(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pwrite", refused)
    with pytest.raises(ResultsUnwritable, match=os.strerror(number)) as told:
        await look(out, corpus, Saying())
    assert type(told.value) is kind
    monkeypatch.undo()
    assert (await look(out, corpus, Saying()))[1].analysed == 3


@pytest.fixture(scope="module")
def scratch():
    """A folder in memory where there is one: thousands of files are synchronised there."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def test_killed_at_any_step_the_result_is_that_of_a_run_that_was_not(scratch):
    """What is on the disk before each write, cut, renaming and statement of the journal is what SIGKILL would leave
    there: the next run makes of each of these states the same files, byte by byte.
    """
    corpus, whole = _corpus(scratch / "every"), scratch / "every" / "whole"
    states = _watched(whole, corpus)
    wanted = content_of(whole)
    assert len(states) > 20
    for state in states:
        _run(state, corpus)
        assert content_of(state) == wanted
        assert not list(state.glob("*.new"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(before=st.lists(st.integers(0, 99), max_size=2), after=st.lists(st.integers(0, 99), max_size=2))
def test_killed_again_and_again_while_the_corpus_changes(scratch, before, after):
    """The same, for runs of which several are killed, before and after clips have changed."""
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        corpus, out = _corpus(Path(folder)), Path(folder, "results")
        for share in before:
            out = _killed(out, corpus, share)
        (corpus / "b.mp4").write_text("face of b")
        (corpus / "c.mp4").write_text("nobody any more")
        for share in after:
            out = _killed(out, corpus, share)
        _run(out, corpus)
        _run(Path(folder, "whole"), corpus)
        assert content_of(out) == content_of(Path(folder, "whole"))


def _corpus(folder):
    corpus = folder / "corpus"
    corpus.mkdir(parents=True)
    for name, text in (("a", "face of a"), ("b", "nobody"), ("c", "face of c" + "." * 2000)):
        (corpus / f"{name}.mp4").write_text(text)
    return corpus


def _run(out, corpus):
    assert asyncio.run(look(out, corpus, Saying()))[0]


def _killed(out, corpus, share):
    """A run that is killed after so many hundredths of its steps: the folder that it leaves."""
    states = _watched(out, corpus)
    return states[share * len(states) // 100]


def _watched(out, corpus):
    """Look at a corpus; every state in which the folder of results was meanwhile, as folders, each once."""
    states, known, turn = [], set(), threading.Lock()

    def step(*_):
        with turn:
            files = {path.name: path.read_bytes() for path in out.iterdir() if path.name != "lock"}
            if (state := hash(frozenset(files.items()))) in known:
                return
            known.add(state)
            states.append(Path(tempfile.mkdtemp(dir=corpus.parent)))
            for name, content in files.items():
                (states[-1] / name).write_bytes(content)

    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((os, "pwrite"), (os, "fsync"), (os, "ftruncate"), (Path, "replace"), (Path, "unlink")):
            patch.setattr(owner, name, _stepping(step, getattr(owner, name)))

        def connected(*arguments, connect=sqlite3.connect, **options):
            database = connect(*arguments, **options)
            database.set_trace_callback(step)
            return database

        patch.setattr(sqlite3, "connect", connected)
        _run(out, corpus)
    return states


def _stepping(step, call):
    def stepped(*arguments, **options):
        step()
        return call(*arguments, **options)

    return stepped


def test_memory_does_not_grow_with_the_corpus(tmp_path):
    """A queue of very many clips is on the disk, each once, and comes back in pieces."""
    import tracemalloc

    journal = Journal(tmp_path / "journal.sqlite", ("reports.jsonl",))
    tracemalloc.start()
    try:
        names = ((f"clip {number % 15_000:06}", b"/corpus/clip") for number in range(20_000))
        assert journal.enqueue(names) == 15_000
        last, seen = 0, 0
        while page := journal.waiting(last, 256):
            last, seen = page[-1].position, seen + len(page)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        journal.close()
    assert seen == 15_000
    assert most < 1 << 20
