"""Every setting of the service in one frozen tree, read from `GLIMPSE_` environment variables.

A variable is the prefix, the group and the field joined by two underscores: `GLIMPSE_LIMITS__CLIP_SECONDS=120`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, NoDecode, SettingsConfigDict, SettingsError

from server.errors import ConfigurationError
from server.settings_group import DELIMITER, MIB, PREFIX, Group, variable
from server.settings_live import LiveSettings
from server.settings_mllm import MLLM, MllmSettings
from server.settings_shadow import ShadowSettings

# Kubernetes tells every pod where the services of its namespace are, in variables of these forms.
_SERVICE_LINK = re.compile(
    r"GLIMPSE_(.+_)?(SERVICE_HOST=|SERVICE_PORT(_.+)?=|PORT_\d+_(TCP|UDP|SCTP)(_.+)?=|PORT=(tcp|udp|sctp)://)"
)


def available_cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def default_repository() -> str:
    """`model_repository` in the working directory, or else beside the package."""
    name = "model_repository"
    beside = Path(__file__).resolve().parents[1] / name
    return str(beside) if beside.is_dir() and not Path(name).is_dir() else name


def _split(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Origin = Annotated[str, Field(pattern=r"^(\*|null|[a-z][a-z0-9+.\-]*://[^\s/?#@,]+)$")]
Origins = Annotated[tuple[Origin, ...], NoDecode, BeforeValidator(_split)]


class ServerSettings(Group):
    """Where the service listens and how long it waits."""

    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port of REST; 0 takes a free one.")
    grpc_port: int = Field(default=8081, ge=0, le=65535, description="Port of gRPC; 0 takes a free one.")
    grpc_message_bytes: int = Field(
        default=32 * MIB, ge=64 * 1024, le=512 * MIB, description="Largest message of gRPC, such as one live frame."
    )
    grpc_keepalive_seconds: float = Field(
        default=20.0,
        ge=0.1,
        le=3600,
        description="After so much silence a connection of gRPC is probed; half as long after that it is given up.",
    )
    grpc_reflection: bool = Field(default=True, description="Whether gRPC tells its interface to whoever asks.")
    socket_message_bytes: int = Field(
        default=16 * MIB,
        ge=64 * 1024,
        le=512 * MIB,
        description="Largest message of WebSocket, such as one frame.",
    )
    allowed_origins: Origins = Field(
        default=(),
        description="Web pages of other addresses that may open live streams, comma separated, such as"
        " https://lab.example; * for all.",
    )
    request_deadline_seconds: float = Field(
        default=180.0, gt=0, le=3600, description="Longest time from the arrival of a request to its answer."
    )
    drain_seconds: float = Field(
        default=30.0, ge=0, le=3600, description="Time that requests in flight get to finish at shutdown."
    )
    header_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="Longest wait for the whole header of a request.",
    )


class LimitSettings(Group):
    """What one request, and all requests together, may take."""

    upload_bytes: int = Field(default=256 * MIB, ge=1024, le=4096 * MIB, description="Largest body of a request.")
    clip_seconds: float = Field(default=300.0, gt=0, le=86400, description="Longest clip.")
    clip_frames: int = Field(default=60_000, ge=1, le=10_000_000, description="Most frames of a clip.")
    frame_pixels: int = Field(default=4096 * 2304, ge=4096, le=2**28, description="Largest picture, width x height.")
    faces: int = Field(default=16, ge=1, le=256, description="Most faces followed in one clip.")
    inflight: int = Field(default=16, ge=1, le=4096, description="Requests that are worked on at a time.")
    queued: int = Field(default=32, ge=0, le=65536, description="Requests that may wait; one more is answered 429.")
    buffered_bytes: int = Field(
        default=2048 * MIB, ge=1024, le=2**40, description="Most memory that all uploads together may hold."
    )
    upload_idle_seconds: float = Field(
        default=15.0, gt=0, le=600, description="Longest pause between two pieces of an upload."
    )
    upload_bytes_per_second: int = Field(
        default=1024,
        ge=1,
        le=2**40,
        description="Least rate of an upload; it may lag behind for the longest pause.",
    )
    uploads: int = Field(
        default=128, ge=1, le=65536, description="Uploads in progress at a time; one more is answered 429."
    )


class WorkerSettings(Group):
    """The processes in which clips are decoded and pixels are computed."""

    count: int = Field(
        default_factory=available_cpus, ge=1, le=256, description="Worker processes; by default one per processor."
    )
    memory_bytes: int = Field(
        default=2048 * MIB, ge=256 * MIB, le=2**40, description="Address space that one worker may use."
    )


class BackendSettings(Group):
    """Where models come from and who runs them."""

    kind: Literal["local", "triton"] = Field(default="local", description="ONNX Runtime in process, or Triton.")
    triton_address: str = Field(
        default="127.0.0.1:8001",
        pattern=r"^(dns:///)?[A-Za-z0-9._\-\[\]:]+:\d{1,5}$",
        description="gRPC address of Triton; dns:///name:port spreads over all its addresses.",
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
    default_model: str = Field(
        default="glimpse_flow", pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$", description="Model of requests that name none."
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


class AnalysisSettings(Group):
    """How clips are judged."""

    min_face_coverage: float = Field(
        default=0.6, ge=0, le=1, description="Share of the frames that must show a face; below it the clip is refused."
    )


class TelemetrySettings(Group):
    """What the service tells about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe record.")
    log_format: Literal["auto", "json", "text"] = Field(
        default="auto", description="One JSON object per line, or text; auto is text on a terminal, else JSON."
    )


