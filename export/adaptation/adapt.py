"""Adapted checkpoints: a published model with the class shares of a target, or a regression fitted to one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

import torch

from export.adaptation.flow_tgsr import choose, fit_flow, region_features
from export.adaptation.priors import FEWEST_SAMPLES, PULL_SAMPLES, PriorEstimate, estimate_priors
from export.cards import SYNTHETIC_DATA
from export.checkpoint import Checkpoint, checkpoint_bytes
from export.data.flow_images import FlowImages, UnlabelledImages, check_takes_images
from export.labels import LABELS
from export.networks.outputs import answers_of
from export.networks.registry import find_network
from export.onnx import served_graph
from server.contract import PROBABILITIES
from server.errors import InputError, OptionError
from server.types import Float32Array, UInt8Array

TGSR_NETWORK = "tgsr_flow"


def adapt_priors(
    base: Checkpoint, model: str, target: UnlabelledImages, source: FlowImages | None, *, command: str
) -> tuple[Checkpoint, PriorEstimate]:
    """`base`, published as `model`, with the shares that the classes have among `target`.

    `source` are the labelled samples that the base was trained on; synthetic training needs none. Raises `InputError`
    as `estimate_priors` and `check_target` do, `OptionError` as `check_takes_images` does, for a base that was adapted
    already and for a source that is missing or another one.
    """
    check_takes_images(model, find_network(base.network).recipe)
    if base.prior_ratio:
        raise OptionError(f"{model} is adapted already; adapt the model that it was made from", option="model")
    trained = trained_shares(base, model, source)
    check_target(target, source)
    estimate = estimate_priors(probabilities(base, target.images), trained)
    adaptation = {
        "method": "class priors (Saerens, Latinne, Decaestecker 2002)",
        **_target(target),
        "model": model,
        "model_sha256": base.sha256,
        "pull_samples": PULL_SAMPLES,
        "trained_shares": _shares(estimate.trained),
        "estimated_shares": _shares(estimate.shares),
        "p_value": float(f"{estimate.p_value:.3g}"),
    }
    before = {key: value for key, value in base.training.items() if key != "validation"}
    data = f"{before.get('data', 'not stated by the checkpoint')}; {model} adapted to the class shares of "
    training = {**before, "data": data + _in_words(target), "adaptation": adaptation, "command": command}
    return _hashed(replace(base, training=training, prior_ratio=tuple(estimate.ratio.tolist()))), estimate


def adapt_tgsr(
    source: FlowImages,
    target: UnlabelledImages,
    *,
    name: str,
    command: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Checkpoint:
    """A `tgsr_flow` fitted to the labelled `source`, called `name` in the card, and to the mean of `target`.

    kappa and xi are those of `flow_tgsr.choose`, which sees nothing of the target. `on_progress(done, total)` counts
    fits. Raises `InputError` as `check_target`, `choose` and `fit_flow` do.
    """
    check_target(target, source)
    features = region_features(source.images)
    choice = choose(source, features, on_progress=on_progress)
    to = region_features(target.images)
    regression = fit_flow(features, source.labels, to, kappa=choice.kappa, xi=choice.xi)
    datasets = ", ".join(sorted(set(source.datasets)))
    used = "adapted to the mean of" if choice.xi else "xi 0 was chosen, so nothing was learnt from"
    training = {
        "data": f"{name}: {len(source.labels)} samples of {datasets}; {used} {_in_words(target)}",
        "data_sha256": source.sha256,
        "samples": len(source.labels),
        "adaptation": {"method": "transfer group sparse regression (Jiang et al. 2022)", **_target(target)},
        "kappa": choice.kappa,
        "xi": choice.xi,
        "kept_regions": regression.kept.tolist(),
        "iterations": regression.iterations,
        "validation": {
            "data": "source subjects left out in turn; kappa and xi were chosen by this score, so it is optimistic",
            "samples": len(source.labels),
            "uf1": round(choice.uf1[choice.kappa, choice.xi], 4),
        },
        "command": command,
    }
    state = {"coefficients": torch.from_numpy(regression.coefficients).float()}
    return _hashed(Checkpoint(TGSR_NETWORK, "trained", find_network(TGSR_NETWORK).trained, state, training, sha256=""))


def probabilities(checkpoint: Checkpoint, images: UInt8Array) -> Float32Array:
    """What the served graph answers to `images` uint8 [N, 3, 28, 28]: float32 [N, classes]."""
    return answers_of(served_graph(checkpoint), images)[PROBABILITIES]


def trained_shares(base: Checkpoint, model: str, source: FlowImages | None) -> tuple[float, ...]:
    """The shares of the classes that `base` learnt with: equal ones of synthetic samples, else those of `source`.

    Raises `OptionError` where a source is needed and missing, or was not what the base was trained on, and
    `InputError` where it lacks a class.
    """
    # A mix names each of its sources; the sources of synthetic expressions are told in the words after the comma.
    if not base.training.get("sources") and str(base.training.get("data", "")).startswith(SYNTHETIC_DATA):
        return (1 / len(LABELS),) * len(LABELS)
    if source is None:
        raise OptionError(
            f"{model} was not trained on synthetic samples alone: --source must name the labelled samples that it was "
            "trained on, for the shares of their classes",
            option="source",
        )
    known = base.training.get("data_sha256", "")
    if known and known != source.sha256:
        raise OptionError(f"{model} was trained on other samples than those of --source", option="source")
    counts = [int((source.labels == i).sum()) for i in range(len(LABELS))]
    absent = [label for label, count in zip(LABELS, counts, strict=True) if not count]
    if absent:
        raise InputError(f"no sample of the source is {' or '.join(absent)}")
    return tuple(count / len(source.labels) for count in counts)


def check_target(target: UnlabelledImages, source: FlowImages | None) -> None:
    """Raises `InputError` for fewer than `FEWEST_SAMPLES` target samples, and for one that is in the source as well."""
    if len(target.paths) < FEWEST_SAMPLES:
        raise InputError(f"{len(target.paths)} target samples are too few; at least {FEWEST_SAMPLES} are needed")
    known = {image.tobytes() for image in source.images} if source else set()
    common = [path for path, image in zip(target.paths, target.images, strict=True) if image.tobytes() in known]
    if common:
        raise InputError(
            f"{len(common)} target samples are source samples too, the first is {common[0]}: adapt to samples of the "
            "place where the model will be used"
        )


def _target(target: UnlabelledImages) -> dict[str, Any]:
    return {"unlabelled_samples": len(target.paths), "unlabelled_sha256": target.sha256}


def _in_words(target: UnlabelledImages) -> str:
    return f"{len(target.paths)} unlabelled samples (sha256 {target.sha256})"


def _shares(values: Any) -> Mapping[str, float]:
    return {label: round(float(value), 4) for label, value in zip(LABELS, values, strict=True)}


def _hashed(checkpoint: Checkpoint) -> Checkpoint:
    return replace(checkpoint, sha256=sha256(checkpoint_bytes(checkpoint)).hexdigest())
