"""A long short-term memory that can be exported: one operator of ONNX, where tracing would write a loop."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Lstm(nn.Module):
    """`nn.LSTM` of one layer, batch first, from which only the last hidden state is wanted.

    Parameters and answers are those of `cell`. In an export it becomes the operator LSTM.
    """

    def __init__(self, inputs: int, hidden: int) -> None:
        super().__init__()
        self.cell = nn.LSTM(inputs, hidden, batch_first=True)

    def forward(self, sequence: Tensor) -> Tensor:
        """float32 [N, hidden], the state after the last step of `sequence` float32 [N, T, inputs]."""
        if torch.onnx.is_in_onnx_export():
            return self._operator(sequence)
        _, (state, _) = self.cell(sequence)
        last: Tensor = state[0]
        return last

    def _operator(self, sequence: Tensor) -> Tensor:
        hidden = self.cell.hidden_size
        samples, steps = sequence.shape[:2]
        named = dict(self.cell.named_parameters())
        inputs, states, *biases = (
            _gates(named[name], hidden) for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        )
        _, state, _ = torch.onnx.ops.symbolic_multi_out(
            "LSTM",
            (
                sequence.transpose(0, 1),
                inputs[None],
                states[None],
                torch.cat(biases)[None],
            ),
            {"hidden_size": hidden},
            dtypes=(sequence.dtype,) * 3,
            shapes=((steps, 1, samples, hidden), (1, samples, hidden), (1, samples, hidden)),
        )
        return state[0]


def _gates(weights: Tensor, hidden: int) -> Tensor:
    """From PyTorch's order of the gates (input, forget, cell, output) to that of ONNX (input, output, forget, cell)."""
    return torch.cat([weights[:hidden], weights[3 * hidden :], weights[hidden : 3 * hidden]])
