"""Ensembles of published models: what is written, what is refused, and what verification finds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from export.build import publish_checkpoint
from export.checkpoint import Checkpoint
from export.cli import main
from export.cli_ensemble import parse_members
from export.ensemble import publish_ensemble
from export.ensemble_mean import Weighted, mean_answer
from export.networks.registry import NETWORKS
from export.repository import check_free, published_names, read_published
from export.scoring import open_backend, published_checkpoint
from export.verify import verify
from export.version_policy import all_policy, specific_policy
from export.versions import roll_back, set_policy
from server.contract import ModelContract
from server.errors import OptionError, UnknownModel
from server.predict.repository import ModelRepository
from server.predict.tritonserver import TritonServer
from server.recipes.registry import RECIPES

ARCHITECTURES = ("glimpse_flow", "ststnet", "glimpse_flow_iod", "microexpstcnn")


@pytest.fixture(scope="module")
def checkpoints() -> dict[str, Checkpoint]:
    """Random weights of networks with three recipes, two of them with action units."""
    made = {}
    for seed, name in enumerate(ARCHITECTURES):
        network = NETWORKS[name]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            state = network.build(**network.trained.arguments()).state_dict()
        if network.calibrated:
            state["temperature"] = torch.tensor(1.5)
        training = {"data": "none", "data_sha256": name}
        made[name] = Checkpoint(name, "trained", network.trained, state, training, "0" * 64)
    return made


@pytest.fixture(scope="module")
def members(checkpoints: dict[str, Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of models with these weights."""
    folder = tmp_path_factory.mktemp("members")
    for name, checkpoint in checkpoints.items():
        publish_checkpoint(checkpoint, folder, name=name, command="a test")
    return folder


@pytest.fixture
def repository(members: Path, tmp_path: Path) -> Path:
    """The same, to write to."""
    shutil.copytree(members, tmp_path / "models")
    return tmp_path / "models"


def _failed(repository: Path, name: str = "all_of_them") -> dict[str, str]:
    return {check.name: check.detail for check in verify(repository, name) if not check.passed}


