"""The command line: what it prints, where, and how it ends."""

import csv
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from server import __version__, errors
from server.cli import main
from server.notice import NOTICE
from server.types import Progress
from tests.shown import PICTURES, SIGNALS

SAMPLE = Path(__file__).parents[1] / "samples" / "positive.mp4"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason="samples/positive.mp4 is not there")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    """The environment of whoever runs the tests does not matter."""
    for name in [name for name in os.environ if name.upper().startswith("GLIMPSE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def glimpse(capsys):
    """Run a command: its exit status, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture
def clips(tmp_path):
    """Files that a fake service takes for clips."""
    made = [tmp_path / "one.mp4", tmp_path / "two.mp4"]
    for number, path in enumerate(made):
        path.write_bytes(b"clip %d" % number)
    return made


def test_a_service_is_asked_for_its_verdict(glimpse, gateway, clips):
    """The report is a table on stdout, the notice a message, once, and the options reach the service."""
    chosen = ("--faces", "all", "--kinds", "micro", "--detail", "minimal")
    status, out, err = glimpse("analyze", clips[0], "--url", gateway.url, *chosen)
    assert (status, err) == (0, f"{NOTICE}\n")
    assert "positive" in out
    assert "0.600" in out
    [call] = gateway.analyzer.calls
    assert call["data"] == b"clip 0"
    options = call["options"]
    assert (options.faces, options.kinds, options.detail) == ("all", frozenset({"micro"}), "minimal")


def test_json_is_one_line_per_clip(glimpse, gateway, clips):
    """A program can read each report as it comes."""
    status, out, _ = glimpse("analyze", *clips, "--json", "--url", gateway.url)
    reports = [json.loads(line) for line in out.splitlines()]
    assert status == 0
    assert [report["file"] for report in reports] == [str(path) for path in clips]
    assert reports[0]["events"][0]["label"] == "positive"


def test_json_holds_what_it_is_to_include(glimpse, gateway, clips):
    """Signals and pictures are in the line, as text."""
    status, out, _ = glimpse("analyze", clips[0], "--url", gateway.url, "--json", "--include", "signals,pictures")
    report = json.loads(out)
    assert status == 0
    assert report["signals"][0]["motion_iod"] == [list(motion) for motion in SIGNALS.motion_iod]
    assert report["events"][0]["pictures"]["onset"]["gray"] == PICTURES.onset.gray


def test_csv_tells_the_clips_apart(glimpse, gateway, clips):
    """One header, a line per event, the clip in the first column."""
    status, out, _ = glimpse("analyze", *clips, "--csv", "--url", gateway.url)
    lines = list(csv.DictReader(io.StringIO(out)))
    assert status == 0
    assert [line["clip"] for line in lines] == [str(path) for path in clips]
    assert {line["label"] for line in lines} == {"positive"}


def test_a_timeline_is_written_where_it_was_asked_for(glimpse, gateway, clips, tmp_path):
    """A PNG at the given path."""
    status, _, _ = glimpse("analyze", clips[0], "--plot", tmp_path / "out.png", "--url", gateway.url)
    assert status == 0
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


def test_one_bad_clip_does_not_cost_the_others(glimpse, gateway, clips, tmp_path):
    """Its error line is on stderr, the others' reports on stdout, and the status says that something failed."""
    status, out, err = glimpse("analyze", tmp_path / "none.mp4", *clips, "--json", "--url", gateway.url)
    assert status == 1
    assert len(out.splitlines()) == 2
    assert err == f"{tmp_path / 'none.mp4'}: No such file or directory\n{NOTICE}\n"


def test_a_problem_of_the_service_is_one_line(glimpse, start, fake_analyzer, clips):
    """Detail, code and request id, so that the log can be searched."""
    gateway = start(fake_analyzer(error=errors.NoFace("no face in 200 frames"), progress=[Progress("decode", 1, 2)]))
    status, out, err = glimpse("analyze", clips[0], "--url", gateway.url)
    assert (status, out) == (1, "")
    assert "no face in 200 frames (no-face, request " in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", [["models"], ["analyze", __file__]])
def test_nobody_at_the_address(glimpse, command):
    """A plain sentence instead of a stack trace."""
    status, out, err = glimpse(*command, "--url", "http://127.0.0.1:9")
    assert (status, out) == (1, "")
    assert "http://127.0.0.1:9 does not answer" in err
    assert "Traceback" not in err


def test_somebody_else_at_the_address(glimpse):
    """A web server that is not this service."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        thread = threading.Thread(target=other.handle_request)
        thread.start()
        status, _, err = glimpse("models", "--url", f"http://127.0.0.1:{other.server_port}")
        thread.join()
    assert status == 1
    assert "does not answer as this service does" in err.splitlines()[-1]


def test_models_of_a_service_are_listed(glimpse, gateway):
    """A line per model."""
    status, out, _ = glimpse("models", "--url", gateway.url)
    assert status == 0
    assert "ststnet" in out.splitlines()[1]


def test_models_of_a_folder_that_is_not_there(glimpse, monkeypatch, tmp_path):
    """The installation is wrong, and the message names the folder."""
    monkeypatch.setenv("GLIMPSE_BACKEND__REPOSITORY", str(tmp_path / "nowhere"))
    status, _, err = glimpse("models")
    assert status == 1
    assert "nowhere" in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["analyze"],
        ["analyze", "a", "--json", "--csv"],
        ["analyze", "a", "b", "--plot", "x.png"],
        ["analyze", "a", "--include", "signals"],
        ["analyze", "a", "--url", "http://x", "--backend", "local"],
        ["analyze", "a", "--faces", "some"],
        ["analyze", "a", "--onset-s", "2", "--apex-s", "1"],
        ["analyze", "a", "--kinds", "nano"],
        ["serve", "--port", "99999"],
        ["serve", "--demo", "no-such-clip.mp4"],
    ],
)
def test_wrong_use_ends_with_2(glimpse, arguments):
    """Nothing on stdout but help, and never a stack trace."""
    status, _, err = glimpse(*arguments)
    assert status == 2
    assert "Traceback" not in err


def test_wrong_settings_end_with_2_and_one_line(glimpse, monkeypatch):
    """The variable is named."""
    monkeypatch.setenv("GLIMPSE_LIMITS__FACE", "3")
    status, out, err = glimpse("settings")
    assert (status, out) == (2, "")
    assert err == "glimpse: GLIMPSE_LIMITS__FACE: no such setting; did you mean GLIMPSE_LIMITS__FACES?\n"


def test_settings_are_shown_with_what_is_set(glimpse, monkeypatch):
    """The value in force and the default, as a table and as JSON."""
    monkeypatch.setenv("GLIMPSE_LIMITS__FACES", "3")
    status, out, _ = glimpse("settings", "--json")
    [faces] = [row for row in json.loads(out) if row["name"] == "GLIMPSE_LIMITS__FACES"]
    assert (status, faces["value"], faces["default"]) == (0, 3, 16)
    _, out, _ = glimpse("settings")
    [line] = [line for line in out.splitlines() if line.startswith("GLIMPSE_LIMITS__FACES ")]
    assert line.split()[1:3] == ["3", "16"]


def test_the_version_is_told(glimpse):
    """Of the package, in one place."""
    assert glimpse("--version") == (0, f"{__version__}\n", "")


@needs_sample
def test_clips_are_analysed_in_this_process(glimpse, monkeypatch):
    """Without a service, through the same pipeline."""
    monkeypatch.setenv("GLIMPSE_WORKERS__COUNT", "1")
    status, out, err = glimpse("analyze", SAMPLE, __file__, "--json")
    assert status == 1
    assert json.loads(out)["events"][0]["label"] == "positive"
    assert err.startswith(f"{__file__}: ")


@needs_sample
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demonstration_prints_a_verdict_and_ends_cleanly(number):
    """The clip goes to the running service over HTTP; Ctrl-C, or a container's stop, ends it with 0."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--grpc-port", "0", "--demo", str(SAMPLE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as service:
        messages = []
        for line in service.stderr:
            messages.append(line)
            if line.startswith("Serving on http://127.0.0.1:"):
                break
        service.send_signal(number)
        out, rest = service.communicate(timeout=60)
    assert service.returncode == 0, [*messages, rest]
    assert "positive" in out
    assert "Traceback" not in rest
