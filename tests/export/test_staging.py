"""Interrupted publications: what was served is served on, and the next one begins where nothing had happened."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.cards import build_contract
from export.checkpoint import Checkpoint
from export.repository import Publication, check_free, publish, read_published
from export.verify import verify
from export.version_policy import all_policy, parse_policy
from server.contract import ModelContract
from server.errors import ConfigurationError, OptionError
from server.predict.repository import ModelRepository

STEPS = 60
"""More than any publication has."""


@pytest.fixture
def contract(checkpoint: Checkpoint) -> ModelContract:
    """What all versions have in common."""
    return build_contract(checkpoint, "ours", "accurate", "a test")


@pytest.fixture
def make(contract: ModelContract) -> Callable[[str], Publication]:
    """Small stand-ins for graph and weights, told apart by a word."""
    return lambda word: Publication(contract, word.encode(), b"weights of " + word.encode(), {"results": [word]})


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _served(repository: Path) -> tuple[str, ...]:
    """What the gateway would serve of this folder."""
    info = ModelRepository(repository, ["flow_uvs_28"]).catalogue.entry("ours").info
    assert info.servable, info.reason
    return tuple(info.versions)


class _Interruption:
    """Lets a number of renames happen and `ends` the next ones."""

    def __init__(self, allowed: int, end: Callable[[], None], *, once: bool) -> None:
        self.left, self.end, self.once = allowed, end, once
        self.rename, self.replace = Path.rename, Path.replace

    def install(self, put: Callable[[type, str, Any], None]) -> None:
        put(Path, "rename", lambda path, target: self._step(self.rename, path, target))
        put(Path, "replace", lambda path, target: self._step(self.replace, path, target))

    def _step(self, original: Callable[[Path, Path], Path], path: Path, target: Path) -> Path:
        self.left -= 1
        if self.left == -1 or (self.left < 0 and not self.once):
            self.end()
        return original(path, target)


def _fail() -> None:
    raise OSError(5, "Input/output error")


def _die() -> None:
    os._exit(9)


def _publish_and_die(repository: Path, publication: Publication, allowed: int, options: dict[str, Any]) -> None:
    _Interruption(allowed, _die, once=True).install(setattr)
    publish(repository, publication, **options)
    os._exit(0)


def _killed(repository: Path, publication: Publication, allowed: int, **options: Any) -> bool:
    """Publish in a process that is gone at its `allowed`-th rename; whether it was."""
    arguments = (repository, publication, allowed, options)
    process = multiprocessing.get_context("fork").Process(target=_publish_and_die, args=arguments)
    process.start()
    process.join()
    assert process.exitcode in (0, 9)
    return process.exitcode == 9


@pytest.mark.parametrize("once", [True, False], ids=["fails once", "fails from then on"])
def test_failure_at_any_step_leaves_the_old_version_served(
    tmp_path: Path, make: Callable[[str], Publication], monkeypatch: pytest.MonkeyPatch, *, once: bool
) -> None:
    """Whichever rename fails, version 1 is complete and served alone, and publishing again succeeds."""
    publish(tmp_path, make("old"))
    before = _content(tmp_path)
    failures = 0
    for allowed in range(STEPS):
        with monkeypatch.context() as patched:
            _Interruption(allowed, _fail, once=once).install(patched.setattr)
            try:
                publish(tmp_path, make("new"), version=2)
                break
            except OSError:
                failures += 1
        assert _served(tmp_path) == ("1",)
        assert {name: data for name, data in _content(tmp_path).items() if name.startswith("ours/1/")} == {
            name: data for name, data in before.items() if name.startswith("ours/1/")
        }
        if once:
            assert _content(tmp_path) == before
    assert failures > 8
    assert _served(tmp_path) == ("2",)
    publish(tmp_path, make("third"), version=3)
    left = sorted(entry.name for entry in (tmp_path / "ours").iterdir())
    assert left == ["1", "2", "3", "card.json", "config.pbtxt", "labels.txt"]


def test_killed_at_any_step_the_old_version_is_served(tmp_path: Path, make: Callable[[str], Publication]) -> None:
    """A process that dies without a chance to tidy up leaves version 1 served until the commit; the next one tidies."""
    deaths = 0
    for allowed in range(STEPS):
        repository = tmp_path / str(allowed)
        publish(repository, make("old"))
        before = _content(repository)
        if not _killed(repository, make("new"), allowed, version=2):
            break
        deaths += 1
        after = _content(repository)
        assert {name: after[name] for name in before if name.startswith("ours/1/")}.items() <= before.items()
        committed = _served(repository) == ("2",)
        if not committed:
            assert _served(repository) == ("1",)
            assert check_free(repository, "ours", version=2, overwrite=False).name == "2"
        publish(repository, make("third"), version=3)
        assert _served(repository) == ("3",)
        kept = ["1", "2", "3"] if committed else ["1", "3"]
        left = sorted(entry.name for entry in (repository / "ours").iterdir())
        assert left == [*kept, "card.json", "config.pbtxt", "labels.txt"]
        assert sorted(read_published(repository, "ours").records) == kept
    assert deaths > 8


def test_killed_while_overwriting_the_next_one_restores(tmp_path: Path, make: Callable[[str], Publication]) -> None:
    """Where a version that is being replaced was moved aside, it is put back before anything else is done."""
    for allowed in range(STEPS):
        repository = tmp_path / str(allowed)
        publish(repository, make("old"))
        before = _content(repository)
        if not _killed(repository, make("new"), allowed, overwrite=True):
            break
        publish(repository, make("second"), version=2, policy=all_policy())
        first = (repository / "ours" / "1" / "model.onnx").read_bytes()
        assert first in (b"old", b"new")
        assert read_published(repository, "ours", "1").card["results"] == [first.decode()]
        if first == b"old":
            assert _content(repository).items() >= {
                (name, data) for name, data in before.items() if name.startswith("ours/1/")
            }
    assert allowed > 8


def test_killed_before_there_was_a_model(tmp_path: Path, make: Callable[[str], Publication]) -> None:
    """A first version that was never committed is no model, and does not stand in the way of another try."""
    for allowed in range(STEPS):
        repository = tmp_path / str(allowed)
        repository.mkdir()
        died = _killed(repository, make("old"), allowed)
        listed = ModelRepository(repository, ["flow_uvs_28"]).catalogue.models()
        if not died:
            break
        if not any(info.servable for info in listed):
            publish(repository, make("again"))
            assert (repository / "ours" / "1" / "model.onnx").read_bytes() == b"again"
    assert allowed > 5


def test_interrupted_publication_is_told(tmp_path: Path, checkpoint: Checkpoint) -> None:
    """`verify` says that one was begun and not committed."""
    contract = build_contract(checkpoint, "ours", "accurate", "a test")
    publish(tmp_path, Publication(contract, b"old", b"old", {}))
    assert _killed(tmp_path, Publication(contract, b"new", b"new", {}), 9, version=2)
    (check,) = [check for check in verify(tmp_path, "ours") if check.name == "checksums"]
    assert not check.passed
    assert "interrupted" in check.detail


def test_two_commands_do_not_meet(tmp_path: Path, make: Callable[[str], Publication]) -> None:
    """While one command changes a model, another one is refused."""
    from export.files import locked

    publish(tmp_path, make("old"))
    with locked(tmp_path / "ours"), pytest.raises(ConfigurationError, match="another command"):
        publish(tmp_path, make("new"), version=2)


def test_refusal_leaves_no_trace(tmp_path: Path, make: Callable[[str], Publication]) -> None:
    """A publication that is refused changes no file."""
    publish(tmp_path, make("old"))
    before = _content(tmp_path)
    with pytest.raises(OptionError, match="no version 9"):
        publish(tmp_path, make("new"), version=2, policy=parse_policy("2,9"))
    assert _content(tmp_path) == before


def test_older_versions_are_not_touched(tmp_path: Path, make: Callable[[str], Publication]) -> None:
    """Publishing leaves files and records of other versions as they are, and the newest at the top of the card."""
    publish(tmp_path, make("one"))
    first = read_published(tmp_path, "ours").card
    before = {name: data for name, data in _content(tmp_path).items() if "/1/" in name}
    publish(tmp_path, make("two"), version=2)
    publish(tmp_path, make("three"), version=3)
    assert {name: data for name, data in _content(tmp_path).items() if "/1/" in name} == before
    card = json.loads((tmp_path / "ours" / "card.json").read_text())
    assert (card["version"], card["results"], sorted(card["versions"])) == ("3", ["three"], ["1", "2"])
    assert card["versions"]["1"] == first
