"""Verification finds what is wrong."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from export.random_inputs import random_flow
from export.repository import read_published, replace_file
from export.verify import verify
from server.errors import UnknownModel
from server.predict.tritonserver import TritonServer


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    """A repository that may be damaged."""
    shutil.copytree(repository, tmp_path / "copy")
    return tmp_path / "copy"


def _failed(repository: Path) -> set[str]:
    return {check.name for check in verify(repository, "ours") if not check.passed}


def test_published_models_pass(repository: Path) -> None:
    """What was just published passes all checks."""
    for name in ("ours", "theirs"):
        checks = verify(repository, name)
        assert all(check.passed for check in checks), checks
        assert [check.name for check in checks] == [
            "checksums",
            "labels",
            "versions",
            "configuration",
            "graph",
            "torch and local",
        ]


def test_model_that_sees_magnitude_passes(magnitude_repository: Path) -> None:
    """It is asked about motion in percent, and ONNX Runtime answers like torch."""
    checks = verify(magnitude_repository, "strength")
    assert all(check.passed for check in checks), checks


def test_random_flow_is_that_of_the_recipe() -> None:
    """Whole numbers up to 255, or motion of both signs and strain within the bounds of the recipe."""
    stretched, percent = random_flow(4, 0), random_flow(4, 0, "flow_uvs_28_iod")
    assert stretched.shape == percent.shape == (4, 3, 28, 28)
    assert stretched.dtype == percent.dtype == np.float32
    assert (stretched == stretched.round()).all()
    assert -30 <= percent[:, :2].min() < -25
    assert percent[:, 2].min() >= 0
    assert percent[:, 2].max() <= 50


def test_committed_model_passes(pytestconfig: pytest.Config) -> None:
    """The model that ships is what its card says."""
    checks = verify(pytestconfig.rootpath / "model_repository", "ststnet")
    assert all(check.passed for check in checks), checks


def test_triton_is_compared(repository: Path, triton_server_factory: Callable[..., TritonServer]) -> None:
    """With an address, the real Triton is asked as well."""
    server = triton_server_factory(repository)
    checks = verify(repository, "ours", triton_address=server.grpc_address)
    assert checks[-1].name == "torch and triton"
    assert all(check.passed for check in checks), checks


def test_exchanged_graph_is_found(copy: Path) -> None:
    """Another model's graph in place of ours fails by hash and by answer."""
    shutil.copy(copy / "theirs" / "1" / "model.onnx", copy / "ours" / "1" / "model.onnx")
    assert _failed(copy) == {"checksums", "torch and local"}


def test_exchanged_labels_are_found(copy: Path) -> None:
    """Labels in another order would turn every answer into another one; the local gateway refuses them too."""
    (copy / "ours" / "labels.txt").write_text("positive\nnegative\nsurprise\n")
    assert _failed(copy) == {"labels", "torch and local"}


def test_changed_configuration_is_found(copy: Path) -> None:
    """A configuration that no longer follows from the contract is reported with the field."""
    config = read_published(copy, "ours").config
    config.max_batch_size = 8
    replace_file(copy / "ours" / "config.pbtxt", text_format.MessageToString(config).encode())
    (failed,) = [check for check in verify(copy, "ours") if not check.passed]
    assert (failed.name, failed.detail) == ("configuration", "differs from the contract in max_batch_size")


def test_broken_graph_is_a_failed_check(copy: Path) -> None:
    """A graph that cannot be parsed fails its checks without ending the others."""
    (copy / "ours" / "1" / "model.onnx").write_bytes(b"nonsense")
    assert _failed(copy) == {"checksums", "graph", "torch and local"}


def test_missing_file_is_a_failed_check(copy: Path) -> None:
    """So does a graph that is gone."""
    (copy / "ours" / "1" / "model.onnx").unlink()
    assert _failed(copy) == {"checksums", "graph", "torch and local"}


def test_unknown_model_is_refused(repository: Path) -> None:
    """A name that does not exist is an error, not a failed check."""
    with pytest.raises(UnknownModel):
        verify(repository, "nobody")
