"""Admission, without any protocol."""

import asyncio
from contextlib import ExitStack, contextmanager, suppress

import pytest

from server.access.caller import CALLER, Caller
from server.api.limits import Admission, Limits
from server.errors import DeadlineExceeded, LimitExceeded, Overloaded
from server.telemetry.metrics import Metrics


class Clock:
    """That of the event loop, and as much later as the test says."""

    ahead_s = 0.0

    def __call__(self):
        return asyncio.get_running_loop().time() + self.ahead_s


@contextmanager
def asked_by(tenant):
    """Requests that begin inside are those of this tenant."""
    token = CALLER.set(Caller(address=tenant))
    try:
        yield
    finally:
        CALLER.reset(token)


class Crowd:
    """Requests that are inside until they are told to end."""

    def __init__(self, gate):
        self.gate, self.begun, self.refused = gate, [], []
        self.tasks, self.goes_on = [], asyncio.Event()

    async def ask(self, tenant, count=1, deadline_s=9.0):
        for _ in range(count):
            self.tasks.append(asyncio.ensure_future(self._ask(tenant, deadline_s)))
        await self.settle()

    async def settle(self):
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self):
        self.goes_on.set()
        await asyncio.gather(*self.tasks)

    async def _ask(self, tenant, deadline_s):
        try:
            with asked_by(tenant), self.gate.enter("analyze") as ticket:
                ticket.uploaded()
                async with ticket.turn(asyncio.get_running_loop().time() + deadline_s):
                    self.begun.append(tenant)
                    await self.goes_on.wait()
        except Overloaded as refusal:
            self.refused.append((tenant, refusal))


def admission(clock=None, **changes):
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
    limits = Limits(**{**given, **changes})
    return Admission(limits, Metrics(), clock) if clock else Admission(limits, Metrics())


def test_a_place_is_free_again_after_its_request():
    """Admission counts requests inside, not requests ever seen."""
    gate = admission(queued=0)
    for _ in range(3):
        with gate.enter("analyze") as ticket:
            ticket.uploaded()
            with pytest.raises(Overloaded), gate.enter("analyze"):
                pytest.fail("let in")


async def test_waits_and_uploads_are_told():
    """How long each request waited for its turn, and how large its body was."""
    clock = Clock()
    gate = admission(clock)
    crowd = Crowd(gate)
    await crowd.ask("a", 2)
    clock.ahead_s = 3.0
    await crowd.end()
    value = gate._gauges.registry.get_sample_value
    assert value("glimpse_wait_seconds_count", {"kind": "request"}) == 2
    assert 3 <= value("glimpse_wait_seconds_sum", {"kind": "request"}) < 4
    with gate.enter("analyze") as ticket:
        ticket.hold(40)
        ticket.uploaded()
    assert value("glimpse_upload_bytes_sum", {"kind": "analyze"}) == 40


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


async def test_the_newest_of_a_flood_gives_way_to_the_first_of_somebody_else():
    """Where all places are taken, the polite one gets one at once, and the flood has one fewer."""
    crowd = Crowd(admission(inflight=1, queued=3))
    await crowd.ask("flood", 6)
    assert [tenant for tenant, _ in crowd.refused] == ["flood"] * 2
    await crowd.ask("polite")
    assert [tenant for tenant, _ in crowd.refused] == ["flood"] * 3
    await crowd.end()
    assert crowd.begun == ["flood", "polite", "flood", "flood"]


async def test_nobody_gives_way_to_one_who_has_as_much():
    """Two tenants that flood share the places, and then each is refused its next."""
    crowd = Crowd(admission(inflight=1, queued=3))
    await crowd.ask("one", 4)
    await crowd.ask("other", 4)
    assert sorted(tenant for tenant, _ in crowd.refused) == ["one", "one", "other", "other"]
    await crowd.end()
    assert sorted(crowd.begun) == ["one", "one", "other", "other"]


async def test_a_flood_leaves_a_place_to_be_worked_on():
    """Though many of the flood wait, the first request of somebody else begins at once."""
    crowd = Crowd(admission(inflight=10, queued=30))
    await crowd.ask("flood", 40)
    assert crowd.begun == ["flood"] * 8
    await crowd.ask("polite")
    assert crowd.begun[8:] == ["polite"]
    await crowd.end()


async def test_uploads_and_their_memory_are_left_to_others_as_well():
    """A tenant that uploads all it may keeps nobody else from uploading."""
    gate = admission(uploads=10, buffered_bytes=1000, inflight=100)
    with ExitStack() as uploads:
        with asked_by("flood"):
            tickets = [uploads.enter_context(gate.enter("analyze")) for _ in range(8)]
            with pytest.raises(Overloaded, match="uploads"), gate.enter("analyze"):
                pytest.fail("let in")
            for ticket in tickets:
                ticket.hold(100)
            with pytest.raises(Overloaded, match="too much"):
                gate.buffer(CALLER.get().tenant, 50)
        with asked_by("polite"), gate.enter("analyze") as ticket:
            ticket.hold(100)
    assert gate.buffered == 0


async def test_retry_after_is_the_time_that_the_queue_takes():
    """Mean service time / workers, for each request that is before; of another tenant, one for each of one's own."""
    clock = Clock()
    gate = admission(clock, inflight=2, queued=2, workers=2)
    crowd = Crowd(gate)
    await crowd.ask("flood", 2)
    clock.ahead_s = 10.0
    await crowd.end()
    again = Crowd(gate)
    await again.ask("flood", 5, deadline_s=1000)
    ((_, refusal),) = again.refused
    assert refusal.details["retry_after_s"] == pytest.approx(4 * 10 / 2, rel=0.01)
    assert gate.retry_after_s("polite") == pytest.approx(10 / 2, rel=0.01)
    await again.end()


async def test_what_would_be_answered_too_late_is_refused_at_once():
    """With five seconds an answer and two before it, a request that must be answered in twelve does not wait."""
    clock = Clock()
    gate = admission(clock, inflight=1, queued=9)
    first = Crowd(gate)
    await first.ask("flood")
    clock.ahead_s = 5.0
    await first.end()
    crowd = Crowd(gate)
    now_s = clock.ahead_s
    await crowd.ask("flood", 2, deadline_s=now_s + 1000)
    await crowd.ask("flood", deadline_s=now_s + 12)
    ((_, refusal),) = crowd.refused
    assert refusal.details["retry_after_s"] == pytest.approx(10, rel=0.01)
    await crowd.ask("polite", deadline_s=now_s + 12)
    assert len(crowd.refused) == 1
    await crowd.end()


async def test_a_request_that_nobody_is_before_is_never_refused_for_its_deadline():
    """However long the last one took, the next may be quick, and only so is it found out."""
    clock = Clock()
    gate = admission(clock)
    slow = Crowd(gate)
    await slow.ask("one")
    clock.ahead_s = 500.0
    await slow.end()
    crowd = Crowd(gate)
    await crowd.ask("one", deadline_s=clock.ahead_s + 1)
    assert crowd.begun == ["one"]
    await crowd.end()


async def test_who_leaves_while_waiting_leaves_no_trace():
    """Neither its wait nor a place that it was given in that moment is lost to others."""
    gate = admission(inflight=1, queued=5)
    async with gate.place("analyze", asyncio.get_running_loop().time() + 9):
        crowd = Crowd(gate)
        await crowd.ask("one", 2)
        crowd.tasks[0].cancel()
    crowd.tasks[1].cancel()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
    await crowd.ask("other")
    assert crowd.begun[-1] == "other"
    crowd.goes_on.set()
    await asyncio.gather(*crowd.tasks, return_exceptions=True)
