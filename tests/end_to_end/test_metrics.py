"""The metrics of a service that works: every one of them says something, and what it should."""

import asyncio
import itertools
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.grpc_calls import connected, parts, told
from tests.live_frames import SAMPLES, WAIT, requests, sample

MANUAL = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text(encoding="utf-8")
NOT_HERE = {
    "glimpse_breaker_state": "there is no Triton",
    "glimpse_triton_replicas": "there is no Triton",
    "glimpse_fallbacks_total": "there is no Triton",
    "glimpse_trace_spans_dropped_total": "no traces are sent",
    "glimpse_inference_errors_total": "nothing failed",
    "glimpse_shadow_events_total": "there is no shadow model",
    "glimpse_shadow_distance": "there is no shadow model",
    "glimpse_shadow_up": "there is no shadow model",
    "glimpse_certificate_expiry_timestamp_seconds": "there is no encryption",
    "glimpse_reloads_total": "nothing was read anew",
    "glimpse_reload_successful": "nothing was read anew",
    "glimpse_container_memory_bytes": "the control group may be of version 1, or not limited",
    "glimpse_container_memory_limit_bytes": "the control group may be of version 1, or not limited",
}
"""What only `tests/ops/test_prometheus.py` has, over Triton, or machines as containers have them."""


TABLE = re.findall(r"^\| `(glimpse_\w+)` \| \w+ \| ([\w, ]*)\|", MANUAL, re.MULTILINE)
ROWS = [row for row in TABLE if row[0] not in NOT_HERE]


@pytest.fixture(scope="module")
def seen(service):
    """All samples by name after a clip, a wrong request, a client that left and a live stream."""
    clip = (SAMPLES / "positive.mp4").read_bytes()
    assert service.analyze(clip).status_code == 200
    assert service.analyze(b"no clip at all").status_code == 415
    with pytest.raises(ZeroDivisionError):
        service.client.post("/v1/analyze", content=_broken_off(clip), headers={"content-type": "video/mp4"})
    assert "event" in asyncio.run(_streamed(service))
    while not service.metric("glimpse_cancelled_total", kind="upload"):
        pass
    families = text_string_to_metric_families(service.client.get("/metrics").text)
    found = {}
    for each in itertools.chain.from_iterable(family.samples for family in families):
        found.setdefault(each.name, []).append(each)
    return found


def _broken_off(clip):
    yield clip[:1000]
    raise ZeroDivisionError


async def _streamed(service):
    async with connected(service.grpc) as stub:
        answers, error = await told(stub.Live(requests(sample("positive.mp4"), policy=WAIT)))
    assert error is None
    return parts(answers)


@pytest.mark.parametrize(("name", "labels"), ROWS, ids=[name for name, _ in ROWS])
def test_each_metric_says_something(seen, name, labels):
    """With the labels of the manual, and no others; a histogram has counted."""
    samples = seen.get(name) or seen[f"{name}_count"]
    wanted = {label.strip() for label in labels.split(",") if label.strip()}
    assert {frozenset(sample.labels) for sample in samples} == {frozenset(wanted)}
    if name not in seen:
        assert any(sample.value > 0 for sample in samples)


def test_values_are_those_of_what_happened(seen):
    """The clip has its rate, its bytes and its waits; workers hold memory within their bounds; the loop is watched."""
    value = {name: sum(sample.value for sample in samples) for name, samples in seen.items()}
    size = (SAMPLES / "positive.mp4").stat().st_size
    assert value["glimpse_upload_bytes_sum"] >= size
    assert value["glimpse_clip_fps_sum"] / value["glimpse_clip_fps_count"] > 0
    assert value["glimpse_face_iod_pixels_sum"] / value["glimpse_face_iod_pixels_count"] > 20
    assert {sample.labels["kind"] for sample in seen["glimpse_wait_seconds_count"]} == {"request", "worker"}
    assert {sample.labels["workers"] for sample in seen["glimpse_worker_memory_bytes"]} == {"clips", "live"}
    limit = value["glimpse_worker_address_space_limit_bytes"]
    spaces = {sample.labels["workers"]: sample.value for sample in seen["glimpse_worker_address_space_bytes"]}
    # That of the stream has ended with it, and the next one may not be ready yet.
    assert 0 < spaces["clips"] < limit
    assert 0 <= spaces["live"] < limit
    assert value["glimpse_loop_lag_seconds_count"] > 0
    assert value["glimpse_live_frames_total"] > 0
