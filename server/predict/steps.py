"""The steps of an ensemble: which model is asked with which tensors, as Triton's `ensemble_scheduling` says.

Triton runs them inside one request. `Chain` does the same in this process from the same configuration, so that one
repository gives one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tritonclient.grpc import model_config_pb2

from server.types import Float32Array

PLATFORM = "ensemble"


@dataclass(frozen=True, slots=True)
class Step:
    """`inputs` and `outputs` say which tensor of the ensemble each of the model's own is."""

    model: str
    version: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


class Runs(Protocol):
    """What of an ONNX Runtime session is used here."""

    def run(self, names: Sequence[str], feed: Mapping[str, Float32Array], options: Any = None) -> Sequence[Any]:
        """The outputs called `names`, in this order."""
        ...


class Chain:
    """An ensemble that runs like one session; `sessions` are those of its `steps`, which are in order."""

    def __init__(self, steps: Sequence[Step], sessions: Sequence[Runs]) -> None:
        self._stages = tuple(zip(steps, sessions, strict=True))

    def run(self, names: Sequence[str], feed: Mapping[str, Float32Array], options: Any = None) -> Sequence[Any]:
        """The outputs called `names`, float32 [N, ...]. `options` stop whichever step is running."""
        tensors: dict[str, Any] = dict(feed)
        for step, session in self._stages:
            wanted = list(step.outputs)
            found = session.run(wanted, {own: tensors[name] for own, name in step.inputs.items()}, options)
            tensors.update(zip((step.outputs[own] for own in wanted), found, strict=True))
        return [tensors[name] for name in names]


def steps_of(config: model_config_pb2.ModelConfig) -> tuple[Step, ...]:
    """The steps in an order in which each finds its inputs made; none for a model that is no ensemble.

    Raises `ValueError` where a version is left open, since another model would then answer under the same name one day,
    or where a tensor is made by nobody or twice.
    """
    left = [
        Step(step.model_name, str(step.model_version), dict(step.input_map), dict(step.output_map))
        for step in config.ensemble_scheduling.step
    ]
    if (config.platform == PLATFORM) != bool(left):
        raise ValueError(f'config.pbtxt has platform: "{PLATFORM}" without ensemble_scheduling, or the other way round')
    made = {tensor.name for tensor in config.input}
    ordered: list[Step] = []
    while left:
        ready = [step for step in left if made.issuperset(step.inputs.values())]
        if not ready:
            missing = sorted({name for step in left for name in step.inputs.values()} - made)
            raise ValueError(f"no step of the ensemble makes {', '.join(missing)}")
        for step in ready:
            if int(step.version) < 1:
                raise ValueError(f"the step that asks {step.model!r} names no version")
            if not made.isdisjoint(step.outputs.values()):
                raise ValueError(f"the step that asks {step.model!r} makes a tensor that is there already")
            made.update(step.outputs.values())
        ordered += ready
        left = [step for step in left if step not in ready]
    lacking = sorted({tensor.name for tensor in config.output} - made) if ordered else []
    if lacking:
        raise ValueError(f"no step of the ensemble makes {', '.join(lacking)}")
    return tuple(ordered)
