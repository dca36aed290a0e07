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
ATTENTION = "attention"
"""Output float32 [N, H, W], 0..1: how much each place of the recipe's square counted, where a network tells it."""

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


class Precision(_Frozen):
    """Arithmetic inside the graph other than single precision; its inputs and outputs stay float32."""

    arithmetic: Literal["fp16"]
    tolerance: float = Field(
        gt=0.0,
        le=1.0,
        description="Difference from single precision up to which answers count as equal.",
    )


class Accelerator(_Frozen):
    """What Triton's ONNX Runtime backend shall compute with on a GPU; without a GPU it has no effect."""

    name: Literal["tensorrt"]
    workspace_mib: int = Field(ge=1, description="GPU memory that TensorRT may use temporarily, in MiB.")
    engine_cache: str = Field(
        default="", description="Folder on Triton's machine that keeps built engines; empty for none."
    )


class Engine(_Frozen):
    """A TensorRT plan: it runs on the GPU and with the TensorRT that it was built for, and on no other."""

    tensorrt: str = Field(pattern=r"^\d+(\.\d+){1,3}$", description="Version of the TensorRT that built it.")
    compute_capability: str = Field(
        pattern=r"^\d{1,2}\.\d$", description="Compute capability of the GPU that it was built on."
    )
    workspace_mib: int = Field(ge=1, description="GPU memory that TensorRT might use temporarily, in MiB.")


class Member(_Frozen):
    """One model of an ensemble, and how much its answer counts beside those of the others."""

    name: Name
    version: str = Field(pattern=r"^[1-9][0-9]*$")
    weight: float = Field(gt=0.0, allow_inf_nan=False)


def _nothing(value: object) -> bool:
    return not value


class ModelContract(_Frozen):
    """Everything that a gateway needs to feed a model and to read its answer."""

    format: Literal["glimpse.model/1"] = FORMAT
    name: Name
    recipe: str = Field(description="Registered recipe that makes the inputs, or several of them joined by `+`.")
    flow: FlowMethod = Field(default="accurate", description="Flow estimator of the onset-apex pair.")
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=2)
    action_units: tuple[int, ...] = ()
    abstain_below: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Confidence below which the answer is withheld."
    )
    precision: Precision | None = Field(default=None, description="None for single precision.")
    accelerator: Accelerator | None = None
    engine: Engine | None = Field(default=None, description="None where the version holds an ONNX graph.")
    members: tuple[Member, ...] = Field(
        default=(), exclude_if=_nothing, description="Of an ensemble: the models whose weighted mean the answer is."
    )
    part_of: str = Field(
        default="", exclude_if=_nothing, description="The ensemble that this graph belongs to, which alone asks it."
    )
    provenance: Provenance

    @property
    def model_file(self) -> str:
        """The file of a version that is served."""
        return "model.plan" if self.engine else "model.onnx"

    def to_json(self) -> str:
        """What stands in config.pbtxt. What a model does not have is not mentioned, so that gateways which do not know
        of it yet read the contract all the same.
        """
        return self.model_dump_json(exclude_none=True)

    @model_validator(mode="after")
    def _one_way_to_tensorrt(self) -> ModelContract:
        if self.engine and self.accelerator:
            raise ValueError("a plan is TensorRT's already: engine and accelerator exclude each other")
        return self

    @model_validator(mode="after")
    def _probabilities_match_labels(self) -> ModelContract:
        output = {spec.name: spec for spec in self.outputs}.get(PROBABILITIES)
        if output is None or output.dims != (len(self.labels),):
            raise ValueError(f"outputs must hold {PROBABILITIES!r} with dims [{len(self.labels)}], one per label")
        return self
