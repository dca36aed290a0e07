"""`glimpse batch` as it is used: what it leaves, what it says, and how it ends."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from server.cli import main
from tests.bulk.conftest import Saying

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
WRONG = {
    "cut.mp4": "truncated-media",
    "dangling.mp4": "unreadable-file",
    "empty.mp4": "empty-media",
    "nobody.mp4": "no-face",
    "text.mp4": "unreadable-media",
}


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    """The environment of whoever runs the tests does not matter."""
    for name in [name for name in os.environ if name.upper().startswith("GLIMPSE_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def glimpse(capsys):
    """Run the command in this process: its exit status, stdout and stderr."""

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            main(["batch", *map(str, arguments)])
        return end.value.code or 0, *capsys.readouterr()

    return run


@pytest.fixture
def engine(monkeypatch):
    """Clips say themselves what is in them; `before` may be set."""

    @contextlib.asynccontextmanager
    async def opened(*_):
        yield opened.engine

    opened.engine = Saying(slots=1)
    monkeypatch.setattr("server.bulk.engines.open_local", opened)
    return opened


def test_a_corpus_is_summed_up(glimpse, engine, corpus, out, monkeypatch):
    """Counts on stdout, what failed and the notice on stderr; names are relative to where the first run was started,
    and stay so.
    """
    monkeypatch.chdir(corpus.parent)
    status, told, said = glimpse("corpus", "--out", out)
    assert status == 1
    assert [line.split() for line in told.splitlines()[1:5]] == [
        ["clips", "with", "a", "report", "3"],
        ["clips", "failed,", "no-face", "1"],
        ["clips", "failed,", "unreadable-file", "1"],
        ["events,", "positive", "3"],
    ]
    assert "corpus/c.mp4: no face was found (no-face)" in said.splitlines()
    assert json.loads((out / "manifest.json").read_text())["finished"]
    monkeypatch.chdir(corpus)
    (corpus / "c.mp4").write_text("face")
    (corpus / "gone.mp4").unlink()
    assert glimpse(".", "--out", out)[0] == 1
    (corpus / "gone.mp4").write_text("face")
    assert glimpse(".", "--out", out, "--format", "both")[0] == 0
    paths = [json.loads(line)["path"] for line in (out / "reports.jsonl").read_text().splitlines()]
    assert paths == [f"corpus/{name}.mp4" for name in ("a", "b", "c", "d", "gone")]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_clips_finish(number, glimpse, engine, corpus, out):
    """It is told, the status is 1, and the same command goes on."""

    async def signalled(_):
        os.kill(os.getpid(), number)

    engine.engine = Saying(slots=1, before=signalled)
    status, _, said = glimpse(corpus, "--out", out)
    assert status == 1
    assert "Stopped after 1 of 5 clips; the same command goes on from there." in said
    engine.engine = Saying()
    assert glimpse(corpus, "--out", out)[0] == 1
    assert len((out / "reports.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "results"],
        ["{corpus}"],
        ["{corpus}", "--out", "results", "--workers", "0"],
        ["{corpus}", "--out", "results", "--ship"],
        ["{corpus}", "--out", "results", "--kinds", "nano"],
        ["{corpus}", "--out", "results", "--format", "csv"],
        ["{corpus}/*.avi", "--out", "results"],
        ["{corpus}", "--out", "{corpus}"],
        ["--list", "no such list", "--out", "results"],
    ],
)
def test_wrong_use_ends_with_2(arguments, glimpse, engine, corpus, tmp_path, monkeypatch):
    """A message, and nothing is analysed."""
    monkeypatch.chdir(tmp_path)
    status, told, said = glimpse(*(argument.format(corpus=corpus) for argument in arguments))
    assert (status, told) == (2, "")
    assert "Traceback" not in said
    assert engine.engine.analysed == []


def test_ray_is_never_started(glimpse, corpus, out, monkeypatch):
    """Without the extra, or without the address of a cluster, there is nothing to run on."""
    status, _, said = glimpse(corpus, "--out", out, "--engine", "ray")
    assert status in {1, 2}
    assert "glimpse[ray]" in said or "--ray-address" in said


def test_parquet_needs_its_extra(glimpse, engine, corpus, out, monkeypatch):
    """It is named before anything is analysed."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    status, _, said = glimpse(corpus, "--out", out, "--format", "parquet")
    assert (status, engine.engine.analysed) == (1, [])
    assert "glimpse[batch]" in said


def test_a_run_that_is_killed_goes_on(tmp_path):
    """Real clips in real workers: killed after the first report, the next run keeps what was recorded to the byte,
    does the rest, and ends with the known labels and each wrong file under its code.
    """
    corpus, out = _real_corpus(tmp_path), tmp_path / "results"
    repository = tmp_path / "models"
    shutil.copytree(ROOT / "model_repository" / "glimpse_flow", repository / "glimpse_flow")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GLIMPSE_")}
    settings = {"GLIMPSE_BACKEND__REPOSITORY": str(repository), "GLIMPSE_WORKERS__COUNT": "1"}
    command = [sys.executable, "-m", "server", "batch", str(corpus), "--out", str(out), "--root", str(corpus)]
    how = {"cwd": ROOT, "env": {**inherited, **settings}, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    reports = out / "reports.jsonl"
    with subprocess.Popen(command, **how) as first:
        while not (reports.exists() and reports.stat().st_size):
            with contextlib.suppress(subprocess.TimeoutExpired):
                pytest.fail(f"the run ended with {first.wait(timeout=0.05)}: {first.stderr.read()}")
        first.kill()
    recorded = reports.read_text().splitlines()[0]
    second = subprocess.run([*command, "--format", "both"], **how, text=True, check=False)
    assert second.returncode == 1, second.stderr
    lines = reports.read_text().splitlines()
    assert recorded in lines
    found = [json.loads(line) for line in lines]
    assert [report["path"] for report in found] == ["positive.mp4", "sub/surprise.mp4"]
    for report in found:
        truth = json.loads((SAMPLES / Path(report["path"]).name).with_suffix(".json").read_text())
        assert [event["label"] for event in report["events"]] == [event["label"] for event in truth["events"]]
    errors = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert {error["path"]: error["code"] for error in errors} == WRONG
    assert all(path in second.stderr for path in WRONG)
    assert "seconds of film" in second.stdout


def _real_corpus(folder):
    corpus = folder / "corpus"
    (corpus / "sub").mkdir(parents=True)
    shutil.copy(SAMPLES / "positive.mp4", corpus)
    shutil.copy(SAMPLES / "surprise.mp4", corpus / "sub")
    (corpus / "cut.mp4").write_bytes((SAMPLES / "positive.mp4").read_bytes()[:100_000])
    (corpus / "dangling.mp4").symlink_to("nowhere")
    (corpus / "empty.mp4").touch()
    shutil.copy(ROOT / "tests/corpus/clip/422-no-face.bin", corpus / "nobody.mp4")
    (corpus / "text.mp4").write_text("Dear diary")
    return corpus
