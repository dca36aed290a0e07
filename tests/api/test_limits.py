"""Admission, without any protocol."""

import asyncio
from contextlib import suppress

import pytest

from server.api.limits import Admission, Limits
from server.errors import DeadlineExceeded, LimitExceeded, Overloaded
from server.telemetry.metrics import Metrics


def admission(**changes):
    given = {
        "upload_bytes": 100,
        "upload_idle_s": 1,
        "upload_bytes_per_s": 1,
        "uploads": 9,
        "inflight": 1,
        "queued": 1,
        "buffered_bytes": 150,
        "deadline_s": 9,
    }
    return Admission(Limits(**{**given, **changes}), Metrics())


def test_a_place_is_free_again_after_its_request():
    """Admission counts requests inside, not requests ever seen."""
    gate = admission(queued=0)
    for _ in range(3):
        with gate.enter("analyze") as ticket:
            ticket.uploaded()
            with pytest.raises(Overloaded), gate.enter("analyze"):
                pytest.fail("let in")


def test_uploads_take_no_place_of_those_that_are_worked_on():
    """They have a bound of their own, and who finds no place after an upload is refused then."""
    gate = admission(queued=0, uploads=3)
    with gate.enter("analyze") as first, gate.enter("analyze") as second, gate.enter("analyze"):
        with pytest.raises(Overloaded, match="uploads"), gate.enter("analyze"):
            pytest.fail("let in")
        first.uploaded()
        with pytest.raises(Overloaded, match="waiting"):
            second.uploaded()
    with gate.enter("analyze") as ticket:
        ticket.uploaded()


def test_an_upload_may_not_pass_its_own_limit():
    """The limit of one request, named by its setting."""
    with admission().enter("analyze") as ticket:
        ticket.hold(100)
        with pytest.raises(LimitExceeded) as refused:
            ticket.hold(1)
    assert refused.value.details == {"setting": "GLIMPSE_LIMITS__UPLOAD_BYTES", "limit": 100}


def test_memory_is_given_back_whatever_happened():
    """After a failed request the whole memory is there again."""
    gate = admission()
    with suppress(RuntimeError), gate.enter("analyze") as first, gate.enter("analyze") as second:
        first.hold(100)
        with pytest.raises(Overloaded):
            second.hold(60)
        second.hold(50)
        assert gate.buffered == 150
        raise RuntimeError
    assert gate.buffered == 0


async def test_who_waits_too_long_gives_up_and_leaves_no_trace():
    """The place goes to the next one, not to the one that gave up."""
    gate = admission()
    soon = asyncio.get_running_loop().time()
    async with gate.place("analyze", soon + 9):
        with pytest.raises(DeadlineExceeded) as late:
            async with gate.place("analyze", soon):
                pytest.fail("the place was taken")
    assert late.value.stage == "admission"
    async with gate.place("analyze", soon + 9):
        pass
