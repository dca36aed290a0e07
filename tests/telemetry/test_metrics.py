"""The metrics, as a real parser reads them."""

import shutil
import subprocess
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server import __version__
from server.telemetry.metrics import Metrics
from server.types import ClipInfo, Event, Evidence, FaceQuality, FaceSummary, ModelRef, Report

EVENT = Event(1, "micro", 0.1, 0.2, 0.3, 10, 20, 30, "positive", {}, 0.85, False, (), (), Evidence("good"))
REPORT = Report(
    "id",
    ClipInfo(1.0, 100, 100.0, 640, 480, "h264"),
    (),
    (EVENT,),
    ModelRef("ststnet", "1", "flow_uvs_28", "local"),
    {},
)


def samples(metrics):
    text = metrics.exposition()[0].decode()
    families = list(text_string_to_metric_families(text))
    return {(s.name, *sorted(s.labels.items())): s.value for family in families for s in family.samples}


@pytest.fixture
def used():
    """Metrics after one of everything."""
    metrics = Metrics()
    metrics.observe_request("/v1/analyze", 200, 0.3)
    metrics.track_inflight("analyze", +1)
    metrics.track_queued(+1)
    metrics.count_rejected("overloaded")
    metrics.count_cancelled("upload")
    metrics.observe_stage("decode", 0.1)
    metrics.observe_inference("ststnet", "local", 0.002)
    metrics.count_inference_error("ststnet", "backend-error")
    withheld = replace(EVENT, abstained=True, kind="macro", confidence=0.3, evidence=Evidence("poor"))
    metrics.observe_report(replace(REPORT, events=(EVENT, withheld)))
    metrics.set_backend_up(True)
    metrics.set_workers(idle=1, busy=2, queued=3)
    metrics.count_worker_restart("crash")
    metrics.count_shadow_events("ststnet", "candidate", "disagree", 2)
    metrics.observe_shadow_distance("ststnet", "candidate", 0.25)
    metrics.set_shadow_up("candidate", True)
    metrics.track_live_streams(+1)
    metrics.count_live_frame("dropped")
    metrics.observe_live_lag(0.02)
    return metrics


def test_live_streams_are_seen(used):
    """Open ones, frames by what became of them, and how long these waited; their events count as those of clips."""
    got = samples(used)
    assert got["glimpse_live_streams",] == 1
    assert got["glimpse_live_frames_total", ("outcome", "dropped")] == 1
    assert got["glimpse_live_lag_seconds_bucket", ("le", "0.02")] == 1
    before = got["glimpse_events_total", ("kind", "micro"), ("label", "positive"), ("model", "ststnet")]
    used.observe_event("ststnet", EVENT)
    after = samples(used)
    assert after["glimpse_events_total", ("kind", "micro"), ("label", "positive"), ("model", "ststnet")] == before + 1


def test_every_agreed_metric_is_there(used):
    """Names, labels and values as the contract says."""
    got = samples(used)
    expected = {
        ("glimpse_requests_total", ("route", "/v1/analyze"), ("status", "200")): 1,
        ("glimpse_request_seconds_sum", ("route", "/v1/analyze")): 0.3,
        ("glimpse_stage_seconds_count", ("stage", "decode")): 1,
        ("glimpse_inflight", ("kind", "analyze")): 1,
        ("glimpse_queue_depth", ("kind", "request")): 1,
        ("glimpse_queue_depth", ("kind", "worker")): 3,
        ("glimpse_rejected_total", ("reason", "overloaded")): 1,
        ("glimpse_cancelled_total", ("kind", "upload")): 1,
        ("glimpse_events_total", ("kind", "micro"), ("label", "positive"), ("model", "ststnet")): 1,
        ("glimpse_events_total", ("kind", "macro"), ("label", "positive"), ("model", "ststnet")): 1,
        ("glimpse_abstained_total", ("model", "ststnet")): 1,
        ("glimpse_confidence_bucket", ("le", "0.8"), ("model", "ststnet")): 1,
        ("glimpse_confidence_bucket", ("le", "0.9"), ("model", "ststnet")): 2,
        ("glimpse_faces_per_clip_count",): 1,
        ("glimpse_evidence_total", ("grade", "good")): 1,
        ("glimpse_evidence_total", ("grade", "poor")): 1,
        ("glimpse_inference_seconds_count", ("backend", "local"), ("model", "ststnet")): 1,
        ("glimpse_inference_errors_total", ("code", "backend-error"), ("model", "ststnet")): 1,
        ("glimpse_backend_up",): 1,
        ("glimpse_workers", ("state", "idle")): 1,
        ("glimpse_workers", ("state", "busy")): 2,
        ("glimpse_worker_restarts_total", ("reason", "crash")): 1,
        ("glimpse_shadow_events_total", ("model", "ststnet"), ("outcome", "disagree"), ("shadow", "candidate")): 2,
        ("glimpse_shadow_distance_bucket", ("le", "0.2"), ("model", "ststnet"), ("shadow", "candidate")): 0,
        ("glimpse_shadow_distance_bucket", ("le", "0.3"), ("model", "ststnet"), ("shadow", "candidate")): 1,
        ("glimpse_shadow_up", ("shadow", "candidate")): 1,
    }
    for key, value in expected.items():
        assert got[key] == pytest.approx(value), key
    assert any(key[0] == "glimpse_build_info" and ("version", __version__) in key[1:] for key in got)
    assert not any(key[0].endswith("_created") for key in got)


