"""Adapted checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.adaptation.adapt import adapt_priors, check_target, probabilities, trained_shares
from export.cards import SYNTHETIC_DATA
from export.checkpoint import Checkpoint, checkpoint_bytes, load_checkpoint
from export.data.flow_images import FlowImages, UnlabelledImages, read_flow_images, read_unlabelled_images
from export.synthesis.flow_fields import synthesize_flow
from server.errors import InputError, OptionError
from server.types import UInt8Array


@pytest.fixture(scope="module")
def base(checkpoint: Checkpoint) -> Checkpoint:
    """A network with random weights that says to be trained on synthetic samples, and prefers its last class."""
    state = {**checkpoint.state, "fc.bias": torch.tensor([0.0, 0.0, 3.0])}
    return replace(checkpoint, state=state, training={"data": SYNTHETIC_DATA, "validation": {"accuracy": 1.0}})


@pytest.fixture(scope="module")
def target(folders: tuple[Path, Path]) -> UnlabelledImages:
    """The unlabelled folder."""
    return read_unlabelled_images(folders[1])


@pytest.fixture(scope="module")
def source(folders: tuple[Path, Path]) -> FlowImages:
    """The labelled folder."""
    return read_flow_images(folders[0])


def test_the_served_graph_of_an_adapted_model_reweights(base: Checkpoint, target: UnlabelledImages) -> None:
    """Its probabilities are those of the base times the ratio of shares, brought to sum 1."""
    adapted, estimate = adapt_priors(base, "base", target, None, command="the command")
    expected = probabilities(base, target.images) * estimate.ratio
    found = probabilities(adapted, target.images)
    np.testing.assert_allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-6)
    assert found[:, 2].mean() > probabilities(base, target.images)[:, 2].mean()


def test_an_adapted_checkpoint_tells_its_origin_and_survives_a_file(
    base: Checkpoint, target: UnlabelledImages, tmp_path: Path
) -> None:
    """Base, samples and hash are written down, the base's validation is not claimed, and all is read back."""
    adapted, _ = adapt_priors(base, "base", target, None, command="the command")
    note = adapted.training["adaptation"]
    assert (note["model"], note["model_sha256"]) == ("base", base.sha256)
    assert (note["unlabelled_samples"], note["unlabelled_sha256"]) == (40, target.sha256)
    assert "validation" not in adapted.training
    assert (
        f"base adapted to the class shares of 40 unlabelled samples (sha256 {target.sha256})"
        in (adapted.training["data"])
    )
    (tmp_path / "weights.pth").write_bytes(checkpoint_bytes(adapted))
    again = load_checkpoint(tmp_path / "weights.pth", "ststnet")
    assert (again.prior_ratio, again.training, again.sha256) == (adapted.prior_ratio, adapted.training, adapted.sha256)