def test_members_of_several_recipes_answer_as_one_on_both_backends(
    repository: Path, triton_server_factory: Callable[..., TritonServer], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command publishes an ensemble; locally and on the real Triton it is the weighted mean of its members."""
    weights = ["glimpse_flow=2", "ststnet", "glimpse_flow_iod=0.5", "microexpstcnn=1.5"]
    with pytest.raises(SystemExit) as ended:
        main(["ensemble", "all_of_them", *weights, "--repository", str(repository), "--abstain-below", "0.4"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.strip() == str(repository / "all_of_them" / "1")
    ensemble = read_published(repository, "all_of_them")
    contract = ensemble.contract
    assert contract.recipe == "flow_uvs_28+flow_uvs_28_iod+clip_gray_18x64"
    assert [spec.name for spec in contract.inputs] == ["flow_uvs_28.flow", "flow_uvs_28_iod.flow", "clip"]
    assert [(member.name, member.weight) for member in contract.members] == [
        ("glimpse_flow", 2.0),
        ("ststnet", 1.0),
        ("glimpse_flow_iod", 0.5),
        ("microexpstcnn", 1.5),
    ]
    assert contract.abstain_below == 0.4
    assert contract.action_units == read_published(repository, "glimpse_flow").contract.action_units
    assert set(ensemble.card["training"]["seen_sha256"]) == set(ARCHITECTURES)
    server = triton_server_factory(repository)
    checks = verify(repository, "all_of_them", triton_address=server.grpc_address)
    assert [check.name for check in checks] == [
        "checksums",
        "labels",
        "versions",
        "members",
        "configuration",
        "mean and local",
        "mean and triton",
    ]
    assert all(check.passed for check in checks), checks
    server.stop()


def test_the_mean_counts_each_unit_among_those_that_have_it() -> None:
    """Probabilities are averaged over all, an action unit over the members that know it, by the same weights."""

    def member(units: tuple[int, ...], weight: float) -> Weighted:
        outputs = [{"name": "probabilities", "dims": [2]}]
        outputs += [{"name": "action_units", "dims": [2, len(units)]}] if units else []
        provenance = {"network": "x", "source": "x", "command": "x", "training_data": "x"}
        contract = ModelContract.model_validate(
            {
                "name": "x",
                "recipe": "x",
                "inputs": [{"name": "x", "dims": [1]}],
                "outputs": outputs,
                "labels": ["a", "b"],
                "action_units": units,
                "provenance": provenance,
            }
        )
        return Weighted(contract, "1", weight)

    def answer(first: float, units: list[float]) -> dict[str, np.ndarray]:
        scores = np.array([[units, units]], np.float32)
        return {"probabilities": np.array([[first, 1 - first]], np.float32), "action_units": scores}

    members = [member((1, 12), 3.0), member((), 4.0), member((12, 4), 1.0)]
    found = mean_answer(members, [answer(1.0, [0.2, 0.4]), answer(0.0, []), answer(0.5, [0.8, 0.6])])
    assert found["probabilities"] == pytest.approx(np.array([[3.5 / 8, 4.5 / 8]]))
    assert found["action_units"][0, 0] == pytest.approx([0.2, 0.6, (3 * 0.4 + 0.8) / 4])


def test_two_models_of_one_recipe_share_its_input(repository: Path) -> None:
    """The recipe stays a plain one, and evaluation takes the ensemble like any model, but has no torch for it."""
    publish_ensemble(repository, "pair", {"glimpse_flow": 1.0, "ststnet": 1.0}, command="a test")
    assert read_published(repository, "pair").contract.recipe == "flow_uvs_28"
    flow = {"flow": np.zeros((2, 3, 28, 28), np.float32)}
    with open_backend("local", repository, report=lambda _: None) as score:
        assert score("pair", flow)["probabilities"].shape == (2, 3)
    with pytest.raises(OptionError, match="pair is an ensemble"):
        published_checkpoint(repository, "pair")


def test_the_same_ensemble_is_the_same_bytes(repository: Path) -> None:
    """Publishing again changes nothing; another weight leaves no part of the old one behind."""
    weights = {"glimpse_flow": 1.0, "ststnet": 1.0}

    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    publish_ensemble(repository, "pair", weights, command="a test")
    before = files()
    publish_ensemble(repository, "pair", weights, command="a test", overwrite=True)
    assert files() == before
    (old,) = repository.glob("pair.mean-*")
    publish_ensemble(repository, "pair", {**weights, "ststnet": 2.0}, command="a test", overwrite=True)
    (new,) = repository.glob("pair.mean-*")
    assert new != old
    assert not _failed(repository, "pair")
    assert published_names(repository) == sorted([*ARCHITECTURES, "pair"])


def _servable(repository: Path, name: str = "pair") -> str:
    """The version that the gateway would answer with, or why it would not."""
    info = ModelRepository(repository, RECIPES).catalogue.entry(name).info
    return info.versions[-1] if info.servable else info.reason


@pytest.mark.parametrize("version", [1, 2])
def test_whichever_rename_fails_the_old_ensemble_answers(
    repository: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    """Replaced or followed by another version: until the commit the old steps ask the old part, and then the new."""
    publish_ensemble(repository, "pair", {"glimpse_flow": 1.0, "ststnet": 1.0}, command="a test")
    (part,) = repository.glob("pair.mean-*")
    folders = [repository / "pair", part]
    before = {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}
    options = {"command": "a test", "overwrite": True, "version": version}
    failures = 0
    for allowed in range(60):
        with monkeypatch.context() as patched:
            _fail_once(patched.setattr, allowed)
            try:
                publish_ensemble(repository, "pair", {"glimpse_flow": 1.0, "ststnet": 5.0}, **options)
                break
            except OSError:
                failures += 1
        assert {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()} == before
        assert _servable(repository) == "1"
    assert failures > 8
    assert _servable(repository) == str(version)
    assert not _failed(repository, "pair")
    (new,) = repository.glob("pair.mean-*")
    assert new != part


def _fail_once(put: Callable[[type, str, object], None], allowed: int) -> None:
    """Let `allowed` files be renamed and fail the next one."""
    left = iter([True] * allowed + [False])

    def step(original: Callable[[Path, Path], Path], path: Path, target: Path) -> Path:
        if not next(left, True):
            raise OSError(28, "No space left on device")
        return original(path, target)

    put(Path, "rename", lambda path, target, original=Path.rename: step(original, path, target))
    put(Path, "replace", lambda path, target, original=Path.replace: step(original, path, target))


def test_a_member_that_stops_serving_its_version_stops_the_ensemble(
    repository: Path, checkpoints: dict[str, Checkpoint]
) -> None:
    """It asks the version that it was made of, beside a newer one too; where a policy or a rollback leaves that out,
    it is listed with the reason, verification says so, and a new version of it takes what answers now.
    """
    publish_checkpoint(checkpoints["ststnet"], repository, name="ststnet", command="a test", version=2)
    weights = {"glimpse_flow": 1.0, "ststnet": 1.0}
    publish_ensemble(repository, "pair", weights, command="a test")
    assert [member.version for member in read_published(repository, "pair").contract.members] == ["1", "2"]
    assert roll_back(repository, "ststnet") == "1"
    reason = "its member 'ststnet' has no version 2 (served: 1)"
    assert _servable(repository) == reason
    failed = _failed(repository, "pair")
    assert failed["members"] == reason
    assert "ststnet serves version 1, the ensemble asks version 2" in failed["configuration"]
    publish_ensemble(repository, "pair", weights, command="a test", version=2)
    assert _servable(repository) == "2"
    set_policy(repository, "ststnet", all_policy())
    assert _servable(repository) == "2"
    assert not _failed(repository, "pair")
    set_policy(repository, "ststnet", specific_policy(["2"]))
    assert _servable(repository) == "its member 'ststnet' has no version 1 (served: 2)"


def test_an_ensemble_has_versions_but_none_to_choose(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They are listed with their members; policy, rollback, acceleration and checkpoints are refused with the reason,
    and neither kind of model takes the name of the other.
    """
    publish_ensemble(repository, "pair", {"glimpse_flow": 1.0, "ststnet": 1.0}, command="a test")
    publish_ensemble(repository, "pair", {"glimpse_flow": 2.0, "ststnet": 1.0}, command="a test", version=2)
    assert not _failed(repository, "pair")
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()}

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--repository", str(repository)])
        printed = capsys.readouterr()
        assert (ended.value.code or 0) == (1 if printed.err else 0)
        return printed.err or printed.out

    lines = run("versions", "pair").splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["version 1", "kept"], ["version 2", "answers"]]
    assert "members glimpse_flow 1 x 1, ststnet 1 x 1" in lines[0]
    assert "members glimpse_flow 1 x 2, ststnet 1 x 1" in lines[1]
    for command in (["rollback", "pair"], ["rollback", "pair", "--to", "1"], ["policy", "pair", "--all"]):
        assert "pair is an ensemble of glimpse_flow, ststnet: its steps are one for all its versions" in run(*command)
    assert "it has no checkpoint of its own" in run("drop-checkpoint", "pair")
    assert "accelerate those" in run("accelerate", "pair", "--to", "fast", "--precision", "fp16")
    assert "an ensemble answers by its newest" in run("ensemble", "pair", "glimpse_flow", "ststnet", "--overwrite")
    (part,) = repository.glob("pair.mean-*")
    assert "no model" in run("verify", part.name)
    with pytest.raises(OptionError, match="ends like the part of an ensemble"):
        check_free(repository, part.name, version=2, overwrite=False)
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file()} == before


