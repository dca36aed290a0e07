"""The second model on the same traffic: what it is asked, what is counted, and that nobody else notices."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.contract import ModelContract, Provenance, TensorSpec
from server.errors import BackendFailed, BackendUnavailable, DeadlineExceeded, ModelNotServable
from server.media.limits import MediaLimits
from server.pipeline import shadow as shadow_module
from server.pipeline.clip import ClipPipeline, ClipPolicy
from server.pipeline.jobs import ClipFindings, Finding, PairFindings
from server.pipeline.shadow import Shadow, ShadowPolicy
from server.telemetry.metrics import Metrics
from server.testing import FakePredictor
from server.types import AnalyzeOptions, ClipInfo, Evidence, FaceQuality, FaceSummary, Interval

LIMITS = MediaLimits(60, 1000, 10**7)
RECIPES = {"flow_uvs_28": ("flow", (3, 28, 28)), "clip_gray_18x64": ("clip", (18, 64, 64))}
POLICY = ShadowPolicy("second", 1.0, 10.0, 4, 1.0, whole_movement=True)


def contract(name, recipe="flow_uvs_28", **changes):
    """A model of one input."""
    tensor, dims = RECIPES[recipe]
    values = {
        "name": name,
        "recipe": recipe,
        "inputs": (TensorSpec(name=tensor, dims=dims),),
        "outputs": (TensorSpec(name="probabilities", dims=(3,)),),
        "labels": ("negative", "positive", "surprise"),
        "provenance": Provenance(network="net", source="trained", command="x", training_data="none"),
    }
    return ModelContract(**(values | changes))


def fed(name, recipe):
    """A model of whichever recipe, of which only that is looked at."""
    return contract(name).model_copy(update={"recipe": recipe})


def findings(events, second=None, still=False):
    """A clip with some movements."""
    interval = Interval("micro", 3, 8, 13, 0.1, 0.3, 0.4, 0.04, 0.8, ())
    inputs = {"flow": np.ones((3, 28, 28), np.float32)}
    quality = FaceQuality(96.0, 200.0, 0.0, 0.0, 0.0, 1.0)
    return ClipFindings(
        clip=ClipInfo(3.0, 90, 30.0, 640, 480, "h264"),
        faces=(FaceSummary(1, 0.0, 3.0, quality, Evidence("good")),),
        findings=tuple(Finding(1, interval, Evidence("good"), still, inputs, {}, second) for _ in range(events)),
        coverage=1.0,
        last_face_s=3.0,
        warnings=(),
        timings_s={"decode": 0.1},
        shadow_s=0.25 if second else 0.0,
    )


class Pool:
    """Answers every job with the same findings."""

    alive = 1

    def __init__(self, answer):
        self.answer, self.jobs = answer, []

    async def run(self, job, *, deadline, on_progress=None):
        self.jobs.append(job)
        return self.answer


class Held(FakePredictor):
    """Answers when it is let."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.asked, self.go = asyncio.Event(), asyncio.Event()

    async def predict(self, model, inputs, *, version=None, deadline):
        if any(array.any() for array in inputs.values()):
            self.asked.set()
            await self.go.wait()
        return await super().predict(model, inputs, version=version, deadline=deadline)


class Told(Metrics):
    """Metrics for which a test can wait."""

    def __init__(self):
        super().__init__()
        self.changed = asyncio.Event()

    def count_shadow_events(self, *args):
        super().count_shadow_events(*args)
        self.changed.set()

    def set_shadow_up(self, *args):
        super().set_shadow_up(*args)
        self.changed.set()

    async def until(self, reached):
        """Wait until `reached`."""
        async with asyncio.timeout(20):
            while not reached():
                self.changed.clear()
                await self.changed.wait()


