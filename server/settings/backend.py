"""The settings of models and of what runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from server.settings.group import ABSOLUTE_PATH, Group, Names, split, variable
from server.settings.mllm import MLLM

_MODEL = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
ModelNames = Annotated[tuple[Annotated[str, Field(pattern=_MODEL)], ...], NoDecode, BeforeValidator(split)]


def default_repository() -> str:
    """`model_repository` in the working directory, or else beside the package."""
    name = "model_repository"
    beside = Path(__file__).resolve().parents[2] / name
    return str(beside) if beside.is_dir() and not Path(name).is_dir() else name


class BackendSettings(Group):
    """Where models come from and who runs them."""

    kind: Literal["local", "triton"] = Field(default="local", description="ONNX Runtime in process, or Triton.")
    triton_address: str = Field(
        default="127.0.0.1:8001",
        pattern=r"^(dns:///)?[A-Za-z0-9._\-\[\]:]+:\d{1,5}( *, *(dns:///)?[A-Za-z0-9._\-\[\]:]+:\d{1,5})*$",
        description="gRPC address of Triton, or several, comma separated; a name may stand for several servers.",
    )
    triton_ca: str = Field(
        default="",
        pattern=ABSOLUTE_PATH,
        description="Absolute path of the authorities, PEM, of Triton's certificate. Empty: no encryption.",
    )
    triton_certificate: str = Field(
        default="",
        pattern=ABSOLUTE_PATH,
        description="Absolute path of the certificate chain, PEM, that Triton is shown, where it asks for one.",
    )
    triton_key: str = Field(
        default="", pattern=ABSOLUTE_PATH, description="Absolute path of the private key of triton_certificate, PEM."
    )
    compute_capability: str = Field(
        default="",
        pattern=r"^(\d{1,2}\.\d)?$",
        description="That of Triton's GPU, such as 8.6: plans for another one are not servable. Empty: not compared.",
    )
    tensorrt_version: str = Field(
        default="",
        pattern=r"^(\d+(\.\d+){1,3})?$",
        description="That of Triton, such as 10.13.3: plans of another one are not servable. Empty: not compared.",
    )
    threads: int = Field(default=1, ge=1, le=256, description="Local inferences at a time, each on one core.")
    providers: Names = Field(
        default=("CPUExecutionProvider",), min_length=1, description="ONNX Runtime providers, comma separated."
    )
    default_model: str = Field(default="glimpse_flow", pattern=_MODEL, description="Model of requests that name none.")
    required_models: ModelNames = Field(
        default=(), description="Models besides the default without which the service is not ready, comma separated."
    )
    fallback: Literal["none", "local"] = Field(
        default="none",
        description="Who answers while Triton does not: nobody, or the same model of the local repository.",
    )
    fallback_after_seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description="Longest that Triton is waited for before the local model answers; at most half of the time left.",
    )
    fallback_concurrency: int = Field(
        default=8, ge=1, le=1024, description="Requests that the local models stand in for at a time."
    )
    repository: str = Field(
        default_factory=default_repository,
        min_length=1,
        description="Folder of the local models; by default model_repository here, or that of the checkout.",
    )

    @field_validator("default_model")
    @classmethod
    def _answers_here(cls, value: str) -> str:
        if value == MLLM:
            message = "sends pictures of faces away and is weak, so it must be asked for by name"
            raise PydanticCustomError("default_model", "{message}", {"message": message})
        return value

    @model_validator(mode="after")
    def _is_shown_encrypted(self) -> BackendSettings:
        ca, certificate, key = (variable("backend", f"triton_{name}") for name in ("ca", "certificate", "key"))
        message = ""
        if bool(self.triton_certificate) != bool(self.triton_key):
            message = f"{key if self.triton_certificate else certificate}: missing, and the two go together"
        elif self.triton_certificate and not self.triton_ca:
            message = f"{ca}: missing, and {certificate} is shown under encryption alone"
        if message:
            raise PydanticCustomError("triton_tls", "{message}", {"message": message})
        return self