def test_a_model_does_not_take_the_name_of_an_ensemble(repository: Path, checkpoints: dict[str, Checkpoint]) -> None:
    """A version that is no ensemble is refused beside one."""
    publish_ensemble(repository, "pair", {"glimpse_flow": 1.0, "ststnet": 1.0}, command="a test")
    with pytest.raises(OptionError, match="pair is an ensemble; choose another name"):
        publish_checkpoint(checkpoints["ststnet"], repository, name="pair", command="a test", version=2)
    assert not _failed(repository, "pair")


def test_what_cannot_be_averaged_is_refused(repository: Path) -> None:
    """One member, itself, an ensemble, an unknown or broken model, other labels, another flow: all have a reason."""

    def refused(*names: str, name: str = "pair", error: type[Exception] = OptionError) -> str:
        with pytest.raises(error) as caught:
            publish_ensemble(repository, name, dict.fromkeys(names, 1.0), command="a test")
        assert not (repository / name / "config.pbtxt").exists() or name != "pair"
        return str(caught.value)

    assert "two members or more" in refused("ststnet")
    assert "a member of itself" in refused("pair", "ststnet")
    assert "no model 'nobody'" in refused("nobody", "ststnet", error=UnknownModel)
    assert "no ensemble; choose another name" in refused("glimpse_flow", "microexpstcnn", name="ststnet")
    publish_ensemble(repository, "first", {"glimpse_flow": 1.0, "ststnet": 1.0}, command="a test")
    assert "first is an ensemble itself" in refused("first", "ststnet")
    _rewrite(repository / "ststnet" / "config.pbtxt", '\\"flow\\":\\"accurate\\"', '\\"flow\\":\\"tvl1\\"')
    _rewrite(repository / "ststnet" / "card.json", '"flow": "accurate"', '"flow": "tvl1"')
    assert "different flow estimators (glimpse_flow: accurate; ststnet: tvl1)" in refused("glimpse_flow", "ststnet")
    for place, quote in (("config.pbtxt", '\\"'), ("card.json", '"'), ("labels.txt", "")):
        _rewrite(repository / "microexpstcnn" / place, f"{quote}surprise{quote}", f"{quote}wonder{quote}")
    assert "different labels" in refused("glimpse_flow", "microexpstcnn")
    (repository / "glimpse_flow" / "1" / "model.onnx").unlink()
    assert "glimpse_flow cannot be a member: no version of it" in refused("glimpse_flow", "ststnet")