class Service:
    """A pipeline with a shadow, both on fake predictors, and real metrics."""

    def __init__(self, answer, second=None, policy=POLICY, chance=lambda: 0.0, first=None):
        self.metrics = Told()
        self.first = first or FakePredictor([contract("first")])
        self.second = second or FakePredictor([contract("second")])
        self.pool = Pool(answer)
        self.shadow = Shadow(predictor=self.second, policy=policy, observer=self.metrics, chance=chance)
        self.pipeline = ClipPipeline(
            predictor=self.first,
            pool=self.pool,
            policy=ClipPolicy("first", LIMITS, 4, 0.6),
            observer=self.metrics,
            shadow=self.shadow,
        )

    async def __aenter__(self):
        await self.shadow.start()
        return self

    async def __aexit__(self, *_):
        await self.shadow.close()

    async def analyze(self, **options):
        return await self.pipeline.analyze(
            b"x", AnalyzeOptions(**options), request_id="r", deadline=time.monotonic() + 60
        )

    def counted(self):
        """Events by outcome."""
        return {s.labels["outcome"]: s.value for s in self._samples("glimpse_shadow_events_total")}

    def value(self, name):
        (sample,) = self._samples(name)
        return sample.value

    def _samples(self, name):
        text = self.metrics.exposition()[0].decode()
        return [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]

    async def until_counted(self, events):
        """Let the shadow go on until it has dealt with this many events."""
        await self.metrics.until(lambda: sum(self.counted().values()) >= events)


async def test_agreement_is_counted_and_nothing_of_it_is_answered():
    """Events that both give one label agree; the report is the one that there would be without a shadow."""
    async with Service(findings(2)) as service:
        report = await service.analyze()
        await service.until_counted(2)
        assert service.counted() == {"agree": 2}
        assert service.value("glimpse_shadow_distance_sum") == 0
        assert service.value("glimpse_shadow_up") == 1
        assert "second" not in repr(report)
        assert "shadow" not in repr(report)
    alone = ClipPipeline(
        predictor=service.first, pool=service.pool, policy=ClipPolicy("first", LIMITS, 4, 0.6), observer=Metrics()
    )
    expected = await alone.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=time.monotonic() + 60)
    assert replace(report, timings_ms={}) == replace(expected, timings_ms={})
    assert set(report.timings_ms) == set(expected.timings_ms)


async def test_disagreement_and_its_distance_are_counted():
    """Half the sum of the differences of probabilities is the distance."""
    second = FakePredictor([contract("second")], probabilities=[0.2, 0.7, 0.1])
    async with Service(findings(1), second) as service:
        await service.analyze()
        await service.until_counted(1)
        assert service.counted() == {"disagree": 1}
        assert service.value("glimpse_shadow_distance_sum") == pytest.approx(0.6)


async def test_labels_are_compared_by_name():
    """A model that lists the same labels in another order agrees where it means the same."""
    other = contract("second", labels=("surprise", "negative", "positive"))
    second = FakePredictor([other], probabilities=[0.1, 0.8, 0.1])
    async with Service(findings(1), second) as service:
        await service.analyze()
        await service.until_counted(1)
        assert service.counted() == {"agree": 1}
        assert service.value("glimpse_shadow_distance_sum") == pytest.approx(0)


@pytest.mark.parametrize(
    ("answer", "shadow"),
    [
        (findings(1, still=True), contract("second")),
        (findings(1), contract("second", abstain_below=0.9)),
    ],
)
async def test_a_withheld_answer_neither_agrees_nor_disagrees(answer, shadow):
    """Where nothing moved, or either model is not sure enough, the event counts as abstained."""
    async with Service(answer, FakePredictor([shadow])) as service:
        await service.analyze()
        await service.until_counted(1)
        assert service.counted() == {"abstained": 1}


async def test_other_inputs_are_made_in_the_same_job():
    """A shadow of another recipe has its tensors made by the worker, which reports the time as a stage of its own."""
    second = FakePredictor([contract("second", "clip_gray_18x64")])
    made = {"clip": np.ones((18, 64, 64), np.float32)}
    async with Service(findings(2, made), second) as service:
        await service.analyze()
        await service.until_counted(2)
        (job,) = service.pool.jobs
        assert (job.shadow.recipe, job.shadow.flow, job.shadow.budget_s) == ("clip_gray_18x64", "accurate", 1.0)
        (call,) = [call for call in second.calls if call.inputs["clip"].any()]
        assert call.inputs["clip"].shape == (2, 18, 64, 64)
        stages = {s.labels["stage"]: s.value for s in service._samples("glimpse_stage_seconds_sum")}
        assert stages["shadow"] == 0.25


async def test_the_same_inputs_cost_nothing():
    """A shadow of the same recipe and flow takes the tensors of the answer; one of another flow does not."""
    async with Service(findings(1)) as service:
        await service.analyze()
        assert service.pool.jobs[0].shadow is None
    async with Service(findings(1), FakePredictor([contract("second", flow="tvl1")])) as service:
        await service.analyze()
        assert service.pool.jobs[0].shadow.flow == "tvl1"


