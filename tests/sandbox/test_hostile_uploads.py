"""The uploads that refer to something else, in a real worker, which could open nothing if it tried."""

from __future__ import annotations

from tests.media.hostile import CLIPS, FRAMES, IGNORED, PICTURES, TEXTS
from tests.sandbox import attacks
from tests.sandbox.conftest import linux, soon

pytestmark = linux


async def test_they_are_answered_as_without_a_sandbox(make):
    """None of them needs what the sandbox refuses: the same frames and the same refusals, and no worker is lost."""
    pool, watcher = await make(factory=attacks.build_decoder)
    for name, upload in {**TEXTS, **CLIPS, **IGNORED, **PICTURES}.items():
        data = upload("/etc/passwd", "http://127.0.0.1:9")
        assert (name, await pool.run((data,), deadline=soon())) == (name, attacks.decoded(data))
        if name in IGNORED:
            assert attacks.decoded(data)[0] == FRAMES
    assert not watcher.restarts
