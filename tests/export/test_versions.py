"""Several versions of one model: what may be served together, and going back."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from export.build import publish_checkpoint
from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.cli import main
from export.networks.network import Network
from export.networks.registry import NETWORKS
from export.onnx_series import OnnxSeries
from export.random_inputs import random_flow
from export.repository import Publication, publish, read_published
from export.verify import verify
from export.version_policy import all_policy, latest_policy, parse_policy, policy_text, specific_policy
from export.versions import drop_checkpoint, list_versions, roll_back, set_policy
from server.errors import ConfigurationError, InputError, OptionError, UnknownModel
from server.predict.base import Predictor
from server.predict.local import LocalPredictor
from server.predict.repository import ModelRepository
from server.predict.triton import TritonPredictor
from server.predict.tritonserver import TritonServer

RECIPES = ["flow_uvs_28"]
FLOW = {"flow": random_flow(5, 0)}


@pytest.fixture(scope="session")
def three(checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of one model, of different weights, the newest served. For reading only."""
    folder, exported = tmp_path_factory.mktemp("three"), OnnxSeries()
    for version in (1, 2, 3):
        state = {**checkpoint.state, "fc.bias": checkpoint.state["fc.bias"] + version}
        state["fc.bias"][version - 1] += 1
        one = replace(checkpoint, state=state, sha256=str(version) * 64)
        publish_checkpoint(one, folder, name="ours", command=f"make {version}", version=version, exported=exported)
    return folder


@pytest.fixture
def models(three: Path, tmp_path: Path) -> Path:
    """The three versions, to be changed."""
    shutil.copytree(three, tmp_path / "models")
    return tmp_path / "models"


def _stub(checkpoint: Checkpoint) -> Publication:
    """A version whose graph nobody runs."""
    return Publication(build_contract(checkpoint, "ours", "accurate", "more"), b"graph", b"weights", {})


def _run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def _ask(predictor: Predictor, version: str | None = None) -> np.ndarray:
    answer = asyncio.run(predictor.predict("ours", FLOW, version=version, deadline=time.monotonic() + 60))
    return answer["probabilities"]


def _listed(repository: Path) -> tuple[str, ...]:
    return tuple(ModelRepository(repository, RECIPES).catalogue.entry("ours").info.versions)


def test_rollback_serves_an_older_version_and_deletes_nothing(models: Path) -> None:
    """One file changes; the version before answers by its own graph, its own contract and its own checkpoint."""
    before = {path: path.read_bytes() for path in models.rglob("*") if path.is_file()}
    assert roll_back(models, "ours") == "2"
    changed = [path.name for path, data in before.items() if path.read_bytes() != data]
    assert changed == ["config.pbtxt"]
    assert _listed(models) == ("2",)
    published = read_published(models, "ours")
    assert (published.version, published.configured.provenance.command) == ("2", "make 2")
    assert all(check.passed for check in verify(models, "ours"))
    assert roll_back(models, "ours") == "1"
    with pytest.raises(OptionError, match="no version before 1"):
        roll_back(models, "ours")
    set_policy(models, "ours", latest_policy())
    assert {path: path.read_bytes() for path in models.rglob("*") if path.is_file()} == before


def test_rollback_checks_what_it_would_serve(models: Path) -> None:
    """A version that does not exist, or whose graph is not the published one, is refused and nothing changes."""
    config = (models / "ours" / "config.pbtxt").read_bytes()
    with pytest.raises(UnknownModel, match=r"no version 7 \(there are: 1, 2, 3\)"):
        roll_back(models, "ours", "7")
    (models / "ours" / "1" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ConfigurationError, match=r"1/model\.onnx is not the file that the card lists"):
        roll_back(models, "ours", "1")
    assert (models / "ours" / "config.pbtxt").read_bytes() == config


