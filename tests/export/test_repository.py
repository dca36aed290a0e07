"""Publishing versions."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from export import files as files_module
from export.build import publish_checkpoint
from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.repository import (
    Publication,
    check_free,
    publish,
    published_names,
    read_published,
    replace_file,
)
from server.errors import ConfigurationError, OptionError, UnknownModel


@pytest.fixture
def publication(checkpoint: Checkpoint) -> Publication:
    """Small stand-ins for graph and weights."""
    contract = build_contract(checkpoint, "ours", "accurate", "a test")
    return Publication(contract, b"graph", b"weights", {"name": "ours", "results": []})


def test_version_holds_what_was_given(tmp_path: Path, publication: Publication) -> None:
    """Graph, weights, labels, configuration and card are where Triton and the gateway look for them."""
    place = publish(tmp_path, publication)
    assert place == tmp_path / "ours" / "1"
    assert (place / "model.onnx").read_bytes() == b"graph"
    assert (place / "weights.pth").read_bytes() == b"weights"
    assert (tmp_path / "ours" / "labels.txt").read_text() == "negative\npositive\nsurprise\n"
    published = read_published(tmp_path, "ours")
    assert published.contract == publication.contract
    assert published.card["files"]["1/model.onnx"] == hashlib.sha256(b"graph").hexdigest()
    assert published.model_file == place / "model.onnx"


def test_nothing_else_is_left_behind(tmp_path: Path, publication: Publication) -> None:
    """No temporary file stays, and what was written can be read by the server's account."""
    publish(tmp_path, publication)
    publish(tmp_path, publication, overwrite=True)
    files = {path.relative_to(tmp_path / "ours").as_posix() for path in (tmp_path / "ours").rglob("*")}
    assert files == {"1", "1/model.onnx", "1/weights.pth", "labels.txt", "card.json", "config.pbtxt"}
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (tmp_path / "ours").rglob("*"))


def test_existing_version_is_kept(tmp_path: Path, publication: Publication) -> None:
    """A version is not overwritten unless that was asked for."""
    place = publish(tmp_path, publication)
    other = Publication(publication.contract, b"other", b"other", publication.card)
    with pytest.raises(OptionError, match="exists"):
        publish(tmp_path, other)
    assert (place / "model.onnx").read_bytes() == b"graph"
    publish(tmp_path, other, overwrite=True)
    assert (place / "model.onnx").read_bytes() == b"other"


def test_newest_version_is_read(tmp_path: Path, publication: Publication) -> None:
    """Versions count as numbers: 10 is newer than 9."""
    for version in (9, 10):
        publish(tmp_path, publication, version=version)
    assert read_published(tmp_path, "ours").version == "10"


def test_failed_write_leaves_the_old_version(
    tmp_path: Path, publication: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk fails in the middle of a version, the one before is untouched and no part of the new one stays."""
    publish(tmp_path, publication)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        publish(tmp_path, Publication(publication.contract, b"new", b"new", {}), overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_configuration_comes_last(tmp_path: Path, publication: Publication, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server can see a model before all of its files are in place."""
    seen: list[str] = []
    original = Path.replace

    def spy(self: Path, target: Path) -> Path:
        seen.append(target.name)
        return original(self, target)

    monkeypatch.setattr(Path, "replace", spy)
    publish(tmp_path, publication)
    assert seen[-1] == "config.pbtxt"


def test_replaced_file_is_whole(tmp_path: Path) -> None:
    """A file is exchanged by rename: a reader that has the old one open keeps reading the old one."""
    path = tmp_path / "file"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new" * 1000)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new" * 1000
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_unknown_model_is_named(repository: Path) -> None:
    """The message lists what there is."""
    with pytest.raises(UnknownModel, match=r"no model 'nobody' in .*; there are: ours, theirs"):
        read_published(repository, "nobody")
    assert published_names(repository) == ["ours", "theirs"]


def test_broken_card_is_reported(tmp_path: Path, publication: Publication) -> None:
    """A model whose card cannot be read is a wrong installation, and the folder is named."""
    publish(tmp_path, publication)
    (tmp_path / "ours" / "card.json").write_text("{")
    with pytest.raises(ConfigurationError, match="ours"):
        read_published(tmp_path, "ours")


def test_check_before_the_work(repository: Path) -> None:
    """Whether a place is free can be asked before hours of training."""
    assert check_free(repository, "ours", version=2, overwrite=False) == repository / "ours" / "2"
    with pytest.raises(OptionError):
        check_free(repository, "ours", version=1, overwrite=False)


def test_same_checkpoint_same_files(checkpoint: Checkpoint, repository: Path, tmp_path: Path) -> None:
    """Publishing again elsewhere gives the same bytes in every file."""
    publish_checkpoint(checkpoint, tmp_path, name="ours", command="glimpse-export model")
    for path in (tmp_path / "ours").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (repository / path.relative_to(tmp_path)).read_bytes(), path.name
    assert json.loads((tmp_path / "ours" / "card.json").read_text())["source"] == "trained"
