"""Calibration on synthetic people whom no training has seen: how sure an answer may be, and when a unit has moved.

The temperature is that of Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
section 4.2. Thresholds of units follow from their F1, which a rare unit has at a lower probability than .5.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

from export.losses import VISIBLE
from export.networks.blocks import Preparation, flow_graph
from export.networks.outputs import ACTION_UNITS, Calibrated, answers_of
from export.synthesis.flow_fields import FlowSamples
from server.contract import PROBABILITIES
from server.types import Float32Array

_LOWEST, _HIGHEST = 0.25, 8.0
_STEPS = 60
_THRESHOLDS = np.arange(0.02, 0.99, 0.01)


def calibrate(network: Calibrated, preparation: Preparation, samples: FlowSamples) -> None:
    """Set `temperature` and `unit_shift` of `network` by `samples`, which it must not have been trained on."""
    network.temperature.fill_(1.0)
    network.unit_shift.zero_()
    answers = answers_of(flow_graph(network, preparation), samples.images)
    network.temperature.fill_(fit_temperature(answers[PROBABILITIES], samples.labels))
    network.unit_shift.copy_(torch.from_numpy(fit_unit_shift(answers[ACTION_UNITS], samples.action_units)))


def fit_temperature(probabilities: Float32Array, labels: npt.NDArray[np.int64]) -> float:
    """The T of least negative log likelihood of p^(1/T), brought back to sum 1: above 1 for answers that were too sure.

    `probabilities` float32 [N, classes], `labels` int64 [N]. Golden section in log T between 1/4 and 8, within which
    the likelihood has one maximum.
    """
    logs = np.log(np.maximum(probabilities.astype(np.float64), 1e-6))
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = logs / math.exp(log_temperature)
        total = np.logaddexp.reduce(scaled, axis=1)
        return float((total - scaled[rows, labels]).mean())

    ratio = (math.sqrt(5) - 1) / 2
    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    for _ in range(_STEPS):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return math.exp((low + high) / 2)


def fit_unit_shift(scores: Float32Array, strengths: Float32Array) -> Float32Array:
    """What to add to the log odds of each unit so that .5 is its threshold of best F1: float32 [units].

    `scores` and `strengths` float32 [N, 2, units]. A unit counts once for a sample, by its stronger side, as a report
    lists it. A unit that no sample shows is left as it is.
    """
    best, shown = scores.max(axis=1), strengths.max(axis=1) >= VISIBLE
    shift = np.zeros(scores.shape[2], np.float32)
    for unit in np.flatnonzero(shown.any(axis=0)):
        said = best[:, unit] >= _THRESHOLDS[:, None]
        f1 = 2 * (said & shown[:, unit]).sum(axis=1) / (said.sum(axis=1) + shown[:, unit].sum())
        threshold = _THRESHOLDS[int(f1.argmax())]
        shift[unit] = -math.log(threshold / (1 - threshold))
    return shift