class Settings(BaseSettings):
    """The whole tree."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=PREFIX,
        env_nested_delimiter=DELIMITER,
        nested_model_default_partial_update=True,
    )

    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    workers: WorkerSettings = Field(default_factory=WorkerSettings)
    backend: BackendSettings = Field(default_factory=BackendSettings)
    analysis: AnalysisSettings = AnalysisSettings()
    shadow: ShadowSettings = ShadowSettings()
    live: LiveSettings = LiveSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    mllm: MllmSettings = MllmSettings()

    @model_validator(mode="after")
    def _leaves_room_for_others(self) -> Settings:
        if self.mllm.base_url and self.mllm.concurrency >= self.limits.inflight:
            message = f"{variable(MLLM, 'concurrency')}: must be below {variable('limits', 'inflight')}, or it could "
            message += "keep every other model waiting"
            raise PydanticCustomError("concurrency", "{message}", {"message": message})
        return self


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One line of the manual."""

    name: str
    value: Any
    default: Any
    description: str


def load(environ: Mapping[str, str] | None = None, **overrides: Mapping[str, Any]) -> Settings:
    """Read the environment; `overrides` win, one mapping per group.

    Raises `ConfigurationError` with one readable message that names every wrong variable.
    """
    variables = dict(os.environ if environ is None else environ)
    problems = list(_unknown(variables))
    if problems:
        raise ConfigurationError("; ".join(problems))
    try:
        source = EnvSettingsSource(Settings, case_sensitive=False)
        source.env_vars = {name.lower(): value for name, value in variables.items()}
        return Settings.model_validate(_merged(source(), overrides))
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentence(item) for item in error.errors())) from None
    except SettingsError as error:
        raise ConfigurationError(str(error)) from None


def rows(settings: Settings) -> Iterator[SettingRow]:
    """Every setting with its variable, value, default and meaning, in the order of the tree; secrets are starred."""
    for group_name, group_field in Settings.model_fields.items():
        group = getattr(settings, group_name)
        defaults = group_field.get_default(call_default_factory=True)
        for name, info in type(group).model_fields.items():
            yield SettingRow(
                name=variable(group_name, name),
                value=_shown(getattr(group, name)),
                default=_shown(getattr(defaults, name)),
                description=info.description or "",
            )


def _shown(value: Any) -> Any:
    return str(value) if isinstance(value, SecretStr) else value


def _unknown(variables: Mapping[str, str]) -> Iterator[str]:
    known = [row.name for row in rows(Settings.model_construct())]
    for name in sorted(variables):
        if not name.upper().startswith(PREFIX) or _SERVICE_LINK.match(f"{name}={variables[name]}"):
            continue
        if name.upper() not in known:
            nearest = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
            yield f"{name}: no such setting; did you mean {nearest[0]}?"


def _merged(base: Mapping[str, Any], overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {group: {**base.get(group, {}), **overrides.get(group, {})} for group in {*base, *overrides}}


def _sentence(item: Any) -> str:
    group, *rest = tuple(str(part) for part in item["loc"]) or ("",)
    if not rest:
        # What is wrong with settings together names its variables; the input would be all of them, a key included.
        return str(item["msg"])
    branch = Settings.model_fields[group].annotation
    known = getattr(branch, "model_fields", {}).get(rest[0])
    given = f" (got {item['input']!r})" if known is None or known.repr else ""
    return f"{variable(group, rest[0])}: {item['msg']}{given}"
