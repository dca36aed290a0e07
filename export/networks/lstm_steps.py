"""A long short-term memory whose every step is wanted, as the one ONNX operator where tracing would write a loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LstmSteps(nn.Module):
    """One layer of `nn.LSTM`, batch first, with its parameters and its answers."""

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """float32 [N, T, hidden], the state after each step of `sequence` float32 [N, T, inputs]."""
        if torch.onnx.is_in_onnx_export():
            return self._operator(sequence)
        states: Tensor = self.cell(sequence)[0]
        return states

    def _operator(self, sequence: Tensor) -> Tensor:
        cell, hidden = self.cell, self.cell.hidden_size
        samples, steps, _ = sequence.shape
        parameters = {name: _onnx_order(value, hidden) for name, value in cell.named_parameters()}
        biases = torch.cat([parameters["bias_ih_l0"], parameters["bias_hh_l0"]])
        states = torch.onnx.ops.symbolic(
            "LSTM",
            (
                sequence.transpose(0, 1),
                parameters["weight_ih_l0"][None],
                parameters["weight_hh_l0"][None],
                biases[None],
            ),
            {"hidden_size": hidden},
            dtype=sequence.dtype,
            shape=(steps, 1, samples, hidden),
        )
        return states[:, 0].transpose(0, 1)


def _onnx_order(gates: Tensor, hidden: int) -> Tensor:
    """Rows by input, output, forget and cell gate; PyTorch has input, forget, cell, output."""
    return torch.cat([gates[:hidden], gates[3 * hidden :], gates[hidden : 3 * hidden]])