@pytest.mark.parametrize(
    ("text", "served"), [("latest", ("3",)), ("latest:2", ("2", "3")), ("all", ("1", "2", "3")), ("3,1", ("1", "3"))]
)
def test_policies(models: Path, text: str, served: tuple[str, ...]) -> None:
    """The newest, the newest few, all, or chosen ones; the gateway lists the same."""
    assert tuple(set_policy(models, "ours", parse_policy(text))) == served
    assert _listed(models) == served
    assert parse_policy(policy_text(parse_policy(text))) == parse_policy(text)


@pytest.mark.parametrize("text", ["", "newest", "latest:0", "latest:x", "0", "1,,2", "-1", "01"])
def test_other_words_are_no_policy(text: str) -> None:
    """What is not a policy is named."""
    with pytest.raises(OptionError):
        parse_policy(text)


def test_policy_must_serve_what_there_is(models: Path) -> None:
    """A version that does not exist is refused, also beside ones that do."""
    with pytest.raises(OptionError, match=r"no version 8, 9 \(there are: 1, 2, 3\)"):
        set_policy(models, "ours", specific_policy(["1", "8", "9"]))


def test_policy_stays_when_a_version_is_added(models: Path, checkpoint: Checkpoint) -> None:
    """Rules stay rules, chosen versions are joined by the new one, and a policy that is asked for replaces either."""
    for number, (before, asked, after) in enumerate(
        [
            (latest_policy(2), None, "latest:2"),
            (all_policy(), None, "all"),
            (specific_policy(["1"]), None, "1,6"),
            (specific_policy(["1"]), latest_policy(), "latest:1"),
            (latest_policy(), specific_policy(["2"]), "2"),
        ]
    ):
        set_policy(models, "ours", before)
        publish(models, _stub(checkpoint), version=4 + number, policy=asked)
        published = read_published(models, "ours")
        assert policy_text(published.config.version_policy) == after
        assert published.configured == published.contract
    assert published.version == "2"


def test_other_contract_is_not_served_beside_the_old(models: Path, checkpoint: Checkpoint) -> None:
    """Another flow or recipe is refused while older versions are served, by a message that says what to do."""
    set_policy(models, "ours", specific_policy(["3"]))
    with pytest.raises(OptionError, match=r"version 4 cannot be served beside version 3, since .* differ in flow"):
        publish_checkpoint(checkpoint, models, name="ours", command="more", version=4, flow="fast")
    assert not (models / "ours" / "4").exists()
    publish_checkpoint(
        checkpoint, models, name="ours", command="more", version=4, flow="fast", policy=specific_policy(["4"])
    )
    assert read_published(models, "ours").configured.flow == "fast"
    with pytest.raises(OptionError, match="differ in flow"):
        set_policy(models, "ours", all_policy())
    assert all(check.passed for check in verify(models, "ours"))
    roll_back(models, "ours", "1")
    assert read_published(models, "ours").configured.flow == "accurate"