async def test_what_the_worker_could_not_make_is_counted():
    """Inputs that failed or took too long are counted as such, and the others are compared."""
    second = FakePredictor([contract("second", "clip_gray_18x64")])
    made = findings(3, {"clip": np.ones((18, 64, 64), np.float32)})
    parts = [
        replace(f, shadow=s) for f, s in zip(made.findings, ("failed", "dropped", made.findings[0].shadow), strict=True)
    ]
    async with Service(replace(made, findings=tuple(parts)), second) as service:
        await service.analyze()
        await service.until_counted(3)
        assert service.counted() == {"failed": 1, "dropped": 1, "agree": 1}


async def test_the_answer_never_waits_for_the_shadow():
    """While the shadow hangs, requests are answered; what does not fit its queue is dropped and counted."""
    second = Held([contract("second")])
    async with Service(findings(1), second, replace(POLICY, queue=2)) as service:
        await service.analyze()
        await second.asked.wait()
        for _ in range(5):
            assert len((await service.analyze()).events) == 1
        assert service.counted() == {"dropped": 3}
        second.go.set()
        await service.until_counted(6)
        assert service.counted() == {"dropped": 3, "agree": 3}


async def test_at_shutdown_what_waits_is_dropped():
    """Closing takes no longer than stopping what runs, and everything is accounted for."""
    second = Held([contract("second")])
    service = Service(findings(2), second)
    await service.shadow.start()
    for _ in range(3):
        await service.analyze()
    await second.asked.wait()
    async with asyncio.timeout(5):
        await service.shadow.close()
    assert service.counted() == {"dropped": 6}


async def test_what_waited_too_long_is_dropped(monkeypatch):
    """A comparison that could not begin before its deadline is not begun."""
    second = Held([contract("second")])
    async with Service(findings(1), second, replace(POLICY, deadline_s=1000.0)) as service:
        await service.analyze()
        await second.asked.wait()
        await service.analyze()
        later = time.monotonic() + 2000
        monkeypatch.setattr(shadow_module.time, "monotonic", lambda: later)
        monkeypatch.setattr("server.testing.remaining_s", lambda *_: 1.0)
        second.go.set()
        await service.until_counted(2)
        assert service.counted() == {"agree": 1, "dropped": 1}


@pytest.mark.parametrize(
    "error", [BackendFailed("boom"), BackendUnavailable("gone"), DeadlineExceeded("late"), ValueError("a defect")]
)
async def test_a_shadow_that_fails_fails_alone(error):
    """Its errors are counted, the answer and the readiness stay."""
    async with Service(findings(2)) as service:
        service.second.error = error
        report = await service.analyze()
        await service.until_counted(2)
        assert service.counted() == {"failed": 2}
        assert len(report.events) == 2
        assert (await service.pipeline.readiness()).ready
        assert service._samples("glimpse_inference_errors_total") == []
        service.second.error = None
        await service.analyze()
        await service.until_counted(4)
        assert service.counted() == {"failed": 2, "agree": 2}


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (FakePredictor([]), "no model 'second'"),
        (FakePredictor([contract("second")], error=ModelNotServable("its member is not there")), "its member"),
    ],
)
async def test_a_shadow_that_is_not_there_is_told_once(second, reason, caplog):
    """The service starts, logs it once, shows it as a metric, and answers as ever."""
    async with Service(findings(1), second) as service:
        for _ in range(3):
            assert len((await service.analyze()).events) == 1
        assert service.value("glimpse_shadow_up") == 0
        assert service.counted() == {"failed": 3}
        assert (await service.pipeline.readiness()).ready
    told = [record for record in caplog.records if "shadow" in record.message]
    assert len(told) == 1
    assert (told[0].model, reason in told[0].reason) == ("second", True)


async def test_a_shadow_that_comes_later_is_found(monkeypatch):
    """It is looked at again in the background, while requests or probes arrive."""
    second = FakePredictor([])
    async with Service(findings(1), second) as service:
        monkeypatch.setattr(shadow_module, "KNOWN_FOR_S", 0.0)
        second.contracts = [contract("second")]
        await service.pipeline.readiness()
        await service.metrics.until(lambda: service.value("glimpse_shadow_up") == 1)
        await service.analyze()
        await service.until_counted(1)
        assert service.counted() == {"agree": 1}


