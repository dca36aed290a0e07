"""The path from findings to a report: one batch, typed failures, nothing lost."""

import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest

from server.contract import ModelContract, Provenance, TensorSpec
from server.errors import (
    BackendFailed,
    BackendUnavailable,
    DeadlineExceeded,
    FaceLost,
    ModelNotServable,
    OptionError,
    UnknownModel,
)
from server.media.limits import MediaLimits
from server.pipeline.clip import ClipPipeline, ClipPolicy
from server.pipeline.jobs import ClipFindings, Finding, PairFindings
from server.predict.base import StandIn
from server.testing import FakePredictor
from server.types import AnalyzeOptions, ClipInfo, Evidence, FaceQuality, FaceSummary, Interval, ReportWarning

LIMITS = MediaLimits(60, 1000, 10**7)


def _contract(name="net", recipe="flow_uvs_28"):
    return ModelContract(
        name=name,
        recipe=recipe,
        inputs=(TensorSpec(name="flow", dims=(3, 28, 28)),),
        outputs=(TensorSpec(name="probabilities", dims=(3,)),),
        labels=("negative", "positive", "surprise"),
        provenance=Provenance(network="net", source="trained", command="x", training_data="none"),
    )


def _finding(start):
    interval = Interval(
        "micro", start, start + 5, start + 10, start / 30, (start + 5) / 30, (start + 10) / 30, 0.04, 0.8, ()
    )
    return Finding(1, interval, Evidence("good"), False, {"flow": np.full((3, 28, 28), float(start), np.float32)}, {})


def _findings(*starts, coverage=1.0):
    quality = FaceQuality(96.0, 200.0, 0.0, 0.0, 0.0, 1.0)
    return ClipFindings(
        clip=ClipInfo(3.0, 90, 30.0, 640, 480, "h264"),
        faces=(FaceSummary(1, 0.0, 3.0, quality, Evidence("good")),),
        findings=tuple(_finding(start) for start in starts),
        coverage=coverage,
        last_face_s=3.0 * coverage,
        warnings=(ReportWarning("clip-truncated", "x"),),
        timings_s={"decode": 0.1, "faces": 0.2},
    )


class _Pool:
    """Answers every job with what it was given; the real pool has tests of its own."""

    alive = 1

    def __init__(self, answer):
        self.answer, self.jobs, self.meanwhile = answer, [], lambda: None

    async def run(self, job, *, deadline, on_progress=None):
        self.jobs.append(job)
        self.meanwhile()
        return self.answer


class _Observer:
    """Writes down what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.told.append((name, args, kwargs))

    def names(self):
        return [name for name, _, _ in self.told]


def _pipeline(answer, predictor=None, **policy):
    values = {"default_model": "net", "limits": LIMITS, "max_faces": 4, "min_face_coverage": 0.6} | policy
    predictor = predictor or FakePredictor([_contract()])
    pool, observer = _Pool(answer), _Observer()
    return ClipPipeline(predictor=predictor, pool=pool, policy=ClipPolicy(**values), observer=observer), pool, observer


def _soon():
    return time.monotonic() + 10


async def test_all_events_of_a_clip_are_one_batch():
    """Three movements cost one call of the backend, in their order."""
    predictor = FakePredictor([_contract()])
    pipeline, _, _ = _pipeline(_findings(3, 20, 60), predictor)
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert [event.onset_frame for event in report.events] == [3, 20, 60]
    assert len(predictor.calls) == 1


async def test_no_movement_costs_no_inference():
    """A clip without events is answered without asking the backend."""
    predictor = FakePredictor([_contract()])
    pipeline, _, _ = _pipeline(_findings(), predictor)
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert report.events == []
    assert predictor.calls == []


async def test_the_report_says_where_it_comes_from():
    """Request id, model, version, backend, warnings of the decoder and every stage's time."""
    pipeline, _, _ = _pipeline(_findings(3))
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r-7", deadline=_soon())
    assert (report.id, report.model.name, report.model.recipe) == ("r-7", "net", "flow_uvs_28")
    assert {"decode", "faces", "inference", "total"} <= set(report.timings_ms)
    assert [warning.code for warning in report.warnings] == ["clip-truncated"]


class _Guest(FakePredictor):
    """A predictor whose model lives elsewhere and has something to say."""

    async def model(self, name, version=None):
        return replace(await super().model(name, version), backend="afar", warnings=(ReportWarning("weak", "x"),))


