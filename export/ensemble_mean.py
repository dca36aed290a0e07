"""The weighted mean of several models' answers: its outputs, the graph that computes it, and the same in numpy.

Each label's probability is the mean over all members. A score of an action unit is the mean over the members that have
that unit, by the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.networks.outputs import ACTION_UNITS
from export.onnx import BATCH_AXIS, IR_VERSION, OPSET
from server.contract import PROBABILITIES, ModelContract, TensorSpec
from server.types import Float32Array

_SIDES = 2


@dataclass(frozen=True, slots=True)
class Weighted:
    """One version of a model, by its contract, and how much its answer counts."""

    contract: ModelContract
    version: str
    weight: float

    @property
    def answers(self) -> tuple[TensorSpec, ...]:
        """What of it is averaged: probabilities, and the scores of action units where it promises some."""
        wanted = {PROBABILITIES, ACTION_UNITS} if self.contract.action_units else {PROBABILITIES}
        return tuple(spec for spec in self.contract.outputs if spec.name in wanted)


def units_of(members: Sequence[Weighted]) -> tuple[int, ...]:
    """The action units that any member has, by number."""
    return tuple(sorted({unit for member in members for unit in member.contract.action_units}))


def answer_name(index: int, output: str) -> str:
    """What the mean calls the output of the member at `index`."""
    return f"member_{index}.{output}"


def mean_inputs(members: Sequence[Weighted]) -> tuple[TensorSpec, ...]:
    """The answers of all members, in their order."""
    return tuple(
        TensorSpec(name=answer_name(index, spec.name), dims=spec.dims, meaning=f"{spec.name} of {member.contract.name}")
        for index, member in enumerate(members)
        for spec in member.answers
    )


def mean_outputs(members: Sequence[Weighted]) -> tuple[TensorSpec, ...]:
    """Probabilities, and the scores of all members' action units."""
    labels, units = members[0].contract.labels, units_of(members)
    outputs = [TensorSpec(name=PROBABILITIES, dims=(len(labels),), meaning="probability of each label, weighted mean")]
    if units:
        meaning = "image-left and image-right; weighted mean over the members that know the unit; moved from 0.5 on"
        outputs.append(TensorSpec(name=ACTION_UNITS, dims=(_SIDES, len(units)), meaning=meaning))
    return tuple(outputs)


def mean_onnx(members: Sequence[Weighted]) -> bytes:
    """The graph from `mean_inputs` to `mean_outputs`, float32 [N, ...]; one set of weights, one set of bytes."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    shares, sharers = _shares(members), _unit_shares(members)
    terms: dict[str, list[str]] = {PROBABILITIES: [], ACTION_UNITS: []}
    for index, member in enumerate(members):
        for spec in member.answers:
            counted = shares[index] if spec.name == PROBABILITIES else sharers[index]
            by, term = f"shares_{index}.{spec.name}", f"term_{index}.{spec.name}"
            constants.append(numpy_helper.from_array(counted, by))
            operator = "Mul" if spec.name == PROBABILITIES else "MatMul"
            nodes.append(helper.make_node(operator, [answer_name(index, spec.name), by], [term]))
            terms[spec.name].append(term)
    outputs = mean_outputs(members)
    nodes += [helper.make_node("Sum", terms[spec.name], [spec.name]) for spec in outputs]
    graph = helper.make_graph(nodes, "mean", _values(mean_inputs(members)), _values(outputs), constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def mean_answer(members: Sequence[Weighted], answers: Sequence[Mapping[str, Float32Array]]) -> dict[str, Float32Array]:
    """What the ensemble must answer where its members answer `answers`, float32 [N, ...] each, in their order."""
    weights = [member.weight for member in members]
    found = {PROBABILITIES: np.average([answer[PROBABILITIES] for answer in answers], axis=0, weights=weights)}
    columns = []
    for unit in units_of(members):
        have = [index for index, member in enumerate(members) if unit in member.contract.action_units]
        scores = [answers[i][ACTION_UNITS][:, :, members[i].contract.action_units.index(unit)] for i in have]
        columns.append(np.average(scores, axis=0, weights=[weights[i] for i in have]))
    if columns:
        found[ACTION_UNITS] = np.stack(columns, axis=2)
    return {name: values.astype(np.float32) for name, values in found.items()}


def _shares(members: Sequence[Weighted]) -> list[Float32Array]:
    total = sum(member.weight for member in members)
    return [np.array(member.weight / total, np.float32) for member in members]


def _unit_shares(members: Sequence[Weighted]) -> list[Float32Array]:
    """For each member float32 [its units, all units]: how much each of its units counts in which of the mean."""
    units = units_of(members)
    total = {u: sum(member.weight for member in members if u in member.contract.action_units) for u in units}
    tables = []
    for member in members:
        table = np.zeros((len(member.contract.action_units), len(units)), np.float32)
        for row, unit in enumerate(member.contract.action_units):
            table[row, units.index(unit)] = member.weight / total[unit]
        tables.append(table)
    return tables


def _values(specs: Sequence[TensorSpec]) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(spec.name, TensorProto.FLOAT, [BATCH_AXIS, *spec.dims]) for spec in specs]
