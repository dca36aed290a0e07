"""Regression on flow images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from export.adaptation.adapt import probabilities
from export.adaptation.flow_tgsr import answers, choose, fit_flow, region_features
from export.checkpoint import Checkpoint
from export.data.flow_images import FlowImages, read_flow_images
from export.networks.registry import find_network
from server.errors import InputError


@pytest.fixture(scope="module")
def source(folders: tuple[Path, Path]) -> FlowImages:
    """The labelled folder."""
    return read_flow_images(folders[0])


def test_answers_are_those_of_the_served_graph(source: FlowImages) -> None:
    """What is chosen by is what will be served, the mirrored image included."""
    features = region_features(source.images)
    regression = fit_flow(features, source.labels, None, kappa=20, xi=0.0)
    state = {"coefficients": torch.from_numpy(regression.coefficients).float()}
    served = Checkpoint("tgsr_flow", "trained", find_network("tgsr_flow").trained, state, {}, "")
    np.testing.assert_allclose(
        answers(features, regression.coefficients), probabilities(served, source.images), atol=1e-5
    )


def test_the_choice_is_the_best_score_and_the_freest_of_equals(source: FlowImages) -> None:
    """Every combination is scored on left-out subjects, progress counts every fit, and the result is the same again."""
    features = region_features(source.images)
    progress: list[tuple[int, int]] = []
    choice = choose(source, features, kappas=(85, 20), xis=(0.0, 1.0), on_progress=lambda *step: progress.append(step))
    assert progress[-1] == (16, 16)
    assert len(choice.uf1) == 4
    assert choice.uf1[choice.kappa, choice.xi] == max(choice.uf1.values())
    assert choose(source, features, kappas=(85, 20), xis=(0.0, 1.0)) == choice
    assert choose(source, features, kappas=(85,), xis=(0.0, 0.0)).xi == 0.0


def test_the_choice_learns_nothing_from_a_left_out_label(source: FlowImages) -> None:
    """Another label on a left-out sample changes its score and no regression: its answer stays."""
    features = region_features(source.images)
    left_out = np.array([subject == "s0" for subject in source.subjects])
    others, them = features.of(~left_out), features.of(left_out)
    first = fit_flow(others, source.labels[~left_out], them, kappa=20, xi=1.0)
    changed = np.where(left_out, (source.labels + 1) % 3, source.labels)
    second = fit_flow(others, changed[~left_out], them, kappa=20, xi=1.0)
    np.testing.assert_array_equal(first.coefficients, second.coefficients)


def test_a_source_without_a_class_is_refused(source: FlowImages) -> None:
    """A class that nobody shows cannot be learnt, and is named."""
    poor = replace(source, labels=np.minimum(source.labels, 1))
    with pytest.raises(InputError, match="is surprise"):
        choose(poor, region_features(poor.images))


def test_real_samples_are_told_apart_better_than_by_chance(shared: Path) -> None:
    """Trained on one real data set, the regression is above the floor of a constant answer on the other."""
    data = read_flow_images(shared / "megc2019_flow")
    smic = np.array([name == "smic" for name in data.datasets])
    features = region_features(data.images)
    found = fit_flow(features.of(smic), data.labels[smic], features.of(~smic), kappa=46, xi=0.0)
    hits = answers(features.of(~smic), found.coefficients).argmax(1) == data.labels[~smic]
    recalls = [hits[data.labels[~smic] == label].mean() for label in range(3)]
    assert np.mean(recalls) > 0.5
