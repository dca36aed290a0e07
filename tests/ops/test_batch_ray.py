"""`glimpse batch --engine ray` on a real cluster of this machine."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.ops
ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster of two processors on loopback."""
    if not RAY.exists():
        message = "the extra `ray` is not installed"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="ray") as folder:  # a short path: it holds sockets
        settings = {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "180",
        }
        command = [RAY, "start", "--head", "--block", "--num-cpus", "2", "--port", "0", "--temp-dir", folder]
        command += ["--include-dashboard", "false", "--object-store-memory", "100000000"]
        how = {"env": {**os.environ, **settings}, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen(command, start_new_session=True, **how) as head:
            try:
                yield next(line.split("--address='")[1].split("'")[0] for line in head.stdout if "--address='" in line)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(head.pid, signal.SIGTERM)
                    with suppress(subprocess.TimeoutExpired):
                        head.wait(20)
                    os.killpg(head.pid, signal.SIGKILL)


@pytest.fixture
def batch(tmp_path):
    """Run the command over three samples and a text: its end, and the folder of results."""
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in ("negative.mp4", "positive.mp4", "surprise.mp4"):
        shutil.copy(ROOT / "samples" / name, corpus)
    (corpus / "text.mp4").write_text("Dear diary")
    repository = tmp_path / "models"
    shutil.copytree(ROOT / "model_repository" / "glimpse_flow", repository / "glimpse_flow")

    def run(address, *more):
        out = tmp_path / "results"
        command = [sys.executable, "-m", "server", "batch", corpus, "--out", out, "--root", corpus, "--engine", "ray"]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("GLIMPSE_", "RAY_"))}
        settings = {"GLIMPSE_BACKEND__REPOSITORY": str(repository), "RAY_ADDRESS": address}
        ended = subprocess.run(
            [*command, *more], cwd=ROOT, env={**inherited, **settings}, capture_output=True, text=True, check=False
        )
        return ended, out

    return run


@pytest.mark.timeout(400)
@pytest.mark.parametrize("more", [[], ["--ship", "--workers", "1"]], ids=["read there", "shipped"])
def test_a_cluster_gives_the_same_results(more, batch, cluster):
    """Each clip with its label, each wrong file with its code, whoever reads the files."""
    ended, out = batch(cluster, *more)
    assert ended.returncode == 1, ended.stderr
    reports = [json.loads(line) for line in (out / "reports.jsonl").read_text().splitlines()]
    labels = {report["path"]: [event["label"] for event in report["events"]] for report in reports}
    assert labels == {f"{label}.mp4": [label] for label in ("negative", "positive", "surprise")}
    [error] = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert (error["path"], error["code"]) == ("text.mp4", "unreadable-media")
    assert json.loads((out / "manifest.json").read_text())["finished"]


@pytest.mark.timeout(120)
def test_a_cluster_that_is_not_there(batch):
    """A sentence, and none is started."""
    ended, _ = batch("127.0.0.1:9")
    assert ended.returncode == 1
    assert "no Ray cluster at 127.0.0.1:9" in ended.stderr
    assert "Traceback" not in ended.stderr
