"""safetensors, and what all files of weights have in common."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save, save_file

from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.cli import main
from export.networks.registry import NETWORKS
from export.networks.ststnet import STSTNet
from export.repository import read_published
from export.weight_files import LARGEST_BYTES
from server.errors import InputError, OptionError


def _state() -> dict[str, torch.Tensor]:
    return {name: value.contiguous() for name, value in STSTNet(padding=2).state_dict().items()}


def _safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def _entry(begin: int, end: int, shape: list[int], dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin"])
def test_safetensors_are_the_weights_they_hold(tmp_path: Path, name: str) -> None:
    """By the ending of the name or by its bytes, with what its metadata say."""
    state = _state()
    save_file(state, tmp_path / name, metadata={"format": "pt", "author": "somebody"})
    loaded = load_checkpoint(tmp_path / name, "ststnet")
    assert loaded.source == "imported"
    assert all(torch.equal(loaded.state[key], value) for key, value in state.items())
    assert loaded.training["metadata"] == {"author": "somebody", "format": "pt"}


def test_safetensors_are_published(tmp_path: Path) -> None:
    """`import` takes them, the card has the metadata, and the checkpoint beside the graph is one of ours."""
    save_file(_state(), tmp_path / "w.safetensors", metadata={"author": "somebody"})
    command = ["import", "ststnet", str(tmp_path / "w.safetensors"), "--name", "x", "--repository", str(tmp_path / "m")]
    with pytest.raises(SystemExit) as end:
        main(command)
    assert not end.value.code
    published = read_published(tmp_path / "m", "x")
    assert published.card["training"]["metadata"] == {"author": "somebody"}
    assert load_checkpoint(published.weights_file, "ststnet").training["metadata"] == {"author": "somebody"}


@pytest.mark.parametrize(
    "network", ["tgsr_flow", "off_apexnet", "microexpstcnn", "mol", "capsulenet", "elrcn_se_small"]
)
def test_safetensors_of_other_networks(tmp_path: Path, network: str) -> None:
    """Every network's state dictionary is read from it, half precision too."""
    architecture = NETWORKS[network]
    state = architecture.build(**architecture.theirs.arguments()).state_dict()
    halved = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    save_file({name: value.contiguous().clone() for name, value in halved.items()}, tmp_path / "w.safetensors")
    loaded = load_checkpoint(tmp_path / "w.safetensors", network)
    assert loaded.state.keys() == state.keys()
    assert all(loaded.state[name].dtype == value.dtype for name, value in state.items())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        b"a text file that calls itself one",
        _safetensors({}, length=1 << 40),
        _safetensors({"a": _entry(0, 1 << 40, [1 << 38])}),
        _safetensors({"a": _entry(0, 8, [2]), "b": _entry(4, 12, [2])}, bytes(12)),
        _safetensors({"a": _entry(0, 4, [2])}, bytes(4)),
        _safetensors({"a": _entry(8, 4, [1])}, bytes(8)),
        _safetensors({"a": _entry(0, 4, [1])}, bytes(400)),
        _safetensors({"a": _entry(0, 4, [-1])}, bytes(4)),
        _safetensors({"a": _entry(0, 4, [1], "PICKLE")}, bytes(4)),
        _safetensors({"a": "b"}),
        _safetensors(b"{" * 5000),
        _safetensors([1, 2]),
    ],
    ids=[
        "empty", "short", "text", "huge header", "huge array", "overlap", "wrong size", "backwards", "not covered",
        "negative", "kind", "no entry", "deep", "list",
    ],
)  # fmt: skip
def test_hostile_safetensors_are_refused(tmp_path: Path, data: bytes) -> None:
    """Headers that lie about lengths, offsets, shapes or kinds are refused with the file named."""
    path = tmp_path / "evil.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"evil\.safetensors"):
        load_checkpoint(path, "ststnet")


