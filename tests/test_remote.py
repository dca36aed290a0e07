"""What a running service answers, as the command line has it."""

from dataclasses import replace

import pytest

from server.errors import NoFace
from server.remote import RemoteProblem, RemoteService
from server.types import AnalyzeOptions, Progress
from tests.conftest import MODEL, report
from tests.shown import PICTURES, SIGNALS


async def test_nothing_is_lost_on_the_way(start, fake_analyzer):
    """Every field of a report, of progress and of models, and every option."""
    gateway, seen = start(fake_analyzer(progress=[Progress("decode", 1, 2)])), []
    asked = AnalyzeOptions("net", "3", "all", 0.5, 0.75, frozenset({"micro"}))
    options = replace(asked, include=frozenset({"signals", "pictures"}))
    async with RemoteService(gateway.url) as service:
        found = await service.analyze(b"clip", options, seen.append)
        assert await service.models() == [MODEL]
    expected = report(found.id)
    assert found == replace(expected, events=(replace(*expected.events, pictures=PICTURES),), signals=(SIGNALS,))
    assert seen == [Progress("decode", 1, 2)]
    assert gateway.analyzer.calls[0]["options"] == options


async def test_a_problem_names_its_code_and_request(start, fake_analyzer):
    """On one line."""
    gateway = start(fake_analyzer(error=NoFace("no face in 200 frames")))
    async with RemoteService(gateway.url) as service:
        with pytest.raises(RemoteProblem, match=r"^no face in 200 frames \(no-face, request [0-9a-f]{32}\)$"):
            await service.analyze(b"clip", AnalyzeOptions(), lambda _: None)


async def test_nobody_at_the_address_is_a_problem_too():
    """With the address."""
    async with RemoteService("http://127.0.0.1:9") as service:
        with pytest.raises(RemoteProblem, match=r"^http://127\.0\.0\.1:9 does not answer: "):
            await service.models()