def test_a_checkpoint_without_ratio_is_written_as_before(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Models that were not adapted keep their bytes and thus their hashes."""
    (tmp_path / "weights.pth").write_bytes(checkpoint_bytes(checkpoint))
    assert "prior_ratio" not in torch.load(tmp_path / "weights.pth", weights_only=True)
    assert load_checkpoint(tmp_path / "weights.pth", "ststnet").prior_ratio == ()


@pytest.mark.parametrize("ratio", [(1.0, 2.0), (1.0, 1.0, 0.0), (1.0, 1.0, float("nan")), ("a", "b", "c"), 3.0])
def test_a_file_with_a_wrong_ratio_is_refused(checkpoint: Checkpoint, tmp_path: Path, ratio: Any) -> None:
    """A ratio that would make probabilities negative, nothing or no number is named with the file."""
    (tmp_path / "weights.pth").write_bytes(checkpoint_bytes(checkpoint))
    content = torch.load(tmp_path / "weights.pth", weights_only=True)
    torch.save({**content, "prior_ratio": ratio}, tmp_path / "weights.pth")
    with pytest.raises(InputError, match=r"weights\.pth: prior_ratio is not one positive number for each of negative"):
        load_checkpoint(tmp_path / "weights.pth", "ststnet")


def test_an_adapted_model_is_not_adapted_again(base: Checkpoint, target: UnlabelledImages) -> None:
    """The shares are always estimated with the answers of the model as it was trained."""
    adapted, _ = adapt_priors(base, "base", target, None, command="")
    with pytest.raises(OptionError, match="more is adapted already"):
        adapt_priors(adapted, "more", target, None, command="")


def test_model_that_sees_magnitude_is_not_adapted_to_a_folder(
    magnitude_checkpoint: Checkpoint, target: UnlabelledImages
) -> None:
    """Stretched images say nothing about how it would answer."""
    with pytest.raises(OptionError, match="takes flow_uvs_28_iod"):
        adapt_priors(magnitude_checkpoint, "strength", target, None, command="c")


def test_shares_of_training_are_known_or_asked_for(base: Checkpoint, source: FlowImages) -> None:
    """Synthetic training had equal shares; any other needs its own labelled samples, and is not given others."""
    assert trained_shares(base, "x", None) == pytest.approx((1 / 3,) * 3)
    other = replace(base, training={"data": "a folder", "data_sha256": source.sha256})
    assert trained_shares(other, "x", source) == pytest.approx(np.bincount(source.labels) / 48)
    with pytest.raises(OptionError, match="x was not trained on synthetic samples alone: --source"):
        trained_shares(other, "x", None)
    with pytest.raises(OptionError, match="x was trained on other samples"):
        trained_shares(other, "x", replace(source, sha256="another"))
    with pytest.raises(InputError, match="no sample of the source is surprise"):
        trained_shares(other, "x", replace(source, labels=np.minimum(source.labels, 1)))


def test_synthetic_training_needs_no_source_whatever_its_expressions_came_from(base: Checkpoint) -> None:
    """Classes are equally many in samples of any of the sources of MiE-X; a mix with real samples is another matter."""
    told = f"{SYNTHETIC_DATA}; sources of MiE-X: expert"
    assert trained_shares(replace(base, training={"data": told}), "base", None) == (1 / 3,) * 3
    mixed = {"data": f"{SYNTHETIC_DATA} (3 drawn an epoch) + place (4 drawn an epoch)", "sources": [{}, {}]}
    with pytest.raises(OptionError, match="--source"):
        trained_shares(replace(base, training=mixed), "base", None)


def test_target_must_be_another_place_and_large_enough(target: UnlabelledImages, source: FlowImages) -> None:
    """Samples of the source are refused by name, as are too few of them."""
    check_target(target, source)
    few = UnlabelledImages(target.images[:29], target.paths[:29], "")
    with pytest.raises(InputError, match="29 target samples are too few; at least 30 are needed"):
        check_target(few, source)
    mixed: UInt8Array = np.concatenate([target.images[1:], source.images[:1]])
    paths = (*target.paths[1:], "same.png")
    with pytest.raises(InputError, match=r"1 target samples are source samples too, the first is same\.png"):
        check_target(UnlabelledImages(mixed, paths, ""), source)


def test_shares_are_found_in_the_answers_of_the_shipped_model(pytestconfig: pytest.Config) -> None:
    """The shipped model, on synthetic samples of which three in four are negative, estimates that share within .1."""
    from export.scoring import published_checkpoint

    shipped = published_checkpoint(pytestconfig.rootpath / "model_repository", "ststnet")
    made = synthesize_flow(600, seed=11)
    negative, others = np.flatnonzero(made.labels == 0)[:150], np.flatnonzero(made.labels != 0)[:50]
    images = made.images[np.concatenate([negative, others])]
    target = UnlabelledImages(images, tuple(map(str, range(len(images)))), "")
    _, estimate = adapt_priors(shipped, "ststnet", target, None, command="")
    assert estimate.shares[0] == pytest.approx(0.75, abs=0.1)
