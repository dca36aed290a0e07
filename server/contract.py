"""The contract that a model carries: what it wants, what it answers, where it came from.

`export` writes it as JSON into `config.pbtxt` under `parameters["contract"]`; the gateway reads it there, or from
Triton's ModelConfig call, and needs to know nothing else about the model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FORMAT: Literal["glimpse.model/1"] = "glimpse.model/1"
PARAMETER = "contract"
PROBABILITIES = "probabilities"

FlowMethod = Literal["accurate", "fast", "tvl1"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TensorSpec(_Frozen):
    """One tensor without its batch axis: `dims` are the remaining axes, all fixed."""

    name: str
    dtype: Literal["float32"] = "float32"
    dims: tuple[int, ...]
    meaning: str = Field(default="", description="Axes, units and value range in words.")


class Provenance(_Frozen):
    """Where the weights come from, so that an answer can be traced to a command."""

    network: str = Field(description="Registered name of the architecture.")
    source: str = Field(description="'trained', or 'imported' for somebody else's checkpoint.")
    command: str = Field(description="The command that made this version.")
    training_data: str = Field(description="What it was trained on, in words.")
    data_sha256: str = Field(default="", description="Hash of the training data, where there is one.")
    weights_sha256: str = Field(default="", description="Hash of the checkpoint that was exported.")


class ModelContract(_Frozen):
    """Everything that a gateway needs to feed a model and to read its answer."""

    format: Literal["glimpse.model/1"] = FORMAT
    name: Name
    recipe: str = Field(description="Registered recipe that makes the inputs.")
    flow: FlowMethod = Field(default="accurate", description="Flow estimator of the onset-apex pair.")
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=2)
    action_units: tuple[int, ...] = ()
    abstain_below: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Confidence below which the answer is withheld."
    )
    provenance: Provenance

    @model_validator(mode="after")
    def _probabilities_match_labels(self) -> ModelContract:
        output = {spec.name: spec for spec in self.outputs}.get(PROBABILITIES)
        if output is None or output.dims != (len(self.labels),):
            raise ValueError(f"outputs must hold {PROBABILITIES!r} with dims [{len(self.labels)}], one per label")
        return self