async def test_only_the_wanted_share_is_seen():
    """Requests above the share, and those that the shadow model answers itself, are left alone."""
    draws = iter([0.1, 0.6, 0.4, 0.5])
    async with Service(findings(1), policy=replace(POLICY, share=0.5), chance=lambda: next(draws)) as service:
        for _ in range(4):
            await service.analyze()
        await service.until_counted(2)
        assert service.counted() == {"agree": 2}
    both = FakePredictor([contract("first"), contract("second")])
    async with Service(findings(1), first=both) as service:
        await service.analyze(model="second")
        assert service.counted() == {}
    async with Service(findings(1), policy=replace(POLICY, share=0.0)) as service:
        await service.analyze()
        assert service.counted() == {}


async def test_other_labels_cannot_be_compared():
    """A shadow with other classes counts as failed, and is not asked."""
    second = FakePredictor([contract("second", labels=("a", "b", "c"))])
    async with Service(findings(1), second) as service:
        await service.analyze()
        assert service.counted() == {"failed": 1}


async def test_a_request_in_a_hurry_is_not_shadowed():
    """Where the shadow's inputs could take a tenth of the time that is left, the worker is not asked for them."""
    second = FakePredictor([contract("second", "clip_gray_18x64")])
    async with Service(findings(1), second) as service:
        deadline = time.monotonic() + 9
        await service.pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=deadline)
        assert service.pool.jobs[0].shadow is None
        assert service.counted() == {"dropped": 1}


@pytest.mark.parametrize(
    ("second", "what"),
    [
        (contract("second", "clip_gray_18x64"), "the recipe 'clip_gray_18x64'"),
        (fed("second", "flow_uvs_28+clip_gray_18x64"), "the recipe 'flow_uvs_28+clip_gray_18x64'"),
        (contract("second", flow="tvl1"), "the flow 'tvl1'"),
    ],
)
async def test_no_answer_waits_for_other_pictures_unless_allowed(second, what, caplog):
    """A shadow of the whole movement or of another flow is dropped, and the log says so once."""
    policy = replace(POLICY, whole_movement=False)
    async with Service(findings(2), FakePredictor([second]), policy) as service:
        for _ in range(3):
            await service.analyze()
        assert {job.shadow for job in service.pool.jobs} == {None}
        assert service.counted() == {"dropped": 6}
    (told,) = [record for record in caplog.records if "shadow" in record.message]
    assert (told.message, what in told.reason) == ("the shadow model is left out", True)


async def test_other_inputs_from_the_same_pictures_need_no_leave():
    """A recipe of onset and apex, or of the course that the answer is made from, is made for the shadow as ever."""
    policy = replace(POLICY, whole_movement=False)
    for first, second in (("flow_uvs_28", "apex_gray_128"), ("clip_gray_18x64", "clip_gray_18x64+flow_uvs_28")):
        async with Service(findings(1), FakePredictor([fed("second", second)]), policy) as service:
            request = service.shadow.sees(fed("first", first), time.monotonic() + 60)
            assert (request.problem, request.job.recipe) == (None, second)


async def test_who_leaves_takes_the_shadow_along():
    """An analysis that is cancelled asks the shadow nothing."""
    async with Service(findings(1), first=Held([contract("first")])) as service:
        analysis = asyncio.ensure_future(service.analyze())
        await service.first.asked.wait()
        analysis.cancel()
        with pytest.raises(asyncio.CancelledError):
            await analysis
        assert service.counted() == {}
        assert not [call for call in service.second.calls if call.inputs["flow"].any()]


async def test_pairs_of_pictures_are_seen_unless_the_shadow_wants_a_clip():
    """`classify` has a shadow too; a model of whole movements has nothing to look at there."""
    inputs = {"flow": np.ones((3, 28, 28), np.float32)}
    answer = PairFindings(inputs, {}, Evidence("good"), False, {"flow": 0.01})

    async def classify(service):
        deadline = time.monotonic() + 60
        return await service.pipeline.classify(b"a", b"b", AnalyzeOptions(), request_id="r", deadline=deadline)

    async with Service(answer) as service:
        await classify(service)
        await service.until_counted(1)
        assert service.counted() == {"agree": 1}
    async with Service(answer, FakePredictor([contract("second", "clip_gray_18x64")])) as service:
        await classify(service)
        assert service.pool.jobs[0].shadow is None
        assert service.counted() == {}
