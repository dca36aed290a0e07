"""Contracts and cards of new models."""

from __future__ import annotations

from dataclasses import replace

import torch

from export.cards import ABSTAIN_BELOW, build_card, build_contract, limits_of, with_result
from export.checkpoint import Checkpoint
from export.labels import LABELS
from export.networks.glimpse_flow import GlimpseFlow
from export.networks.registry import find_network
from export.synthesis.action_units import UNITS


def test_contract_says_where_the_weights_come_from(checkpoint: Checkpoint) -> None:
    """Recipe, labels, flow and provenance are those of the checkpoint and of the command."""
    contract = build_contract(checkpoint, "ours", "accurate", "the command")
    assert (contract.recipe, contract.flow, contract.labels) == ("flow_uvs_28", "accurate", LABELS)
    assert contract.provenance.source == "trained"
    assert contract.provenance.training_data == "noise"
    assert contract.provenance.weights_sha256 == checkpoint.sha256
    assert contract.provenance.command == "the command"


def test_card_and_contract_tell_what_strength_means(magnitude_checkpoint: Checkpoint) -> None:
    """A model that sees magnitude says its unit, and does not claim to have been measured on stretched samples."""
    contract = build_contract(magnitude_checkpoint, "strength", "accurate", "the command")
    assert contract.recipe == "flow_uvs_28_iod"
    assert "percent of the inter-ocular distance" in contract.inputs[0].meaning
    card = build_card(magnitude_checkpoint, contract)
    assert card["preparation"] == "in_iod"
    assert not any("stretched" in limit or "300 real samples" in limit for limit in card["limits"])
    assert set(limits_of("flow_uvs_28")) & set(card["limits"])


def test_card_of_imported_weights_claims_nothing(imported_checkpoint: Checkpoint) -> None:
    """Somebody else's weights keep their licence, and their training data is not invented."""
    contract = build_contract(imported_checkpoint, "theirs", "tvl1", "the command")
    card = build_card(imported_checkpoint, contract)
    assert card["source"] == "imported"
    assert card["licence"] != "Apache-2.0"
    assert card["training"] == {"data": "not stated by the checkpoint"}
    assert card["results"] == []


def test_card_has_what_a_reader_needs(checkpoint: Checkpoint) -> None:
    """Citation, licence, training, command, use and limits are all there."""
    card = build_card(checkpoint, build_contract(checkpoint, "ours", "accurate", "the command"))
    assert "1902.03634" in card["citation"]
    assert card["training"]["data_sha256"] == "0" * 64
    for field in ("licence", "command", "intended_use", "limits", "weights_sha256"):
        assert card[field], field


def test_validation_is_a_result_with_its_command(checkpoint: Checkpoint) -> None:
    """What training measured stands among the results, not in the settings."""
    training = {**checkpoint.training, "validation": {"samples": 10, "accuracy": 0.9}}
    trained = Checkpoint("ststnet", "trained", checkpoint.weights, checkpoint.state, training, "0" * 64)
    card = build_card(trained, build_contract(trained, "ours", "accurate", "the command"))
    assert card["results"] == [{"command": "the command", "samples": 10, "accuracy": 0.9}]
    assert "validation" not in card["training"]


def test_result_of_the_same_command_is_replaced() -> None:
    """Measuring again does not pile up, and other results stay."""
    card = with_result({"results": [{"command": "a", "uf1": 0.1}, {"command": "b", "uf1": 0.2}]}, {"command": "a"})
    assert card["results"] == [{"command": "b", "uf1": 0.2}, {"command": "a"}]


def test_a_head_that_learnt_nothing_promises_nothing() -> None:
    """Action units and a confidence to withhold by are promised by weights that were calibrated, and by no others."""
    model = GlimpseFlow().eval()
    blank = Checkpoint(
        "glimpse_flow", "trained", find_network("glimpse_flow").trained, model.state_dict(), {}, "0" * 64
    )
    contract = build_contract(blank, "blank", "accurate", "the command")
    assert (contract.action_units, contract.abstain_below) == ((), 0.0)
    known = replace(blank, state={**blank.state, "temperature": torch.tensor(1.2)})
    contract = build_contract(known, "known", "accurate", "the command")
    assert (contract.action_units, contract.abstain_below) == (UNITS, ABSTAIN_BELOW)
