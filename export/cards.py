"""Model cards: where a model comes from, what it was measured to do, and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from export.checkpoint import NOT_STATED, Checkpoint
from export.data.flow_images import RECIPE as FLOW_IMAGES_RECIPE
from export.labels import LABELS
from export.networks.outputs import ACTION_UNITS
from export.networks.registry import find_network
from server.contract import ATTENTION, PROBABILITIES, FlowMethod, ModelContract, Provenance, TensorSpec

FORMAT = "glimpse.card/1"
SYNTHETIC_DATA = "synthetic: flow images made from action units, without any person's data"
RENDERED_DATA = "synthetic: expressions rendered from action units on one public-domain portrait and changes of it"

MAGNITUDE_RECIPE = "flow_uvs_28_iod"
_UNITS_MEANING = "image-left and image-right; a score for each action unit that says moved from 0.5 on; 61 is gaze"
ABSTAIN_BELOW = 0.5
"""Of a calibrated model: an answer that is more likely wrong than right is withheld."""

EIGHT_BITS = "weights rounded to 8 bits after training, computed in float32; what training measured was before that"
INTENDED_USE = (
    "Classifying the motion between the onset and the apex of a spotted facial movement as negative, positive or "
    "surprise, for research and for tools whose users know of it and agreed to it."
)
_ALWAYS = (
    "A facial movement is not a feeling: the classes describe which muscles moved, and people differ.",
    "Not for lie detection, hiring, policing, credit, education, health or any decision about a person.",
)
LIMITS = (
    *_ALWAYS,
    "Each channel is stretched to its own range, so the strength of the motion is not seen.",
    "Measured on two sets of laboratory recordings; not on covered faces, faces turned away, or by age and origin.",
    "Measured on about 300 real samples: a difference of a few hundredths between two scores says nothing.",
)
LIMITS_WITH_MAGNITUDE = (
    *_ALWAYS,
    "Measured on synthetic and rendered faces alone: the real samples at hand do not keep the strength of the motion.",
)
LIMITS_ON_FACES = (
    *_ALWAYS,
    "Trained and measured on rendered changes of one portrait alone: the real samples at hand are flow, not faces.",
    "How well it does on strangers, covered faces, faces turned away, or by age and origin is not known.",
)
_OUR_LICENCE = "Apache-2.0"
_THEIR_LICENCE = "that of the imported checkpoint, which its holder must know; it is not redistributed here"


_ATTENTION_MEANING = "how much each place of what the network sees counted, 0 to 1: row, column"


def build_contract(checkpoint: Checkpoint, name: str, flow: FlowMethod, command: str) -> ModelContract:
    """The contract of a model called `name` that serves `checkpoint`.

    A network that was never calibrated, because it has seen no synthetic sample, promises neither action units nor a
    confidence to withhold answers by.
    """
    network = find_network(checkpoint.network)
    calibrated = network.calibrated and _was_calibrated(checkpoint)
    outputs = [TensorSpec(name=PROBABILITIES, dims=(len(LABELS),), meaning="probability of each label")]
    if network.units:
        outputs.append(TensorSpec(name=ACTION_UNITS, dims=(2, len(network.units)), meaning=_UNITS_MEANING))
    if network.attention:
        outputs.append(TensorSpec(name=ATTENTION, dims=network.attention, meaning=_ATTENTION_MEANING))
    return ModelContract(
        name=name,
        recipe=network.recipe,
        flow=flow,
        inputs=network.inputs,
        outputs=tuple(outputs),
        labels=LABELS,
        action_units=network.units if calibrated or not network.calibrated else (),
        abstain_below=ABSTAIN_BELOW if calibrated else 0.0,
        provenance=Provenance(
            network=checkpoint.network,
            source=checkpoint.source,
            command=command,
            training_data=checkpoint.training.get("data", NOT_STATED),
            data_sha256=checkpoint.training.get("data_sha256", ""),
            weights_sha256=checkpoint.sha256,
        ),
    )


def _was_calibrated(checkpoint: Checkpoint) -> bool:
    # Folders know no units, so a head that learnt from them alone answers at random, and nothing set its thresholds.
    return bool(checkpoint.state["temperature"] != 1) or bool(checkpoint.state["unit_shift"].any())


def build_card(checkpoint: Checkpoint, contract: ModelContract, *, eight_bits: bool = False) -> dict[str, Any]:
    """The card of a model that was just made; `with_result` adds what is measured later."""
    ours = checkpoint.source == "trained"
    network = find_network(checkpoint.network)
    training = dict(checkpoint.training)
    validation = training.pop("validation", None)
    command = contract.provenance.command
    return {
        "format": FORMAT,
        "name": contract.name,
        "network": checkpoint.network,
        "citation": network.citation,
        "readings": list(network.readings),
        "reported": network.reported,
        "parameters": sum(value.numel() for value in checkpoint.build().parameters()),
        "licence": _OUR_LICENCE if ours else _THEIR_LICENCE,
        "source": checkpoint.source,
        "command": command,
        "training": training or {"data": contract.provenance.training_data},
        "weights_sha256": checkpoint.sha256,
        "storage": EIGHT_BITS if eight_bits else "float32",
        "labels": list(contract.labels),
        "recipe": contract.recipe,
        "preparation": checkpoint.weights.preparation,
        "intended_use": INTENDED_USE,
        "limits": list(limits_of(contract.recipe)),
        "software": {package: version(package).partition("+")[0] for package in ("torch", "onnx", "numpy")},
        "results": [{"command": command, **validation}] if validation else [],
    }


def limits_of(recipe: str) -> tuple[str, ...]:
    """What a reader of the card of a model that takes `recipe` must know."""
    if recipe == FLOW_IMAGES_RECIPE:
        return LIMITS
    return LIMITS_WITH_MAGNITUDE if recipe == MAGNITUDE_RECIPE else LIMITS_ON_FACES


def with_result(card: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """The card with `result`, which replaces an older one of the same command."""
    others = [known for known in card.get("results", ()) if known.get("command") != result["command"]]
    return {**card, "results": [*others, dict(result)]}
