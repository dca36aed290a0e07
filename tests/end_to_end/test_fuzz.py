"""What is wrong with media and requests costs whoever sends it an answer, and nobody else anything."""

import asyncio

import grpc
import pytest

from bench.fuzz import corpus, requests
from bench.fuzz.bombard import SETTINGS, Bombardment
from bench.live_service import service

MUTANTS = 200
KEPT = corpus.kept()


@pytest.fixture(scope="module")
def running():
    """A service with little patience and small limits."""
    with service(**SETTINGS) as started:
        yield started


def test_what_was_found_once_stays_answered(running):
    """Every file of the corpus, as it was sent when it was found; media are answered in the same way on any machine."""

    async def replay():
        places = asyncio.Semaphore(8)

        async def sent(each, target):
            async with places:
                return await requests.send(each.kind, each.read(), target)

        async with grpc.aio.insecure_channel(running.grpc) as channel:
            target = requests.Target(running.url.removeprefix("http://"), running.grpc, channel)
            return await asyncio.gather(*(sent(each, target) for each in KEPT))

    outcomes = asyncio.run(replay())
    assert [(each.name, outcome) for each, outcome in zip(KEPT, outcomes, strict=True) if outcome.fault] == []
    media = [(e.name, e.outcome, o.name) for e, o in zip(KEPT, outcomes, strict=True) if e.kind in requests.MEDIA]
    assert [row for row in media if row[1] != row[2]] == []
    assert running.process.poll() is None


def test_every_file_of_the_corpus_is_listed():
    """And is small."""
    files = {path for path in corpus.FOLDER.rglob("*") if path.is_file() and path.name != "README.md"}
    assert files == {corpus.FOLDER / each.kind / each.name for each in KEPT}
    assert all(path.stat().st_size <= corpus.LARGEST for path in files)


def test_mutants_are_answered_and_leave_nothing_behind(running):
    """Some hundreds of each kind; `make fuzz` sends ten thousand, and measures memory."""
    fire = Bombardment(running, seed=7, warm_up=0)
    found = asyncio.run(fire.run(MUTANTS, MUTANTS))
    assert [(fault.kind, fault.mutant, fault.outcome) for fault in found.faults] == []
    assert found.sent == 2 * MUTANTS
    assert found.unforeseen == 0
    assert found.ready
    assert found.last.workers == found.warm.workers
