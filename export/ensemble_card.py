"""The card of an ensemble: what it is made of, and all that must be known of its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from export.cards import FORMAT, INTENDED_USE
from export.repository import PublishedModel
from server.contract import ModelContract


def ensemble_card(contract: ModelContract, members: Sequence[PublishedModel]) -> dict[str, Any]:
    """The card of an ensemble that was just made; `members` in the order of the contract's."""
    licences = {member.name: member.card.get("licence", "not stated") for member in members}
    limits = [str(limit) for member in members for limit in member.card.get("limits", ())]
    return {
        "format": FORMAT,
        "name": contract.name,
        "network": contract.provenance.network,
        "members": [member.model_dump(mode="json") for member in contract.members],
        "citation": "the weighted mean of the probabilities of its members; their cards name their papers",
        "licence": "; ".join(f"{name}: {licence}" for name, licence in licences.items()),
        "source": contract.provenance.source,
        "command": contract.provenance.command,
        "training": {"data": contract.provenance.training_data, "seen_sha256": _seen(members)},
        "labels": list(contract.labels),
        "recipe": contract.recipe,
        "intended_use": INTENDED_USE,
        "limits": list(dict.fromkeys(limits)),
        "results": [],
    }


def _seen(members: Sequence[PublishedModel]) -> list[str]:
    """Hashes of whatever data any member was trained on, so that no evaluation takes it for new."""
    trainings: list[Mapping[str, Any]] = [member.card.get("training", {}) for member in members]
    return sorted(
        {seen for each in trainings for seen in (*each.get("seen_sha256", ()), each.get("data_sha256"))} - {None, ""}
    )
