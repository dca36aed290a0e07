"""A corpus of files that stand for clips, and an engine that says of them what they say of themselves."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from server.bulk.examine import examine
from server.bulk.inputs import name_of
from server.bulk.outcomes import Work
from server.bulk.pace import Pace
from server.bulk.results import Results
from server.bulk.run import Run
from server.errors import NoFace
from server.types import AnalyzeOptions
from tests.conftest import REF, report

WORK = Work(AnalyzeOptions(), 60.0, 1 << 20)


class Saying:
    """An engine for files that hold their answer: `face`, or anything else for a clip without one.

    `before` is called with each content that is analysed, and may raise. `most` is how many were looked at together.
    """

    def __init__(self, slots=2, before=None):
        self.slots = slots
        self.model = REF
        self.analysed = []
        self.most = 0
        self._now = 0
        self._before = before

    async def examine(self, clip):
        self._now += 1
        self.most = max(self.most, self._now)
        try:
            return await examine(clip, self._answer, WORK.most_bytes)
        finally:
            self._now -= 1

    async def _answer(self, content):
        said = bytes(content)
        self.analysed.append(said)
        # Others begin as well.
        await asyncio.sleep(0)
        if self._before is not None:
            await self._before(said)
        if not said.startswith(b"face"):
            raise NoFace("no face was found", stage="faces", frames=len(said))
        found = report(said.decode())
        return replace(found, clip=replace(found.clip, frames=len(said)))


@pytest.fixture
def corpus(tmp_path):
    """Three clips with a face, one without, and one that is not there."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("b", "a", "d"):
        (folder / f"{name}.mp4").write_text(f"face of {name}")
    (folder / "c.mp4").write_text("nobody")
    (folder / "gone.mp4").symlink_to("nowhere")
    return folder


@pytest.fixture
def out(tmp_path):
    """Where results go."""
    return tmp_path / "results"


def clips_of(folder: Path):
    """Names and paths of what is in a corpus, the last name first."""
    paths = sorted(folder.iterdir(), reverse=True)
    return [(name_of(path, folder), str(path).encode()) for path in paths]


async def look(out, folder, engine, *, manifest=None, wanted="jsonl", fresh=False, **how):
    """One run over a corpus: whether it is complete, its pace, and what is in the results."""
    with Results(out, fresh=fresh) as results:
        results.begin(manifest or {"model": "a"})
        pace = Pace(results.enqueue(clips_of(folder)))
        complete = await Run(engine, results, pace, lambda: None, **how)()
        return complete, pace, results.finish(wanted, complete=complete)


def content_of(out: Path):
    """What readers of the results see."""
    return {name: (out / name).read_bytes() for name in ("reports.jsonl", "errors.jsonl", "events.jsonl")}