def test_other_tensors_are_not_served_beside_the_old(
    models: Path, checkpoint: Checkpoint, magnitude_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recipe, outputs and action units are named where they differ; labels never change under one name."""
    set_policy(models, "ours", specific_policy(["3"]))
    with pytest.raises(OptionError, match="recipe, outputs"):
        publish(models, _stub(magnitude_checkpoint), version=4)
    monkeypatch.setattr("export.cards.LABELS", ("a", "b", "c"))
    with pytest.raises(OptionError, match="another name"):
        publish(models, _stub(checkpoint), version=4)


def test_committed_models_take_a_second_version(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """A card from before versions had records is taken as that of its version, and nothing of it is lost."""
    shutil.copytree(pytestconfig.rootpath / "model_repository" / "ststnet", tmp_path / "ststnet")
    first = read_published(tmp_path, "ststnet").card
    network: Network = NETWORKS["ststnet"]
    state = network.build(**network.trained.arguments()).state_dict()
    fresh = Checkpoint("ststnet", "trained", network.trained, state, {"data": "none"}, "0" * 64)
    publish_checkpoint(fresh, tmp_path, name="ststnet", command="more", version=2, policy=all_policy())
    assert all(check.passed for check in verify(tmp_path, "ststnet"))
    assert read_published(tmp_path, "ststnet", "1").card.items() >= first.items()
    assert roll_back(tmp_path, "ststnet") == "1"
    assert read_published(tmp_path, "ststnet").configured.provenance.weights_sha256 == first["weights_sha256"]


def test_versions_are_listed(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """State, time, hash, network and command of each; the commands change what is served and say so."""
    assert _run("rollback", "ours", "--to", "2", "--repository", models) == 0
    assert _run("policy", "ours", "--specific", "1,2", "--repository", models) == 0
    assert "ours: serves 1, 2; version 2 answers" in capsys.readouterr().out
    assert _run("versions", "ours", "--repository", models) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[:2] for line in lines] == [
        ["version 1", "served"],
        ["version 2", "answers"],
        ["version 3", "kept"],
    ]
    assert all(f"weights {n}{n}{n}" in line and f"make {n}" in line for n, line in zip("123", lines, strict=True))
    assert [each.written.year >= 2020 for each in list_versions(models, "ours")] == [True] * 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("versions", "nobody"),
        ("policy", "ours"),
        ("policy", "ours", "--all", "--latest", "1"),
        ("policy", "ours", "--specific", "x"),
        ("rollback", "ours", "--to", "9"),
        ("rollback", "nobody"),
        ("drop-checkpoint", "ours", "--model-version", "9"),
    ],
)
def test_impossible_choices_exit_with_one(models: Path, arguments: tuple[str, ...]) -> None:
    """What cannot be chosen is an error, not a change."""
    config = (models / "ours" / "config.pbtxt").read_bytes()
    assert _run(*arguments, "--repository", models) == 1
    assert (models / "ours" / "config.pbtxt").read_bytes() == config


def test_changed_older_version_is_found(models: Path) -> None:
    """Checksums and graphs of every version are checked, also of those that nobody serves."""
    assert all(check.passed for check in verify(models, "ours"))
    shutil.copy(models / "ours" / "3" / "weights.pth", models / "ours" / "1" / "weights.pth")
    failed = [check for check in verify(models, "ours") if not check.passed]
    assert [(check.name, check.detail) for check in failed] == [
        ("checksums", "1/weights.pth changed since it was published")
    ]
    (models / "ours" / "1" / "model.onnx").write_bytes(b"nonsense")
    assert {check.name for check in verify(models, "ours") if not check.passed} == {"checksums", "graph"}


def test_all_served_versions_are_compared(models: Path) -> None:
    """Each served version's graph is compared with its own checkpoint."""
    set_policy(models, "ours", all_policy())
    checks = {check.name: check for check in verify(models, "ours")}
    assert all(check.passed for check in checks.values()), checks
    assert [f"version {version}: differ" in checks["torch and local"].detail for version in "123"] == [True] * 3
    assert checks["versions"].detail == "1, 2, 3 are here, 1, 2, 3 served, 3 answers"


def test_policy_that_names_no_version_is_found(models: Path) -> None:
    """A configuration that somebody wrote by hand is compared with what is there."""
    config = models / "ours" / "config.pbtxt"
    set_policy(models, "ours", specific_policy(["1"]))
    config.write_text(config.read_text().replace("versions: 1\n", "versions: 9\n"))
    failed = {check.name: check.detail for check in verify(models, "ours") if not check.passed}
    assert failed["versions"] == "there is no version 9 (there are: 1, 2, 3)"


def test_checkpoint_that_is_not_shipped_is_a_note(models: Path, triton_server_factory: Callable[..., object]) -> None:
    """Its absence passes and is told, torch is left out, and local and Triton are compared with each other."""
    dropped = drop_checkpoint(models, "ours")
    assert not dropped.exists()
    checks = {check.name: check for check in verify(models, "ours")}
    assert all(check.passed for check in checks.values()), checks
    assert checks["checksums"].detail == "as the card records; 3/weights.pth is absent, as the card says: not shipped"
    assert "compared with no other backend" in checks["torch and local"].detail
    server = triton_server_factory(models)
    assert isinstance(server, TritonServer)
    checks = {check.name: check for check in verify(models, "ours", triton_address=server.grpc_address)}
    note = "weights.pth is not shipped: the graph was compared on local and Triton only"
    assert checks["torch and local"].detail == checks["torch and triton"].detail == note
    assert checks["local and triton"].passed
    assert "differ: probabilities by at most" in checks["local and triton"].detail
    server.stop()


def test_checkpoint_is_missing_only_where_the_card_says_so(models: Path) -> None:
    """Without that word a missing checkpoint fails, and one that is there is checked whatever the card says."""
    weights = models / "ours" / "3" / "weights.pth"
    content = weights.read_bytes()
    weights.unlink()
    assert {c.name for c in verify(models, "ours") if not c.passed} == {"checksums", "torch and local"}
    drop_checkpoint(models, "ours")
    assert all(check.passed for check in verify(models, "ours"))
    weights.write_bytes(content + b"x")
    assert "checksums" in {c.name for c in verify(models, "ours") if not c.passed}
    with pytest.raises(ConfigurationError, match="not the file"):
        drop_checkpoint(models, "ours")
    assert weights.exists()


def test_checkpoint_can_stay_away_from_the_start(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Published without its checkpoint, a version records its hash; what needs the checkpoint says where to get it."""
    from export.scoring import published_checkpoint

    place = publish_checkpoint(checkpoint, tmp_path, name="ours", command="make it", shipped=False)
    assert [path.name for path in place.iterdir()] == ["model.onnx"]
    assert "1/weights.pth" in read_published(tmp_path, "ours").card["files"]
    assert all(check.passed for check in verify(tmp_path, "ours"))
    with pytest.raises(InputError, match=r"1/weights\.pth is not shipped with the repository; it is made by: make it"):
        published_checkpoint(tmp_path, "ours")


def test_both_predictors_follow_the_policy(models: Path, triton_server_factory: Callable[..., object]) -> None:
    """In process and on the real Triton the same versions answer the same, with remains of an interrupted publication
    lying about, and others are unknown to both.
    """
    (models / "ours" / ".publish" / "new").mkdir(parents=True)
    (models / "ours" / ".stage-abc").mkdir()
    (models / "ours" / ".card.json-x").write_text("{")
    answers = {version: _answer_alone(models, version) for version in "123"}
    for policy, served in (
        (specific_policy(["1", "2"]), "12"),
        (latest_policy(2), "23"),
        (specific_policy(["1"]), "1"),
    ):
        (models / "ours" / ".publish" / "new").mkdir(parents=True, exist_ok=True)
        set_policy(models, "ours", policy)
        (models / "ours" / ".publish" / "new").mkdir(parents=True, exist_ok=True)
        server = triton_server_factory(models)
        assert isinstance(server, TritonServer)
        asyncio.run(_check_both(models, server.grpc_address, served, answers))
        server.stop()


def _answer_alone(models: Path, version: str) -> np.ndarray:
    set_policy(models, "ours", specific_policy([version]))
    return _ask(LocalPredictor(ModelRepository(models, RECIPES)))


async def _check_both(models: Path, address: str, served: str, answers: dict[str, np.ndarray]) -> None:
    for predictor in (LocalPredictor(ModelRepository(models, RECIPES)), TritonPredictor(address, recipes=RECIPES)):
        assert tuple((await predictor.model("ours")).versions) == tuple(served)
        for version in (None, *"123"):
            asked = predictor.predict("ours", FLOW, version=version, deadline=time.monotonic() + 60)
            if version is None or version in served:
                expected = answers[version or served[-1]]
                np.testing.assert_allclose((await asked)["probabilities"], expected, atol=1e-4)
            else:
                with pytest.raises(UnknownModel):
                    await asked
        await predictor.close()