def test_what_comes_in_is_seen():
    """Rate and length of a clip, size and sharpness of its faces, but not of those whose report leaves them out."""
    metrics = Metrics()
    quality = FaceQuality(iod_px=72.0, sharpness=40.0, yaw_deg=0.0, pitch_deg=0.0, roll_deg=0.0, inside=1.0)
    seen = FaceSummary(1, 0.0, 1.0, quality, Evidence("good"))
    metrics.observe_report(replace(REPORT, faces=(seen, replace(seen, quality=None))))
    got = samples(metrics)
    assert got["glimpse_clip_fps_bucket", ("le", "61.0")] == 0
    assert got["glimpse_clip_fps_bucket", ("le", "101.0")] == 1
    assert got["glimpse_clip_seconds_sum",] == 1.0
    assert (got["glimpse_face_iod_pixels_count",], got["glimpse_face_iod_pixels_sum",]) == (1, 72.0)
    assert (got["glimpse_face_sharpness_count",], got["glimpse_face_sharpness_sum",]) == (1, 40.0)


def test_waits_and_limits_are_seen():
    """How long a request waited for what, and how much may wait."""
    metrics = Metrics()
    metrics.observe_wait("worker", 0.2)
    metrics.observe_upload("analyze", 100_000)
    metrics.set_limits(queued=32, inflight=16, streams=4, worker_bytes=2**31)
    got = samples(metrics)
    assert got["glimpse_wait_seconds_bucket", ("kind", "worker"), ("le", "0.1")] == 0
    assert got["glimpse_wait_seconds_bucket", ("kind", "worker"), ("le", "0.25")] == 1
    assert got["glimpse_upload_bytes_bucket", ("kind", "analyze"), ("le", "65536.0")] == 0
    assert got["glimpse_upload_bytes_bucket", ("kind", "analyze"), ("le", "262144.0")] == 1
    assert got["glimpse_queue_limit", ("kind", "request")] == 32
    assert got["glimpse_queue_limit", ("kind", "worker")] == 16
    assert got["glimpse_live_streams_limit",] == 4
    assert got["glimpse_worker_address_space_limit_bytes",] == 2**31


def test_a_reload_that_failed_stays_seen_until_one_works():
    """As a gauge beside the counter, since the old keys serve on for as long."""
    metrics = Metrics()
    for worked, seen in ((True, 1), (False, 0), (False, 0), (True, 1)):
        metrics.count_reload("keys", worked)
        assert samples(metrics)["glimpse_reload_successful", ("what", "keys")] == seen


def test_counters_with_known_labels_begin_at_nought():
    """Prometheus does not see the first of a series that was not there before."""
    got = samples(Metrics())
    for outcome in ("analysed", "dropped", "refused"):
        assert got["glimpse_live_frames_total", ("outcome", outcome)] == 0
    assert got["glimpse_worker_restarts_total", ("reason", "sandbox")] == 0
    assert got["glimpse_evidence_total", ("grade", "poor")] == 0
    assert got["glimpse_backend_retries_total", ("outcome", "withheld")] == 0
    metrics = Metrics()
    metrics.observe_event("ststnet", EVENT)
    assert samples(metrics)["glimpse_abstained_total", ("model", "ststnet")] == 0


def test_gauges_follow_both_ways(used):
    """What ended is no longer counted, and a backend that fell is down."""
    used.track_inflight("analyze", -1)
    used.track_queued(-1)
    used.set_backend_up(False)
    got = samples(used)
    assert got[("glimpse_inflight", ("kind", "analyze"))] == 0
    assert got[("glimpse_queue_depth", ("kind", "request"))] == 0
    assert got[("glimpse_backend_up",)] == 0


def test_what_confines_workers_is_seen(used):
    """A layer that applies is 1 and one that does not is 0, for clips and for live streams apart."""
    used.set_sandbox("clips", {"files": True, "syscalls": False})
    used.set_sandbox("live", {"files": True})
    seen = samples(used)
    assert seen["glimpse_sandbox", ("layer", "files"), ("workers", "clips")] == 1
    assert seen["glimpse_sandbox", ("layer", "syscalls"), ("workers", "clips")] == 0
    assert seen["glimpse_sandbox", ("layer", "files"), ("workers", "live")] == 1


def test_two_applications_do_not_share_metrics(used):
    """Each has a registry of its own."""
    assert ("glimpse_rejected_total", ("reason", "overloaded")) not in samples(Metrics())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_nothing_to_say(used):
    """Names, units and help texts as Prometheus recommends."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=used.exposition()[0], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
