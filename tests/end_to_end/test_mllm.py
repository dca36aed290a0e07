"""The model `mllm` behind the service and the command line, with a fake of the endpoint on this machine."""

import base64
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.end_to_end.conftest import ROOT, SAMPLES
from tests.openai_endpoint import (
    BUSY,
    ENORMOUS,
    FENCED,
    GARBAGE,
    HANG,
    INVALID_UTF8,
    ONE_PICTURE,
    OUTSIDE,
    PROSE,
    REFUSAL,
    VALID,
    complains,
    endpoint,
    pictures,
    texts,
)
from tests.processes import children

CLIP = (SAMPLES / "positive.mp4").read_bytes()
KEY = "sk-very-secret-0123456789"
CAP = 0.3693


def on(fake):
    """The variables that switch the model on."""
    return {
        "GLIMPSE_MLLM__BASE_URL": fake.base_url,
        "GLIMPSE_MLLM__MODEL": "some/model",
        "GLIMPSE_MLLM__SEND_FACES": "true",
        "GLIMPSE_MLLM__API_KEY": KEY,
        "GLIMPSE_MLLM__REQUESTS_PER_HOUR": "1000",
    }


@pytest.fixture(scope="module")
def fake():
    with endpoint() as running:
        yield running


@pytest.fixture(scope="module")
def service(fake, start_service):
    """A service that has the fake endpoint."""
    with start_service(**on(fake)) as running:
        yield running


def test_a_clip_is_answered_like_by_any_model(service, fake):
    """Times and evidence are our own, the class is the endpoint's under its cap, and a warning says how weak it is."""
    fake.follow(VALID)
    calls = service.metric("glimpse_inference_seconds_count", model="mllm", backend="endpoint")
    report = service.analyze(CLIP, model="mllm").json()
    (event,) = report["events"]
    assert (event["kind"], event["apex_frame"], event["label"]) == ("micro", pytest.approx(32, abs=2), "positive")
    assert (event["confidence"], event["abstained"]) == (pytest.approx(CAP), False)
    assert sum(event["probabilities"].values()) == pytest.approx(1)
    (unit,) = event["action_units"]
    assert (unit["au"], unit["side"], unit["confidence"]) == (12, "both", 0.5)
    assert 0 < unit["intensity"] <= 1
    assert report["model"] == {"name": "mllm", "version": "1", "recipe": "mllm_frames", "backend": "endpoint"}
    assert [warning["code"] for warning in report["warnings"]] == ["mllm-weak"]
    assert service.metric("glimpse_inference_seconds_count", model="mllm", backend="endpoint") == calls + 1


def test_only_the_aligned_face_and_numbers_are_sent(service, fake):
    """Three square grey pictures and words: no name of the file, no full frame, no address of the caller."""
    fake.follow(VALID)
    service.analyze(CLIP, model="mllm")
    (asked,) = fake.asked
    assert (fake.paths, fake.keys) == (["/v1/chat/completions"], [f"Bearer {KEY}"])
    urls = [item["image_url"]["url"] for item in asked["messages"][1]["content"] if item["type"] == "image_url"]
    faces = [_decoded(url) for url in urls]
    assert [face.shape for face in faces] == [(384, 384)] * 3
    onset, apex, offset = (face.astype(float) for face in faces)
    # The movement is in the pictures: the apex differs from the onset by more than the offset does.
    assert np.abs(apex - onset).mean() > np.abs(offset - onset).mean() > 0
    words = texts(asked)
    assert "mouth corner left" in words
    assert "Frame rate 30 per second" in words
    assert not any(word in words for word in ("private", "mp4", "127.0.0.1", "CASME", "SAMM", "SMIC"))


def _decoded(url):
    data = base64.b64decode(url.partition(",")[2])
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize(
    "script",
    [(FENCED,), (PROSE,), (OUTSIDE,), (INVALID_UTF8,), (BUSY, VALID), (REFUSAL, VALID)],
    ids=["fenced", "prose", "outside", "utf8", "busy", "refusal"],
)
def test_a_model_that_answers_after_its_own_fashion_is_understood(service, fake, script):
    """Fences, prose, strange labels, broken letters, 429 and then an answer, a refusal and then one."""
    fake.follow(*script)
    (event,) = service.analyze(CLIP, model="mllm").json()["events"]
    assert (event["label"], event["abstained"]) == ("positive", False)
    assert event["confidence"] <= CAP + 1e-6
    assert len(fake.asked) == len(script)


def test_a_model_that_refuses_gets_no_label(service, fake):
    """The event is there, its class is withheld, and that is no error."""
    fake.follow(REFUSAL)
    before = service.metric("glimpse_abstained_total", model="mllm")
    answer = service.analyze(CLIP, model="mllm")
    (event,) = answer.json()["events"]
    assert (answer.status_code, event["abstained"]) == (200, True)
    assert event["confidence"] == pytest.approx(1 / 3)
    assert service.metric("glimpse_abstained_total", model="mllm") == before + 1


@pytest.mark.parametrize(
    ("canned", "status", "code"),
    [
        (ENORMOUS, 502, "backend-error"),
        (GARBAGE, 502, "backend-error"),
        (complains(401, f"wrong key {KEY}"), 502, "backend-error"),
        (complains(429, Retry_After="600"), 503, "backend-unavailable"),
        (HANG, 504, "deadline-exceeded"),
    ],
    ids=["enormous", "garbage", "key", "busy", "hang"],
)
def test_an_endpoint_that_fails_is_a_typed_error(service, fake, canned, status, code):
    """Counted by its code, retryable, and without a word of what the endpoint wrote."""
    fake.follow(canned)
    before = service.metric("glimpse_inference_errors_total", model="mllm", code=code)
    answer = service.analyze(CLIP, model="mllm", deadline_s="8")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["retryable"]) == (status, code, True)
    assert KEY not in answer.text
    assert service.metric("glimpse_inference_errors_total", model="mllm", code=code) == before + 1
    assert service.client.get("/readyz").status_code == 200


