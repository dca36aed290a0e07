"""A clip in, a verdict out: every sample through the running service, the command line and a real Triton."""

import contextlib
import csv
import functools
import io
import json
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pympi
import pytest

from server.cli import main
from tests.end_to_end.conftest import ROOT, SAMPLES

STEMS = sorted(path.stem for path in SAMPLES.glob("*.mp4"))


def assert_true_verdict(report, truth):
    """Every event of the ground truth is found with its label and kind, its apex is right, and none is invented."""
    found = [(e["kind"], e["label"]) for e in report["events"]]
    assert found == [(e["kind"], e["label"]) for e in truth["events"]]
    tolerance = 2 / truth["fps"] if truth["fps"] <= 60 else 0.035
    for got, true in zip(report["events"], truth["events"], strict=True):
        assert abs(got["apex_s"] - true["apex_s"]) <= tolerance
        overlap = min(got["offset_s"], true["offset_s"]) - max(got["onset_s"], true["onset_s"])
        union = max(got["offset_s"], true["offset_s"]) - min(got["onset_s"], true["onset_s"])
        assert overlap / union >= 0.5


@pytest.fixture(scope="module")
def reported(service):
    """The service's answer to a sample, of which each is analysed once."""
    return functools.cache(lambda stem: service.analyze((SAMPLES / f"{stem}.mp4").read_bytes()))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """The default model alone, which is all that these tests ask of Triton: the zoo is served elsewhere."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "model_repository" / "glimpse_flow", folder / "glimpse_flow")
    return folder


def assert_explained_alike(mine, theirs, clip):
    """Two services tell the same drops, within 1e-4 and what rounding adds, and the time that it took."""
    found = []
    for each in (mine, theirs):
        report = each.analyze(clip, explain="true").json()
        assert report["timings_ms"]["explanation"] > 0
        why = report["events"][0]["explanation"]
        assert (why["regions"][0]["name"], why["action_units"][0]["name"]) == ("mouth_corner", "AU12")
        found.append({(part["name"], part["side"]): part["drop"] for part in why["regions"] + why["action_units"]})
    assert found[0] == pytest.approx(found[1], abs=2e-4)


def _truth(stem):
    return json.loads((SAMPLES / f"{stem}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stem", STEMS)
def test_every_sample_gets_its_true_verdict_from_the_service(reported, stem):
    """Label, kind, apex and extent of every event are those of the ground truth."""
    answer = reported(stem)
    assert answer.status_code == 200
    assert_true_verdict(answer.json(), _truth(stem))


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_the_same(service):
    """The line of the README works as it is written."""
    command = ["curl", "-sS", "--noproxy", "*", "-F", f"clip=@{SAMPLES / 'surprise.mp4'}"]
    done = subprocess.run(
        [*command, str(service.client.base_url.join("/v1/analyze"))], capture_output=True, check=True, text=True
    )
    assert_true_verdict(json.loads(done.stdout), _truth("surprise"))


def test_the_command_line_gives_the_same_report():
    """`glimpse analyze` without a server: one JSON document per clip, in the order given."""
    stems = ("surprise_200fps", "neutral_blink", "positive_60fps", "negative")
    clips = [str(SAMPLES / f"{stem}.mp4") for stem in stems]
    done = subprocess.run(
        [sys.executable, "-m", "server", "analyze", "--json", *clips],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    for stem, report in zip(stems, reports, strict=True):
        assert_true_verdict(report.get("report", report), _truth(stem))


def test_triton_gives_the_same_report(reported, service, start_service, triton_server_factory, repository):
    """A clip, of one movement or of several, gives the same events on both backends, probabilities within 1e-4."""
    triton = triton_server_factory(repository)
    settings = {"GLIMPSE_BACKEND__KIND": "triton", "GLIMPSE_BACKEND__TRITON_ADDRESS": triton.grpc_address}
    with start_service(**settings) as remote:
        assert remote.client.get("/readyz").status_code == 200
        for stem in ("negative", "positive", "surprise", "interview"):
            clip = (SAMPLES / f"{stem}.mp4").read_bytes()
            mine, theirs = reported(stem).json(), remote.analyze(clip).json()
            assert theirs["model"] == {**mine["model"], "backend": "triton"}
            assert len(mine["events"]) == len(theirs["events"])
            for one, other in zip(mine["events"], theirs["events"], strict=True):
                p, q = one.pop("probabilities"), other.pop("probabilities")
                assert max(abs(p[label] - q[label]) for label in p) <= 1e-4
                assert abs(one.pop("confidence") - other.pop("confidence")) <= 1e-4
                assert one == other
        assert_explained_alike(service, remote, (SAMPLES / "positive.mp4").read_bytes())
        assert remote.metric("glimpse_inference_seconds_count", backend="triton") > 0
    triton.stop()


def test_a_dead_triton_is_a_typed_error_and_comes_back(start_service, triton_server_factory, repository):
    """Triton dying half-way costs requests a 503 with a reason, never the service; a new one is used again."""
    first = triton_server_factory(repository)
    port = int(first.grpc_address.rsplit(":", 1)[1])
    settings = {"GLIMPSE_BACKEND__KIND": "triton", "GLIMPSE_BACKEND__TRITON_ADDRESS": first.grpc_address}
    clip = (SAMPLES / "positive.mp4").read_bytes()
    with start_service(**settings) as remote:
        assert remote.analyze(clip).status_code == 200
        first.stop()
        answer = remote.analyze(clip)
        assert (answer.status_code, answer.json()["code"]) == (503, "backend-unavailable")
        assert answer.json()["retryable"] is True
        assert remote.client.get("/livez").status_code == 200
        triton_server_factory(repository, grpc_port=port)
        # The breaker leaves a dead backend alone for some seconds, in which a fast machine asks many times.
        assert any(remote.analyze(clip).status_code == 200 for _ in range(200))
        assert remote.analyze(clip).status_code == 200


def test_csv_and_picture(service):
    """The events of the interview as a table, and a timeline as PNG."""
    clip = (SAMPLES / "interview.mp4").read_bytes()
    rows = list(csv.DictReader(io.StringIO(service.analyze(clip, accept="text/csv").text)))
    assert [row["label"] for row in rows] == [event["label"] for event in _truth("interview")["events"]]
    picture = service.analyze((SAMPLES / "surprise.mp4").read_bytes(), accept="image/png")
    image = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 600


def test_forms_for_coders(service):
    """Columns of CASME II with frames from 1, a document for ELAN, and an event a line, all of the same events."""
    clip, truth = (SAMPLES / "surprise.mp4").read_bytes(), _truth("surprise")["events"]
    [row] = csv.DictReader(io.StringIO(service.analyze(clip, accept="text/csv", columns="casme2").text))
    assert (row["Estimated Emotion"], row["Filename"]) == ("surprise", "")
    assert abs(int(row["OnsetFrame"]) - (truth[0]["onset_frame"] + 1)) <= 2
    document = service.analyze(clip, accept="text/x-eaf+xml")
    assert document.headers["content-type"].startswith("text/x-eaf+xml")
    assert b"<ANNOTATION_VALUE>surprise</ANNOTATION_VALUE>" in document.content
    assert b"private name" not in document.content
    [line] = service.analyze(clip, accept="application/x-ndjson").text.splitlines()
    assert json.loads(line)["onset_frame"] + 1 == int(row["OnsetFrame"])


def test_a_coder_who_writes_the_truth_agrees_by_sheet_and_by_elan_as_by_hand(reported, tmp_path, capsys):
    """Three real analyses against the truth as a sheet of frames and as documents that another library wrote.

    Each clip has one event, which is found with its label: precision, recall, F1 and the kappa of three classes, one of
    each, are 1. Mean IoU and the median difference of the onsets are worked out here from the report and the truth.
    """
    stems, ious, onsets = ("negative", "positive", "surprise"), [], []
    sheet, folder = tmp_path / "truth.csv", tmp_path / "truth"
    folder.mkdir()
    rows = ["Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion"]
    reports = []
    for stem in stems:
        report, [true] = reported(stem).json(), _truth(stem)["events"]
        reports.append(json.dumps({"file": f"{stem}.mp4", **report}))
        frames = [true[f"{moment}_frame"] for moment in ("onset", "apex", "offset")]
        units = "+".join(str(unit["au"]) for unit in true["action_units"])
        rows.append(",".join([stem, *(str(frame + 1) for frame in frames), units, true["label"]]))
        document = pympi.Eaf(author="coder")
        begin, apex, end = (round(frame * 1000 / 30) for frame in frames)
        coded = {"Event": (begin, end, true["label"]), "AU": (begin, end, units), "Apex": (apex, apex + 1, "")}
        for tier, annotation in coded.items():
            document.add_tier(tier)
            document.add_annotation(tier, *annotation)
        document.to_file(folder / f"{stem}.eaf")
        [found] = report["events"]
        onset, offset = frames[0] / 30, frames[2] / 30
        shared = min(found["offset_s"], offset) - max(found["onset_s"], onset)
        ious.append(shared / (max(found["offset_s"], offset) - min(found["onset_s"], onset)))
        onsets.append(found["onset_s"] - onset)
    (tmp_path / "reports.jsonl").write_text("\n".join(reports))
    sheet.write_text("\n".join(rows))
    tiers = ["--events-tier", "Event", "--units-tier", "AU", "--apex-tier", "Apex"]
    for human, options in ((sheet, []), (folder, tiers)):
        with contextlib.suppress(SystemExit):
            main(["compare", str(tmp_path / "reports.jsonl"), str(human), "--json", *options])
        pooled = json.loads(capsys.readouterr().out)["pooled"]
        spotting = pooled["spotting"]
        assert [spotting[name] for name in ("matched", "precision", "recall", "f1")] == [3, 1.0, 1.0, 1.0]
        assert (pooled["class_kappa"]["value"], pooled["class_kappa"]["items"]) == (1.0, 3)
        assert spotting["mean_iou"] == pytest.approx(sum(ious) / 3, abs=5e-3)
        assert pooled["differences"]["onset"]["median_s"] == pytest.approx(sorted(onsets)[1], abs=1e-3)
        assert pooled["differences"]["apex"]["matched"] == 3
        assert pooled["frame_kappa"]["items"] == sum(json.loads(line)["clip"]["frames"] for line in reports)


def test_progress_comes_before_the_report(service):
    """A server-sent event stream tells the stages, in order, and ends with the report."""
    clip = (SAMPLES / "surprise_200fps.mp4").read_bytes()
    text = service.analyze(clip, accept="text/event-stream").text
    names = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert names[-1] == "report"
    assert names.count("progress") > 10
    stages = [json.loads(line.removeprefix("data: "))["stage"] for line in text.splitlines() if '"stage"' in line][:-1]
    assert stages.index("faces") < stages.index("spotting") < stages.index("flow")


def test_two_stills_are_classified_like_the_clip(service, negative, png):
    """Onset and apex as pictures get the label of the movement between them."""
    files = {"onset": ("a.png", png(negative[33])), "apex": ("b.png", png(negative[39]))}
    answer = service.client.post("/v1/classify", files=files)
    assert answer.status_code == 200
    assert answer.json()["label"] == "negative"


def test_a_caller_may_point_at_the_event(service):
    """With onset and apex given, that event is classified and its frames are kept."""
    clip = (SAMPLES / "negative.mp4").read_bytes()
    (event,) = service.analyze(clip, onset_s="1.1", apex_s="1.3").json()["events"]
    assert (event["onset_frame"], event["apex_frame"], event["label"]) == (33, 39, "negative")


@pytest.mark.parametrize("given", [{"onset_s": "1.1"}, {"apex_s": "1.3"}])
def test_what_the_caller_does_not_know_is_found(service, given):
    """With the onset or the apex alone, the other is spotted to within two frames."""
    clip = (SAMPLES / "negative.mp4").read_bytes()
    (event,) = service.analyze(clip, **given).json()["events"]
    assert abs(event["onset_frame"] - 33) <= 2
    assert abs(event["apex_frame"] - 39) <= 2


def test_kinds_can_be_chosen(service):
    """Only macro-expressions of the interview."""
    report = service.analyze((SAMPLES / "interview.mp4").read_bytes(), kinds="macro").json()
    assert [event["kind"] for event in report["events"]] == ["macro"]


def test_what_happened_is_in_the_metrics(service):
    """Events, faces, stages and inference are counted with real values."""
    before = service.metric("glimpse_events_total", label="surprise", kind="micro", model="glimpse_flow")
    service.analyze((SAMPLES / "surprise.mp4").read_bytes())
    assert service.metric("glimpse_events_total", label="surprise", kind="micro", model="glimpse_flow") == before + 1
    for stage in ("decode", "faces", "spotting", "flow", "recipes", "inference"):
        assert service.metric("glimpse_stage_seconds_count", stage=stage) > 0
    assert service.metric("glimpse_inference_seconds_count", model="glimpse_flow", backend="local") > 0
    assert service.metric("glimpse_backend_up") == 1
    assert service.metric("glimpse_faces_per_clip_count") > 0


def test_the_model_that_answered_can_be_looked_up(service):
    """The report names model and version; the address of the model has its contract and card."""
    document = service.client.get("/v1/models/ststnet").json()
    assert document["servable"] is True
    assert document["contract"]["recipe"] == "flow_uvs_28"
    assert document["card"]["results"]
