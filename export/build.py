"""From a checkpoint to a published version: graph, contract, card and configuration in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import onnx
from torch import nn
from tritonclient.grpc.model_config_pb2 import ModelVersionPolicy

from export.cards import build_card, build_contract
from export.checkpoint import Checkpoint, checkpoint_bytes
from export.eight_bits import packed, rounded
from export.networks.registry import find_network
from export.onnx import onnx_bytes, served_graph
from export.repository import Publication, publish
from server.contract import FlowMethod, TensorSpec

FLOW_OF_SOURCE: dict[str, FlowMethod] = {"trained": "accurate", "imported": "tvl1"}
"""Ours are trained on flow of any estimator's look; published weights saw TV-L1 alone."""


def publish_checkpoint(
    checkpoint: Checkpoint,
    repository: Path,
    *,
    name: str,
    command: str,
    flow: FlowMethod | None = None,
    eight_bits: bool | None = None,
    version: int = 1,
    overwrite: bool = False,
    policy: ModelVersionPolicy | None = None,
    shipped: bool = True,
    exported: Callable[[nn.Module, Sequence[TensorSpec]], bytes] = onnx_bytes,
) -> Path:
    """Export `checkpoint` and publish it as `name`; the folder of the version.

    `command` goes into contract and card; `shipped` says whether the checkpoint lies beside the graph. With
    `eight_bits` the weights are rounded first; unless it is given that is done where the network is registered so and
    the weights are ours. `exported` is `onnx_bytes` or gives the same, sooner. Raises `OptionError` as `publish` does.
    """
    if eight_bits is None:
        eight_bits = find_network(checkpoint.network).eight_bits and checkpoint.source == "trained"
    if eight_bits:
        checkpoint = replace(checkpoint, state=rounded(checkpoint.state))
        checkpoint = replace(checkpoint, sha256=sha256(checkpoint_bytes(checkpoint)).hexdigest())
    contract = build_contract(checkpoint, name, flow or FLOW_OF_SOURCE[checkpoint.source], command)
    graph = exported(served_graph(checkpoint), contract.inputs)
    publication = Publication(
        contract=contract,
        graph=packed(onnx.load_from_string(graph)).SerializeToString(deterministic=True) if eight_bits else graph,
        weights=checkpoint_bytes(checkpoint),
        card=build_card(checkpoint, contract, eight_bits=eight_bits),
        shipped=shipped,
    )
    return publish(repository, publication, version=version, overwrite=overwrite, policy=policy)