async def test_a_model_may_have_a_backend_and_warnings_of_its_own():
    """Both are in the report, the warnings only where it was asked, and the backend is that of the metrics."""
    predictor = _Guest([_contract()])
    pipeline, _, observer = _pipeline(_findings(3), predictor)
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert report.model.backend == "afar"
    assert [warning.code for warning in report.warnings] == ["clip-truncated", "weak"]
    assert ("net", "afar") in [args[:2] for name, args, _ in observer.told if name == "observe_inference"]
    quiet, _, _ = _pipeline(_findings(), predictor)
    report = await quiet.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert [warning.code for warning in report.warnings] == ["clip-truncated"]


class _Replaced(FakePredictor):
    """A backend whose only version is `newest`, from the moment of the first inference on."""

    newest = "1"

    async def model(self, name, version=None):
        """With the version of the moment."""
        return replace(await super().model(name), versions=(self.newest,))

    async def predict(self, model, inputs, *, version=None, deadline):
        """An answer from the second version alone."""
        if version != "2":
            self.newest = "2"
            raise UnknownModel("it was replaced")
        return await super().predict(model, inputs, version="1", deadline=deadline)


async def test_a_version_that_is_replaced_meanwhile_costs_nothing():
    """The report is that of its successor, unless the caller named the one that is gone, or the new one wants other
    inputs.
    """
    pipeline, _, _ = _pipeline(_findings(3), _Replaced([_contract()]))
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert (report.model.version, len(report.events)) == ("2", 1)
    named, _, _ = _pipeline(_findings(3), _Replaced([_contract()]))
    with pytest.raises(UnknownModel):
        await named.analyze(b"x", AnalyzeOptions(version="1"), request_id="r", deadline=_soon())
    predictor = _Replaced([_contract()])
    other, pool, _ = _pipeline(_findings(3), predictor)
    pool.meanwhile = lambda: setattr(predictor, "contracts", [_contract(recipe="flow_uvs_28_iod")])
    with pytest.raises(UnknownModel):
        await other.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())


class _Substituted(FakePredictor):
    """A backend in whose place another one answers."""

    async def predict(self, *arguments, **named):
        """The answer of the other."""
        outputs = await super().predict(*arguments, **named)
        return StandIn(outputs, "local", ReportWarning("fallback", "the local copy answered"))


async def test_the_report_says_who_stood_in():
    """The backend of the report and of the metrics is the one that answered, with a warning; clips and stills alike."""
    pipeline, _, observer = _pipeline(_findings(3), _Substituted([_contract()]))
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert report.model.backend == "local"
    assert [warning.code for warning in report.warnings] == ["clip-truncated", "fallback"]
    assert ("net", "local") in [args[:2] for name, args, _ in observer.told if name == "observe_inference"]
    pair = PairFindings(_finding(3).inputs, {}, Evidence("good"), False, {"faces": 0.1})
    stills, _, _ = _pipeline(pair, _Substituted([_contract()]))
    answer = await stills.classify(b"a", b"b", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert answer.model.backend == "local"
    assert [warning.code for warning in answer.warnings] == ["fallback"]


async def test_a_backend_that_does_not_describe_its_model_is_waited_for_until_the_deadline():
    """The stage that spent the time is named, before a worker is taken."""
    predictor = FakePredictor([_contract()])

    async def silence(*_):
        await asyncio.Event().wait()

    predictor.model = silence
    pipeline, pool, _ = _pipeline(_findings(3), predictor)
    for question in (
        pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=time.monotonic() + 0.05),
        pipeline.classify(b"a", b"b", AnalyzeOptions(), request_id="r", deadline=time.monotonic() + 0.05),
    ):
        with pytest.raises(DeadlineExceeded) as caught:
            await question
        assert caught.value.stage == "inference"
    assert pool.jobs == []


async def test_a_failure_elsewhere_does_not_end_readiness():
    """What answers by default is as ready as before."""
    predictor = _Guest([_contract()])
    pipeline, pool, observer = _pipeline(_findings(3), predictor)
    assert (await pipeline.readiness()).ready
    pool.meanwhile = lambda: setattr(predictor, "error", BackendFailed("boom"))
    with pytest.raises(BackendFailed):
        await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert (await pipeline.readiness()).ready
    assert observer.names().count("set_backend_up") == 1


async def test_a_face_seen_too_rarely_is_an_error_that_carries_the_report():
    """What was found until the face left is in the error's details."""
    pipeline, _, observer = _pipeline(_findings(3, coverage=0.5))
    with pytest.raises(FaceLost) as caught:
        await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert caught.value.details["coverage"] == 0.5
    assert len(caught.value.details["report"]["events"]) == 1
    assert "observe_report" not in observer.names()


async def test_the_coverage_bound_can_be_switched_off():
    """With 0, a report is given however short the face was in view."""
    pipeline, _, _ = _pipeline(_findings(3, coverage=0.05), min_face_coverage=0.0)
    report = await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert len(report.events) == 1