def test_an_endpoint_that_hangs_keeps_nobody_else_waiting(service, fake):
    """Meanwhile the default model answers, and a third clip for the endpoint is turned away at once."""
    fake.follow(HANG)
    while fake.arrived.acquire(blocking=False):
        pass
    with ThreadPoolExecutor(2) as callers:
        waiting = [callers.submit(service.analyze, CLIP, model="mllm", deadline_s="25") for _ in range(2)]
        for _ in waiting:
            assert fake.arrived.acquire(timeout=30)
        local = service.analyze(CLIP).json()
        assert (local["model"]["name"], len(local["events"])) == ("glimpse_flow", 1)
        third = service.analyze(CLIP, model="mllm")
        assert (third.status_code, third.json()["code"]) == (429, "overloaded")
        assert not any(answer.done() for answer in waiting)
        fake.closing.set()
        assert {answer.result().status_code for answer in waiting} == {502}
    fake.closing.clear()


def test_a_spent_budget_is_a_typed_error(start_service):
    """With the setting and the time to come back; here the one movement took two requests for want of pictures."""
    limits = {"GLIMPSE_MLLM__REQUESTS_PER_HOUR": "2", "GLIMPSE_MLLM__EVENTS_PER_CLIP": "2"}
    with endpoint(ONE_PICTURE) as own, start_service(**{**on(own), **limits}) as running:
        assert running.analyze(CLIP, model="mllm").status_code == 200
        answer = running.analyze(CLIP, model="mllm")
        assert running.analyze(CLIP).status_code == 200
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["retryable"]) == (429, "budget-spent", True)
    assert problem["setting"] == "GLIMPSE_MLLM__REQUESTS_PER_HOUR"
    assert 3000 < int(answer.headers["retry-after"]) <= 3600
    assert [pictures(asked) for asked in own.asked] == [3, 1]


def test_without_consent_nothing_is_ever_sent(start_service):
    """With address and key, it is listed with the reason, a request for it is refused, and the others answer."""
    missing = "GLIMPSE_MLLM__SEND_FACES"
    with endpoint() as own:
        variables = {name: value for name, value in on(own).items() if name != missing}
        with start_service(**variables) as running:
            assert running.client.get("/readyz").status_code == 200
            listed = running.client.get("/v1/models/mllm").json()
            refused = running.analyze(CLIP, model="mllm")
            assert running.analyze(CLIP).json()["model"]["name"] == "glimpse_flow"
    assert not listed["servable"]
    assert missing in listed["reason"]
    assert (refused.status_code, refused.json()["code"]) == (409, "model-not-servable")
    assert missing in refused.json()["detail"]
    assert own.asked == []


def test_two_pictures_are_not_enough(service):
    """There is no offset in them, so the request is refused with the reason."""
    files = {"onset": ("a", b"x"), "apex": ("b", b"y")}
    answer = service.client.post("/v1/classify", files=files, params={"model": "mllm"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid-option")


def test_neither_pixels_nor_the_key_are_kept(start_service, tmp_path):
    """Nothing on disk, no picture, word or key in the log, and no key in the environment of the workers."""
    folder = tmp_path / "home"
    folder.mkdir()
    places = dict.fromkeys(("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(folder))
    places |= {"MPLCONFIGDIR": str(tmp_path / "fonts"), "GLIMPSE_TELEMETRY__LOG_LEVEL": "debug"}
    with endpoint(VALID, REFUSAL) as own, start_service(cwd=folder, without=("CI",), **on(own), **places) as running:
        for _ in range(2):
            assert running.analyze(CLIP, model="mllm").status_code == 200
        shown = running.client.get("/v1/models").text + running.client.get("/metrics").text
        workers = children(running.process.pid)
        assert workers
        for worker in workers:
            assert b"GLIMPSE_" not in Path(f"/proc/{worker}/environ").read_bytes()
    log = running.log.read_text(encoding="utf-8")
    assert '"request_sha256": "' in log
    assert not any(secret in log for secret in (KEY, "base64", "private", "smile", "lip corner", "sorry", "iVBOR"))
    assert KEY not in shown
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == []


def _glimpse(*arguments, **variables):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_line_asks_it_too(fake):
    """The verdict on stdout, the warning on stderr, and the key nowhere."""
    fake.follow(VALID)
    done = _glimpse("analyze", "--model", "mllm", str(SAMPLES / "positive.mp4"), **on(fake))
    assert done.returncode == 0
    assert "positive  0.37" in re.sub(r" {2,}", "  ", done.stdout)
    assert "Do not take them for findings" in done.stderr
    assert KEY not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"GLIMPSE_BACKEND__DEFAULT_MODEL": "mllm"},
        {"GLIMPSE_MLLM__BASE_URL": "http://llm.example/v1", "GLIMPSE_MLLM__API_KEY": KEY},
    ],
)
def test_the_service_does_not_start_with_it_as_default_or_unencrypted(variables):
    """The message names the variable and holds no key."""
    done = _glimpse("serve", "--port", "0", "--grpc-port", "0", **variables)
    assert done.returncode == 2
    assert next(iter(variables)) in done.stderr
    assert KEY not in done.stderr
