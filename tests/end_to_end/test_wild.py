"""What a public endpoint meets: each kind of bad input has its own problem, and the service keeps answering."""

import io
import socket
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.end_to_end.conftest import SAMPLES, encode

CLIP = SAMPLES / "negative.mp4"


def _problem(answer):
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


def _audio_only():
    out = io.BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(16000))
    target = io.BytesIO()
    with av.open(io.BytesIO(out.getvalue())) as source, av.open(target, "w", format="mp4") as sink:
        stream = sink.add_stream("aac", rate=8000)
        for frame in source.decode(audio=0):
            frame.pts = None
            sink.mux(stream.encode(frame))
        sink.mux(stream.encode(None))
    return target.getvalue()


def _noise(count=30):
    rng = np.random.default_rng(0)
    return [rng.integers(60, 90, (240, 320, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "empty-media")),
        (b"this is no film\n" * 40, (415, "unreadable-media")),
        (CLIP.read_bytes()[: CLIP.stat().st_size // 2], (422, "truncated-media")),
        (_audio_only(), (422, "no-video")),
        (encode(_noise(1)), (422, "too-few-frames")),
        (encode(_noise()), (422, "no-face")),
    ],
    ids=["empty", "text", "truncated", "audio", "one-frame", "no-face"],
)
def test_each_bad_clip_has_its_own_problem(service, body, expected):
    """Status and code say what is wrong, and the next clip is answered."""
    assert _problem(service.analyze(body)) == expected
    assert service.analyze((SAMPLES / "positive.mp4").read_bytes()).status_code == 200


def test_a_face_that_leaves_half_way_is_an_error_that_keeps_what_was_found(service, negative):
    """422 face-lost, with the time, the coverage, and the report of the event before it."""
    grey = np.full_like(negative[0], 90)
    answer = service.analyze(encode([*negative[:50], *[grey] * 60]))
    assert _problem(answer) == (422, "face-lost")
    problem = answer.json()
    assert problem["coverage"] == pytest.approx(50 / 110, abs=0.02)
    assert problem["lost_at_s"] == pytest.approx(49 / 30, abs=0.1)
    assert [event["label"] for event in problem["report"]["events"]] == ["negative"]


def test_a_face_that_leaves_near_the_end_is_a_warning(service, negative):
    """Most of the clip was seen: the report is delivered, and says that the face was lost."""
    grey = np.full_like(negative[0], 90)
    report = service.analyze(encode([*negative, *[grey] * 20])).json()
    assert [warning["code"] for warning in report["warnings"]] == ["face-lost"]
    assert len(report["events"]) == 1


@pytest.mark.parametrize(
    ("options", "status", "named"),
    [
        ({"onset_s": "1.3", "apex_s": "1.1"}, 422, "apex_s"),
        ({"onset_s": "1.0", "apex_s": "99"}, 422, "apex_s"),
        ({"onset_s": "soon"}, 422, "onset_s"),
        ({"faces": "many"}, 422, "faces"),
        ({"kinds": "nano"}, 422, "kinds"),
        ({"model": "no_such_model"}, 404, "no_such_model"),
    ],
)
def test_wrong_options_are_named(service, options, status, named):
    """The problem names the option or the model."""
    answer = service.analyze(CLIP.read_bytes(), **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert named in answer.text


def test_limits_have_their_own_problem(start_service, negative):
    """Too long, too many frames, too large a picture, too many bytes: each names its setting."""
    limits = {"CLIP_SECONDS": "1", "CLIP_FRAMES": "40", "FRAME_PIXELS": "100000", "UPLOAD_BYTES": "1000000"}
    small = [cv2.resize(frame, (320, 240), interpolation=cv2.INTER_AREA) for frame in negative]
    clips = {
        "CLIP_SECONDS": encode(small[:40]),
        "CLIP_FRAMES": encode(small, fps=100),
        "FRAME_PIXELS": encode(negative[:20]),
        "UPLOAD_BYTES": encode(small[:20]) + bytes(1_000_000),
    }
    with start_service(**{f"GLIMPSE_LIMITS__{setting}": value for setting, value in limits.items()}) as limited:
        for setting, clip in clips.items():
            answer = limited.analyze(clip)
            assert _problem(answer) == (413, "limit-exceeded")
            assert answer.json()["setting"] == f"GLIMPSE_LIMITS__{setting}"
        assert limited.analyze(encode(small[:20])).status_code == 200


def test_two_faces_have_two_timelines(service, negative):
    """Side by side, the second face half a clip later: `faces=all` tells the events apart."""
    both = [np.hstack([a, negative[(i + 20) % 75][:, ::-1]]) for i, a in enumerate(negative)]
    report = service.analyze(encode(both), faces="all").json()
    assert len(report["faces"]) == 2
    assert sorted({event["track_id"] for event in report["events"]}) == sorted(f["track_id"] for f in report["faces"])
    assert {event["label"] for event in report["events"]} == {"negative"}


def test_variable_frame_rate_does_not_shift_events(service, negative):
    """A third of the frames is missing: times still hold."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=30)
        stream.height, stream.width = negative[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "16", "preset": "veryfast"}
        for index, picture in enumerate(negative):
            if index % 3 != 1:
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts = index
                target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    (event,) = service.analyze(out.getvalue()).json()["events"]
    assert event["label"] == "negative"
    assert event["apex_s"] == pytest.approx(1.3, abs=2 / 30)


def test_a_phone_video_is_turned_upright(service, negative):
    """Pictures stored sideways with a rotation in the header are analysed upright."""
    sideways = encode([np.rot90(frame).copy() for frame in negative])
    matrix = np.array([0, 65536, 0, -65536 & 0xFFFFFFFF, 0, 0, 480 << 16, 0, 1 << 30], dtype=">u4").tobytes()
    identity = np.array([65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30], dtype=">u4").tobytes()
    header = sideways.index(b"tkhd")
    place = sideways.index(identity, header)
    report = service.analyze(sideways[:place] + matrix + sideways[place + 36 :]).json()
    assert (report["clip"]["width"], report["clip"]["height"]) == (640, 480)
    assert abs(report["faces"][0]["quality"]["roll_deg"]) < 20
    assert [event["label"] for event in report["events"]] == ["negative"]


def test_4k_is_analysed(service, negative):
    """A 3840x2160 clip with a large face gives the same verdict."""
    frames = []
    for frame in negative[25:52]:
        large = cv2.resize(frame, (2880, 2160), interpolation=cv2.INTER_CUBIC)
        frames.append(cv2.copyMakeBorder(large, 0, 0, 480, 480, cv2.BORDER_CONSTANT))
    report = service.analyze(encode(frames, preset="ultrafast")).json()
    assert report["clip"]["width"] == 3840
    assert [event["label"] for event in report["events"]] == ["negative"]


@pytest.mark.parametrize(
    ("codec", "container"),
    [("libx265", "mp4"), ("libvpx-vp9", "webm"), ("mjpeg", "avi"), ("ffv1", "matroska"), ("rawvideo", "avi")],
)
def test_other_codecs_give_the_same_verdict(service, negative, codec, container):
    """HEVC, VP9, Motion JPEG and lossless files, as cameras and laboratories write them."""
    report = service.analyze(encode(negative[20:60], codec=codec, container=container)).json()
    assert [event["label"] for event in report["events"]] == ["negative"]


def test_a_client_that_hangs_up_frees_the_worker(service):
    """The upload is complete, the client goes; its work is cancelled and the next caller is served."""
    before = service.metric("glimpse_cancelled_total")
    clip = (SAMPLES / "interview.mp4").read_bytes()
    host, port = service.client.base_url.host, service.client.base_url.port
    head = "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: video/mp4\r\n"
    head += f"Content-Length: {len(clip)}\r\n\r\n"
    with socket.create_connection((host, port)) as connection:
        connection.sendall(head.encode() + clip)
    assert service.analyze((SAMPLES / "positive.mp4").read_bytes()).status_code == 200
    assert service.metric("glimpse_cancelled_total") == before + 1


def test_nothing_of_a_person_is_kept(start_service, tmp_path):
    """After good clips, bad clips and stills: no file anywhere the service could write, no file name in the log.

    Matplotlib's list of fonts, which says nothing of anybody, is the one file that may appear.
    """
    homes = ("TMPDIR", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")
    places = {name: str(tmp_path / "home") for name in homes} | {"MPLCONFIGDIR": str(tmp_path / "fonts")}
    folder = tmp_path / "home"
    folder.mkdir()
    # ONNX Runtime keeps its telemetry quiet by itself where it sees a CI machine; an operator's machine is none.
    with start_service(cwd=folder, without=("CI",), **places) as service:
        clip = CLIP.read_bytes()
        for body in (clip, clip[:5000], b"private words"):
            service.analyze(body)
        service.analyze(clip, accept="image/png")
        opened = [
            str(link.readlink())
            for process in _family(service.process.pid)
            for link in Path(f"/proc/{process}/fd").iterdir()
            if link.is_symlink()
        ]
        assert not [name for name in opened if name.endswith((".mp4", ".tmp")) or "private" in name]
    log = service.log.read_text(encoding="utf-8")
    assert "/v1/analyze" in log
    assert "private" not in log
    assert [str(path.relative_to(folder)) for path in folder.rglob("*")] == []


def _family(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid, *(member for child in children for member in _family(int(child)))]


def test_a_face_that_did_not_move_gets_no_class(service, negative, png):
    """The same picture twice, or two of a resting face: the service abstains and says that nothing moved."""
    for apex in (negative[3], negative[15]):
        answer = service.client.post(
            "/v1/classify", files={"onset": ("a", png(negative[3])), "apex": ("b", png(apex))}
        ).json()
        assert answer["abstained"] is True
        assert answer["evidence"]["grade"] == "poor"
        assert "nothing moved" in answer["evidence"]["reasons"][0]


def test_a_given_event_of_a_resting_face_gets_no_class(service):
    """Pointing at a stretch of rest does not make an expression of it."""
    (event,) = service.analyze(CLIP.read_bytes(), onset_s="0.0", apex_s="0.2").json()["events"]
    assert event["abstained"] is True
    assert event["evidence"]["grade"] == "poor"


def test_no_event_in_poor_pictures_is_not_a_clean_answer(service, negative):
    """Three frames a second cannot show a micro-expression: the report warns, and the face's evidence is poor."""
    report = service.analyze(encode(negative[::10], fps=3)).json()
    assert "evidence-poor" in [warning["code"] for warning in report["warnings"]]
    assert report["faces"][0]["evidence"]["grade"] == "poor"


def test_a_change_of_light_is_no_expression(service, negative):
    """Lights that dim at once, flicker by a third, come up slowly or flash to white: a still face stays still."""
    rng = np.random.default_rng(0)
    still = np.clip(negative[0].astype(float) * 0.7, 0, 255)
    curves = {
        "step": [1.0 if i < 40 else 0.4 for i in range(90)],
        "flicker": [1 + 0.35 * np.sin(i / 2) for i in range(90)],
        "dawn": [0.4 + 0.6 * i / 90 for i in range(90)],
        "flash": [2.2 if i % 3 == 1 else 1.0 for i in range(90)],
    }
    for gains in curves.values():
        frames = [np.clip(still * g + rng.normal(0, 1, still.shape), 0, 255).astype(np.uint8) for g in gains]
        assert service.analyze(encode(frames)).json()["events"] == []
