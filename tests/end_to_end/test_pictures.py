"""Every form of an answer from a real service, and what it takes for a report."""

import io
import json
import re
from xml.etree import ElementTree as ET

import av
import numpy as np
import pytest

from tests.end_to_end.conftest import SAMPLES

CLIP = (SAMPLES / "positive.mp4").read_bytes()
DRAWN = ("image/png", "image/svg+xml", "application/pdf")
BEGINNINGS = {"image/png": b"\x89PNG", "image/svg+xml": b"<?xml", "application/pdf": b"%PDF", "text/csv": b"track_id,"}


@pytest.fixture(scope="module")
def report(service):
    """The report of a sample with all that can be drawn."""
    return service.analyze(CLIP, include="signals,pictures", explain="true").json()


def render(service, body, accept="image/svg+xml", kind="application/json"):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return service.client.post("/v1/render", content=content, headers={"accept": accept, "content-type": kind})


@pytest.mark.parametrize("accept", DRAWN)
def test_a_clip_is_answered_with_a_drawing(service, accept):
    """The extras are asked for by the form itself: the drawing shows pictures."""
    answer = service.analyze(CLIP, accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(accept)
    assert answer.headers["glimpse-model"].startswith("glimpse_flow")
    assert answer.content.startswith(BEGINNINGS[accept])
    if accept == "image/svg+xml":
        said = " ".join("".join(node.itertext()) for node in ET.fromstring(answer.content).iter())
        assert "Optical strain" in said
        assert "it abstains" in said


def test_a_minimal_drawing_measures_nothing(service):
    """With detail=minimal neither pictures nor motion are drawn, and the clip itself is not given out."""
    answer = service.analyze(CLIP, accept="image/svg+xml", detail="minimal")
    assert b"no pictures of the event" in answer.content
    assert b"brow inner" not in answer.content
    refused = service.analyze(CLIP, accept="video/mp4", detail="minimal")
    assert (refused.status_code, refused.json()["code"], refused.json()["option"]) == (422, "invalid-option", "detail")


def test_a_clip_is_answered_with_the_annotated_clip(service):
    """Drawn and encoded in the worker's sandbox: as many frames as came, with a coloured box around the face."""
    answer = service.analyze(CLIP, accept="video/mp4", slow="2")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    with av.open(io.BytesIO(answer.content)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 75
    picture = frames[32].to_ndarray(format="rgb24")[:480].astype(int)
    green = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > picture[..., 2] + 15)
    rows, columns = np.nonzero(green)
    assert green.sum() > 800
    assert np.ptp(rows) > 120
    assert np.ptp(columns) > 120
    assert frames[-1].time > 74 / 30 + 0.3
    assert service.analyze(CLIP, accept="video/mp4", slow="21").json()["option"] == "slow"


@pytest.mark.parametrize("accept", [*DRAWN, "text/csv"])
def test_a_report_is_turned_into_another_form(service, report, accept):
    """What the service would have drawn of the clip it draws of its report."""
    answer = render(service, report, accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(accept)
    assert answer.content.startswith(BEGINNINGS[accept])
    if accept == "application/pdf":
        assert len(re.findall(rb"/Type /Page\b", answer.content)) == 1 + len(report["events"])


def test_hostile_reports_get_a_typed_error(service, report):
    """Broken JSON, other members, wrong base64, endless lists, strange labels: refused or drawn, never a crash."""

    def bent(change) -> dict:
        document = json.loads(json.dumps(report))
        change(document["events"][0])
        return document

    refused = [
        b"",
        b"{",
        b"[" * 200_000,
        b'{"a":' * 50_000,
        b"[" + b"0," * 4_000_000 + b"0]",
        {},
        {**report, "more": 1},
        {**report, "events": [*report["events"], {}]},
        {**report, "events": [{**report["events"][0], "pictures": None}] * 20_000},
        bent(lambda event: event["pictures"]["onset"].update(gray="!" * 87_384)),
        bent(lambda event: event["pictures"]["onset"].update(width=2**31)),
        bent(lambda event: event["pictures"]["strain"].update(scale=0)),
        bent(lambda event: event.update(onset_s=1e300)),
        bent(lambda event: event.update(onset_frame=10**400)),
        json.dumps(report).replace(str(report["events"][0]["onset_s"]), "NaN", 1).encode(),
    ]
    for body in refused:
        answer = render(service, body, "image/png")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-input")
    strange = {"label": "\x00\x1b]0;$\\frac{\u202e" + "x" * 900, "pictures": None, "explanation": None, "onset_s": -1e9}
    for accept in ("image/svg+xml", "text/csv"):
        answer = render(service, {**report, "events": [{**report["events"][0], **strange}] * 500}, accept)
        assert answer.status_code == 200
        if accept == "image/svg+xml":
            ET.fromstring(answer.content)
    assert service.client.get("/livez").status_code == 200
    assert service.log.read_text(encoding="utf-8").count("Traceback") == 0


def test_what_cannot_be_drawn_from_a_report_is_told(service, report):
    """JSON it is already, a clip it is not; and only JSON is read."""
    for accept in ("application/json", "video/mp4", "text/event-stream"):
        answer = render(service, report, accept)
        assert answer.status_code == 406
        assert "image/png" in answer.json()["offers"]
    assert render(service, report, kind="text/plain").status_code == 415