def _rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("given", [["a", "a=2"], ["a=0"], ["a=-1"], ["a=nan"], ["a=inf"], ["a=much"], ["a="]])
def test_weights_are_numbers_above_zero(given: list[str]) -> None:
    """A name comes once, its weight is 1 unless given."""
    with pytest.raises(OptionError):
        parse_members(given)
    assert parse_members(["a", "b=0.25"]) == {"a": 1.0, "b": 0.25}


def test_verification_finds_what_changed(repository: Path) -> None:
    """Another graph of a member, of the mean, other weights, another configuration."""
    weights = {"glimpse_flow": 1.0, "ststnet": 2.0}

    def fresh() -> Path:
        publish_ensemble(repository, "all_of_them", weights, command="a test", overwrite=True)
        (part,) = repository.glob("all_of_them.mean-*")
        return part

    fresh()
    assert not _failed(repository)
    members = repository / "all_of_them" / "1" / "members.json"
    listed = json.loads(members.read_text(encoding="utf-8"))
    listed["members"][0]["model_sha256"] = "0" * 64
    members.write_text(json.dumps(listed), encoding="utf-8")
    assert set(_failed(repository)) == {"checksums", "members"}
    part = fresh()
    (part / "1" / "model.onnx").write_bytes((repository / "ststnet" / "1" / "model.onnx").read_bytes())
    assert "configuration" in _failed(repository)
    assert "mean and local" in _failed(repository)
    part = fresh()
    _rewrite(repository / "all_of_them" / "config.pbtxt", '\\"weight\\":1.0', '\\"weight\\":3.0')
    assert set(_failed(repository)) == {"versions", "configuration"}
    fresh()
    shutil.rmtree(repository / "ststnet")
    assert _failed(repository)["members"] == "its member 'ststnet' is not there"