@pytest.mark.parametrize(
    "metadata",
    [{"format": "tf"}, {str(number): "" for number in range(65)}, {"long": "x" * 3000}],
    ids=["another framework", "many", "long"],
)
def test_metadata_have_bounds(tmp_path: Path, metadata: dict[str, str]) -> None:
    """Arrays of other frameworks have other axes, and a card is no place for a book."""
    path = tmp_path / "w.safetensors"
    path.write_bytes(save(_state(), metadata=metadata))
    with pytest.raises(InputError, match=r"w\.safetensors"):
        load_checkpoint(path, "ststnet")


def test_wrong_contents_are_refused_as_in_other_files(tmp_path: Path) -> None:
    """Values that are not finite, and whole numbers for weights."""
    state = _state()
    state["fc.bias"][0] = float("inf")
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: fc\.bias holds values that are not finite"):
        load_checkpoint(tmp_path / "w.safetensors", "ststnet")
    save_file({**state, "fc.bias": torch.zeros(3, dtype=torch.int64)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"fc\.bias holds torch\.int64, not torch\.float32"):
        load_checkpoint(tmp_path / "w.safetensors", "ststnet")


def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    """A file beyond all networks is refused by its size."""
    for name in ("w.pth", "w.safetensors", "w.h5"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(LARGEST_BYTES + 1)
        with pytest.raises(InputError, match=rf"{name} has {LARGEST_BYTES + 1} bytes"):
            load_checkpoint(tmp_path / name, "ststnet")


def test_other_things_than_files_are_refused(tmp_path: Path) -> None:
    """A folder, a pipe that nobody writes to, and an archive of a Keras that is not read."""
    os.mkfifo(tmp_path / "pipe.pth")
    for path in (tmp_path, tmp_path / "pipe.pth"):
        with pytest.raises(InputError, match="is not a file"):
            load_checkpoint(path, "ststnet")
    (tmp_path / "w.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"w\.keras is a Keras archive; save the model as \.h5"):
        load_checkpoint(tmp_path / "w.keras", "ststnet")


@pytest.mark.parametrize(
    "change",
    [
        {"options": {"width": 10**9}},
        {"options": {"layers": [9] * 99}},
        {"options": {"nonsense": 1}},
        {"options": {"width": 0.5}},
        {"options": 3},
        {"padding": "2"},
        {"preparation": "other"},
        {"source": "stolen"},
        {"state": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_checkpoints_that_call_themselves_ours_are_checked(
    tmp_path: Path, checkpoint: Checkpoint, change: dict[str, Any]
) -> None:
    """What such a file says about how to build its network is bounded, and costs no memory before it fits."""
    path = tmp_path / "w.pth"
    path.write_bytes(checkpoint_bytes(checkpoint))
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    with pytest.raises(InputError, match=r"w\.pth"):
        load_checkpoint(path, "ststnet")


def test_incomplete_checkpoint_is_refused(tmp_path: Path) -> None:
    """One that lacks what ours have is told so."""
    torch.save({"format": "glimpse.checkpoint/1", "network": "ststnet"}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth is not a whole checkpoint: it lacks source, padding"):
        load_checkpoint(tmp_path / "w.pth", "ststnet")


def test_sparse_tensors_are_refused(tmp_path: Path) -> None:
    """Anything but plain tensors is refused before it is looked into."""
    torch.save({**_state(), "fc.bias": torch.zeros(3).to_sparse()}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"w\.pth: fc\.bias is not a plain tensor"):
        load_checkpoint(tmp_path / "w.pth", "ststnet")


def test_options_of_keras_are_for_keras(tmp_path: Path) -> None:
    """They are refused with another file, not ignored."""
    from export.networks.keras_weights import KerasOptions

    torch.save(_state(), tmp_path / "w.pth")
    with pytest.raises(OptionError, match="for files of Keras"):
        load_checkpoint(tmp_path / "w.pth", "ststnet", KerasOptions(scaling=((1.0, 2.0),)))