async def test_options_reach_the_worker():
    """Faces, kinds, times, recipe and flow estimator are part of the job."""
    pipeline, pool, _ = _pipeline(_findings())
    options = AnalyzeOptions(faces="all", onset_s=0.5, apex_s=0.7, kinds=frozenset({"macro"}))
    await pipeline.analyze(b"clip", options, request_id="r", deadline=_soon())
    job = pool.jobs[0]
    assert (job.data, job.faces, job.onset_s, job.apex_s, job.kinds) == (b"clip", "all", 0.5, 0.7, frozenset({"macro"}))
    assert (job.recipe, job.flow, job.max_faces) == ("flow_uvs_28", "accurate", 4)


@pytest.mark.parametrize("options", [AnalyzeOptions(onset_s=1.0, apex_s=0.5), AnalyzeOptions(kinds=frozenset())])
async def test_impossible_options_are_refused_before_any_work(options):
    """No worker is bothered with a request that cannot be answered."""
    pipeline, pool, _ = _pipeline(_findings())
    with pytest.raises(OptionError):
        await pipeline.analyze(b"x", options, request_id="r", deadline=_soon())
    assert pool.jobs == []


async def test_an_unknown_model_is_refused_before_any_work():
    """The clip is not decoded for a model that is not there."""
    pipeline, pool, _ = _pipeline(_findings())
    with pytest.raises(UnknownModel):
        await pipeline.analyze(b"x", AnalyzeOptions(model="other"), request_id="r", deadline=_soon())
    assert pool.jobs == []


async def test_a_model_with_an_unknown_recipe_is_listed_and_not_served():
    """The reason names the recipe."""
    pipeline, _, _ = _pipeline(_findings(3), FakePredictor([_contract(recipe="from_the_future_9")]))
    with pytest.raises(ModelNotServable, match="from_the_future_9"):
        await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert [info.name for info in await pipeline.models()] == ["net"]


async def test_a_failing_backend_is_counted_and_passed_on():
    """The caller gets the backend's error, the operator a count by its code."""
    predictor = FakePredictor([_contract()])
    pipeline, pool, observer = _pipeline(_findings(3), predictor)
    pool.meanwhile = lambda: setattr(predictor, "error", BackendFailed("boom"))
    with pytest.raises(BackendFailed, match="boom"):
        await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert ("count_inference_error", ("net", "backend-error"), {}) in observer.told


async def test_readiness_is_a_real_inference_shared_by_all_who_ask():
    """Many probes in a row cost one inference; a failing one says which model and why."""
    predictor = FakePredictor([_contract()])
    pipeline, _, observer = _pipeline(_findings(), predictor)
    states = [await pipeline.readiness() for _ in range(5)]
    assert all(state.ready for state in states)
    assert observer.names().count("set_backend_up") == 1
    broken, _, _ = _pipeline(_findings(), FakePredictor([_contract()], error=BackendUnavailable("gone")))
    state = await broken.readiness()
    assert not state.ready
    assert "net" in state.reasons[0]
    assert "gone" in state.reasons[0]


async def test_a_failure_of_real_traffic_ends_readiness_at_once():
    """The cached probe is forgotten when a caller's inference fails."""
    predictor = FakePredictor([_contract()])
    pipeline, pool, _ = _pipeline(_findings(3), predictor)
    assert (await pipeline.readiness()).ready
    pool.meanwhile = lambda: setattr(predictor, "error", BackendFailed("boom"))
    with pytest.raises(BackendFailed):
        await pipeline.analyze(b"x", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert not (await pipeline.readiness()).ready


async def test_without_workers_the_service_is_not_ready():
    """A backend that answers is of no use when nobody can decode a clip."""
    pipeline, pool, _ = _pipeline(_findings())
    pool.alive = 0
    state = await pipeline.readiness()
    assert (state.ready, state.reasons) == (False, ("no worker process is running",))


async def test_two_stills_are_classified():
    """The pair's tensors are one sample; the answer has the label and the evidence of the pictures."""
    answer = PairFindings(
        {"flow": np.zeros((3, 28, 28), np.float32)}, {}, Evidence("fair", ("small",)), False, {"flow": 0.01}
    )
    pipeline, pool, _ = _pipeline(answer)
    result = await pipeline.classify(b"a", b"b", AnalyzeOptions(), request_id="r", deadline=_soon())
    assert (pool.jobs[0].onset, pool.jobs[0].apex) == (b"a", b"b")
    assert result.evidence.reasons == ("small",)
    assert result.label in result.probabilities
