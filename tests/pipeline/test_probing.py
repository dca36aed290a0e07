"""Readiness from probes in the background, on a clock that the test moves."""

import asyncio

import pytest

from server.errors import BackendUnavailable
from server.pipeline.probing import Prober, Rhythm


class Backend:
    """Answers probes as it is told, when it is let."""

    def __init__(self):
        self.error = None
        self.remark = ""
        self.held = False
        self.probes = []
        self.probed = asyncio.Semaphore(0)

    async def probe(self, model):
        """One."""
        self.probes.append(model)
        self.probed.release()
        if self.held:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return self.remark


class Observer:
    """Keeps whether the backend was up."""

    def __init__(self):
        self.up = []

    def set_backend_up(self, up):
        """Once more."""
        self.up.append(up)


class Clock:
    """Stands until it is set."""

    now = 100.0

    def __call__(self):
        """Seconds."""
        return self.now


@pytest.fixture
def backend():
    """It answers."""
    return Backend()


@pytest.fixture
def clock():
    """At 100 s."""
    return Clock()


def prober(backend, clock, models=("net",), observer=None, **rhythm):
    """With next to no pauses."""
    pauses = {"calm_s": 0.02, "worried_s": 0.001, "timeout_s": 5.0, "stale_s": 15.0} | rhythm
    return Prober(backend, models, observer or Observer(), rhythm=Rhythm(**pauses), clock=clock)


async def test_who_asks_does_not_wait(backend, clock):
    """While a probe hangs, the answer is what the last one found."""
    probing = prober(backend, clock)
    async with probing.running():
        assert (await probing.readiness()).ready
        backend.held = True
        await backend.probed.acquire()
        await backend.probed.acquire()
        asking = probing.readiness()
        with pytest.raises(StopIteration) as answer:
            asking.send(None)
        assert answer.value.value.ready


async def test_an_answer_vouches_for_a_while_only(backend, clock):
    """When no probe has ended for long, the service is not ready, and says since when."""
    probing = prober(backend, clock)
    async with probing.running():
        assert (await probing.readiness()).ready
        backend.held = True
        clock.now += 16.0
        state = await probing.readiness()
    assert (state.ready, state.reasons) == (False, ("no probe of the backend has ended for 16 s",))


async def test_it_follows_the_backend_by_itself(backend, clock):
    """Down and up again, without anybody asking; the reason names the model."""
    observer = Observer()
    probing = prober(backend, clock, observer=observer)
    async with probing.running():
        backend.error = BackendUnavailable("gone")
        while (await probing.readiness()).ready:
            await backend.probed.acquire()
        assert (await probing.readiness()).reasons == ("model 'net': gone",)
        backend.error = None
        while not (await probing.readiness()).ready:
            await backend.probed.acquire()
    assert observer.up[0] in {True, False}
    assert observer.up[-1] is True


async def test_every_required_model_is_asked(backend, clock):
    """Each once, also where it is named twice."""
    probing = prober(backend, clock, models=("net", "other", "net"))
    await probing.probe()
    assert sorted(backend.probes) == ["net", "other"]


async def test_a_failure_that_a_caller_saw_counts_at_once(backend, clock):
    """Not ready, and probed again before the pause is over; the failure of another model changes nothing."""
    probing = prober(backend, clock, calm_s=3600.0)
    async with probing.running():
        await probing.readiness()
        await backend.probed.acquire()
        probing.suspect("elsewhere")
        assert (await probing.readiness()).ready
        probing.suspect("net")
        assert not (await probing.readiness()).ready
        await backend.probed.acquire()
        await probing.probe()
        assert (await probing.readiness()).ready


async def test_where_nobody_probes_by_itself_a_question_does(backend, clock):
    """Once for all who ask within a pause."""
    probing = prober(backend, clock, calm_s=3.0)
    await asyncio.gather(*(probing.readiness() for _ in range(5)))
    assert len(backend.probes) == 1
    clock.now += 4.0
    await probing.readiness()
    assert len(backend.probes) == 2


async def test_a_probe_that_hangs_is_a_failure(backend, clock):
    """After its time."""
    backend.held = True
    state = await prober(backend, clock, timeout_s=0.01).readiness()
    assert state.reasons == ("model 'net': no answer within 0.01 s",)


async def test_a_defect_does_not_end_the_probes(backend, clock, caplog):
    """It is not ready, without a word of the exception, which is in the log."""
    backend.error = RuntimeError("secret")
    state = await prober(backend, clock).readiness()
    assert state.reasons == ("model 'net': the probe failed",)
    assert "secret" in caplog.text


async def test_ready_with_a_remark(backend, clock):
    """Where something else answers: ready, with the reason, and the backend does not count as up."""
    observer = Observer()
    backend.remark = "the local copy answers"
    state = await prober(backend, clock, observer=observer).readiness()
    assert (state.ready, state.reasons) == (True, ("model 'net': the local copy answers",))
    assert observer.up == [False]
