"""From a checkpoint to a published version: graph, contract, card and configuration in one call."""

from __future__ import annotations

from pathlib import Path

from export.cards import build_card, build_contract
from export.checkpoint import Checkpoint, checkpoint_bytes
from export.onnx import onnx_bytes, served_graph
from export.repository import Publication, publish
from server.contract import FlowMethod

FLOW_OF_SOURCE: dict[str, FlowMethod] = {"trained": "accurate", "imported": "tvl1"}
"""Ours are trained on flow of any estimator's look; published weights saw TV-L1 alone."""


def publish_checkpoint(
    checkpoint: Checkpoint,
    repository: Path,
    *,
    name: str,
    command: str,
    flow: FlowMethod | None = None,
    version: int = 1,
    overwrite: bool = False,
) -> Path:
    """Export `checkpoint` and publish it as `name`; the folder of the version.

    `command` goes into contract and card. Raises `OptionError` as `publish` does.
    """
    contract = build_contract(checkpoint, name, flow or FLOW_OF_SOURCE[checkpoint.source], command)
    publication = Publication(
        contract=contract,
        onnx=onnx_bytes(served_graph(checkpoint), contract.inputs),
        weights=checkpoint_bytes(checkpoint),
        card=build_card(checkpoint, contract),
    )
    return publish(repository, publication, version=version, overwrite=overwrite)
