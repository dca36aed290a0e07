"""The measures of the MEGC2019 protocol, on matrices whose scores are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from export.data.flow_images import FlowImages
from export.evaluation import confusion_matrix, evaluate, measure
from server.contract import PROBABILITIES
from server.errors import InputError
from server.types import Float32Array

STSTNET = np.array([[219, 22, 9], [40, 62, 7], [21, 3, 59]])
COUNTS = {"full": (250, 109, 83), "smic": (70, 51, 43), "casme2": (88, 32, 25), "samm": (92, 26, 15)}


def _data(labels: list[int], datasets: list[str]) -> FlowImages:
    """Images whose first pixel tells a fake model what to answer: its label."""
    images = np.zeros((len(labels), 3, 28, 28), np.uint8)
    images[:, 0, 0, 0] = labels
    names = tuple(f"{i}.png" for i in range(len(labels)))
    return FlowImages(images, np.array(labels), tuple(datasets), names, names, "0" * 64)


def _oracle(model: str, inputs: Mapping[str, Float32Array]) -> dict[str, Float32Array]:
    """Right about everything, but `wrong` is off by one; `shown` is the first pixel, which `wrong` does not tell."""
    flow = inputs["flow"]
    if model == "wrong":
        return {PROBABILITIES: np.eye(3, dtype=np.float32)[(flow[:, 0, 0, 0].astype(int) + 1) % 3]}
    return {PROBABILITIES: np.eye(3, dtype=np.float32)[flow[:, 0, 0, 0].astype(int)], "shown": flow[:, 0, 0, :1]}


def test_published_confusion_matrix() -> None:
    """The matrix of the STSTNet paper gives UF1 .7353 and the true UAR .7186, which the paper misprints."""
    measures = measure(STSTNET)
    assert measures.uf1 == pytest.approx(0.7353, abs=5e-5)
    assert measures.uar == pytest.approx(0.7186, abs=5e-5)
    assert measures.accuracy == pytest.approx(0.7692, abs=5e-5)
    assert measures.samples == 442


@pytest.mark.parametrize(
    ("name", "uf1", "accuracy"),
    [("full", 0.2408, 0.5656), ("smic", 0.1994, 0.4268), ("casme2", 0.2518, 0.6069), ("samm", 0.2726, 0.6917)],
)
def test_constant_answer_scores_the_floor(name: str, uf1: float, accuracy: float) -> None:
    """Always saying negative gives UAR 1/3 and the known floors."""
    truth = np.repeat(np.arange(3), COUNTS[name])
    measures = measure(confusion_matrix(truth, np.zeros_like(truth)))
    assert measures.uf1 == pytest.approx(uf1, abs=5e-5)
    assert measures.uar == pytest.approx(1 / 3)
    assert measures.accuracy == pytest.approx(accuracy, abs=5e-5)


def test_absent_class_is_an_error_that_names_it() -> None:
    """A class without samples is not left out of the mean silently."""
    with pytest.raises(InputError, match="no sample of samm is surprise"):
        measure(np.array([[3, 1, 0], [0, 2, 1], [0, 0, 0]]), "samm")


def test_absent_class_of_one_data_set_is_an_error() -> None:
    """The same holds for a data set within a complete whole."""
    with pytest.raises(InputError, match="no sample of b is surprise"):
        evaluate(_data([0, 1, 2, 0, 1], ["a", "a", "a", "b", "b"]), ["m"] * 5, _oracle)


def test_class_that_is_never_predicted_scores_zero() -> None:
    """A class that is present and never predicted counts with F1 0 and recall 0."""
    measures = measure(np.array([[2, 0, 0], [0, 2, 0], [2, 0, 0]]))
    assert measures.uf1 == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert measures.uar == pytest.approx(2 / 3)


def test_order_of_samples_does_not_matter() -> None:
    """Shuffled rows give the same measures, overall and by data set."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 20).tolist()
    datasets = ["a", "b"] * 30
    models = rng.choice(["right", "wrong"], 60).tolist()
    order = rng.permutation(60)
    plain = evaluate(_data(labels, datasets), models, _oracle)
    shuffled = evaluate(
        _data([labels[i] for i in order], [datasets[i] for i in order]), [models[i] for i in order], _oracle
    )
    assert 0.1 < plain.overall.uf1 < 0.9
    assert plain.summary() == shuffled.summary()
    np.testing.assert_array_equal(plain.predictions[order], shuffled.predictions)


def test_each_sample_is_answered_by_its_model() -> None:
    """Only the samples of the wrong model are wrong."""
    result = evaluate(_data([0, 1, 2, 0, 1, 2], ["a"] * 6), ["right"] * 3 + ["wrong"] * 3, _oracle)
    assert result.predictions.tolist() == [0, 1, 2, 1, 2, 0]


def test_other_outputs_stand_beside_the_answers() -> None:
    """An output that every model has is kept in the order of the samples; one that some lack is not."""
    labels = [0, 1, 2, 2, 1, 0]
    both = evaluate(_data(labels, ["a"] * 6), ["m", "n"] * 3, _oracle)
    assert both.extras["shown"][:, 0].tolist() == labels
    assert evaluate(_data(labels, ["a"] * 6), ["m", "wrong"] * 3, _oracle).extras == {}


def test_scores_are_pooled_not_averaged_over_data_sets() -> None:
    """The overall score comes from all samples at once, the score of a data set from its own."""
    data = _data([0, 1, 2, 0, 0, 0, 1, 2], ["a"] * 3 + ["b"] * 5)
    result = evaluate(data, ["wrong"] * 3 + ["right"] * 5, _oracle)
    assert result.datasets["a"].uf1 == 0
    assert result.datasets["b"].uf1 == 1
    assert result.overall.samples == 8
    assert result.overall.accuracy == pytest.approx(5 / 8)


def test_summary_has_the_agreed_members() -> None:
    """The JSON of an evaluation has samples, UF1, UAR, confusion and the same by data set."""
    summary = evaluate(_data([0, 1, 2], ["a"] * 3), ["right"] * 3, _oracle).summary()
    assert summary["confusion"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert summary["datasets"]["a"] == {"samples": 3, "uf1": 1.0, "uar": 1.0, "accuracy": 1.0}
    assert {"samples", "uf1", "uar"} <= summary.keys()


def test_progress_counts_samples() -> None:
    """Progress goes model by model up to all samples."""
    seen: list[tuple[int, int]] = []
    evaluate(_data([0, 1, 2, 0], ["a"] * 4), ["m", "m", "n", "n"], _oracle, lambda *counts: seen.append(counts))
    assert seen == [(2, 4), (4, 4)]
