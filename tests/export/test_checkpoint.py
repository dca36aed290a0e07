"""Reading weights: ours, published ones, and those of an attacker."""

from __future__ import annotations

import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.networks.ststnet import STSTNet
from server.errors import InputError, OptionError


class _Attack:
    """Unpickling this runs a command that leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def _save(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.mark.parametrize("wrapped", [False, True])
def test_hostile_pickle_is_refused_and_not_run(tmp_path: Path, wrapped: bool) -> None:
    """A checkpoint that would run a command when loaded is refused; the command does not run."""
    trace = tmp_path / "trace"
    state: dict[str, Any] = dict(STSTNet().state_dict())
    state["fc.bias"] = _Attack(trace)
    path = _save(tmp_path / "evil.pth", {"state_dict": state} if wrapped else state)
    with pytest.raises(InputError, match=r"evil\.pth was refused: it refers to code"):
        load_checkpoint(path, "ststnet")
    assert not trace.exists()


def test_the_attack_would_work_on_a_careless_reader(tmp_path: Path) -> None:
    """The same file does run its command when unpickled without protection: the test above can fail."""
    trace = tmp_path / "trace"
    path = _save(tmp_path / "evil.pth", {"fc.bias": _Attack(trace)})
    torch.load(path, weights_only=False)
    assert trace.exists()


def test_plain_pickle_attack_is_refused(tmp_path: Path) -> None:
    """The same goes for an old-style pickle without an archive around it."""
    trace = tmp_path / "trace"
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(_Attack(trace)))
    with pytest.raises(InputError):
        load_checkpoint(path, "ststnet")
    assert not trace.exists()


def test_published_state_dictionary_loads(tmp_path: Path) -> None:
    """Bare weights are taken as published: padding 2 and the published channel order."""
    state = STSTNet(padding=2).state_dict()
    loaded = load_checkpoint(_save(tmp_path / "s.pth", state), "ststnet")
    assert loaded.source == "imported"
    assert (loaded.weights.padding, loaded.weights.preparation) == (2, "published_order")
    assert all(torch.equal(loaded.state[name], value) for name, value in state.items())


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_wrapped_and_parallel_names_are_understood(tmp_path: Path, wrapper: str) -> None:
    """Weights of a data-parallel run inside a larger checkpoint are found."""
    state = {f"module.{name}": value for name, value in STSTNet().state_dict().items()}
    loaded = load_checkpoint(_save(tmp_path / "s.pth", {wrapper: state, "epoch": 3}), "ststnet")
    assert "conv1.weight" in loaded.state


def test_wrong_shape_is_named(tmp_path: Path) -> None:
    """A classifier for five classes does not fit, and the message says where."""
    state = STSTNet(classes=5).state_dict()
    with pytest.raises(InputError, match=r"s\.pth: fc\.weight has shape \[5, 400\], not \[3, 400\]"):
        load_checkpoint(_save(tmp_path / "s.pth", state), "ststnet")


def test_wrong_names_are_listed(tmp_path: Path) -> None:
    """Missing and unknown names are both told."""
    state = STSTNet().state_dict()
    state["head.weight"] = state.pop("fc.weight")
    with pytest.raises(InputError, match=r"lacks fc\.weight and has unknown head\.weight"):
        load_checkpoint(_save(tmp_path / "s.pth", state), "ststnet")


def test_values_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    """A checkpoint of a diverged run is not published."""
    state = STSTNet().state_dict()
    state["bn1.running_var"][0] = float("nan")
    with pytest.raises(InputError, match=r"bn1\.running_var holds values that are not finite"):
        load_checkpoint(_save(tmp_path / "s.pth", state), "ststnet")


@pytest.mark.parametrize("content", [[1, 2], {"fc.weight": 3}, torch.zeros(3)])
def test_other_content_is_refused(tmp_path: Path, content: Any) -> None:
    """Lists, tensors and dictionaries of other things are no state dictionary."""
    with pytest.raises(InputError, match=r"s\.pth"):
        load_checkpoint(_save(tmp_path / "s.pth", content), "ststnet")


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04broken"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    """Empty files, text and broken archives are named as what they are not."""
    path = tmp_path / "s.pth"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"s\.pth"):
        load_checkpoint(path, "ststnet")


def test_archive_without_weights_is_refused(tmp_path: Path) -> None:
    """Any zip file is not a checkpoint."""
    path = tmp_path / "s.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(InputError, match="is not a PyTorch checkpoint"):
        load_checkpoint(path, "ststnet")


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The path and the reason are told."""
    with pytest.raises(InputError, match=r"nowhere\.pth cannot be read: No such file"):
        load_checkpoint(tmp_path / "nowhere.pth", "ststnet")


def test_unknown_network_is_refused_first(tmp_path: Path) -> None:
    """No file is opened for a network that does not exist."""
    with pytest.raises(OptionError, match="no network"):
        load_checkpoint(tmp_path / "nowhere.pth", "other")


def test_own_checkpoint_round_trip(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """What is written is read back with all it says, the same bytes each time."""
    data = checkpoint_bytes(checkpoint)
    assert data == checkpoint_bytes(checkpoint)
    path = tmp_path / "weights.pth"
    path.write_bytes(data)
    loaded = load_checkpoint(path, "ststnet")
    assert (loaded.source, loaded.weights, loaded.training) == ("trained", checkpoint.weights, checkpoint.training)
    assert checkpoint_bytes(loaded) == data


def test_bytes_do_not_depend_on_which_equal_strings_are_one(checkpoint: Checkpoint) -> None:
    """Pickle writes a string once for each object that it is: two equal ones would be longer than one named twice."""
    word = "glimpse-export train"
    twin = "".join(list(word))
    assert word == twin
    assert word is not twin
    once = replace(checkpoint, training={"command": word, "data": [word]})
    twice = replace(checkpoint, training={"command": word, "data": [twin]})
    assert checkpoint_bytes(once) == checkpoint_bytes(twice)


def test_built_network_is_in_evaluation_mode(checkpoint: Checkpoint) -> None:
    """A network from a checkpoint answers the same twice."""
    network = checkpoint.build()
    images = torch.rand(4, 3, 28, 28)
    assert torch.equal(network(images), network(images))


def test_every_published_file_loads(shared: Path) -> None:
    """All 40 published weights are accepted."""
    files = sorted((shared / "ststnet_weights").glob("*.pth"))
    assert len(files) == 40
    assert all(load_checkpoint(file, "ststnet").source == "imported" for file in files)
