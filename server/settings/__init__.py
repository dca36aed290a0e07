"""Every setting of the service in one frozen tree, read from `GLIMPSE_` environment variables.

A variable is the prefix, the group and the field joined by two underscores: `GLIMPSE_LIMITS__CLIP_SECONDS=120`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict, SettingsError

from server.errors import ConfigurationError
from server.settings.access import AccessSettings
from server.settings.admin import AdminSettings
from server.settings.analysis import AnalysisSettings
from server.settings.asking import ClientSettings
from server.settings.backend import BackendSettings
from server.settings.group import DELIMITER, PREFIX, variable
from server.settings.limits import LimitSettings
from server.settings.listening import ServerSettings
from server.settings.live import LiveSettings
from server.settings.mllm import MLLM, MllmSettings
from server.settings.shadow import ShadowSettings
from server.settings.telemetry import TelemetrySettings
from server.settings.tls import TlsSettings
from server.settings.workers import WorkerSettings

# Kubernetes tells every pod where the services of its namespace are, in variables of these forms.
_SERVICE_LINK = re.compile(
    r"GLIMPSE_(.+_)?(SERVICE_HOST=|SERVICE_PORT(_.+)?=|PORT_\d+_(TCP|UDP|SCTP)(_.+)?=|PORT=(tcp|udp|sctp)://)"
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

    server: ServerSettings = Field(default_factory=ServerSettings)
    access: AccessSettings = AccessSettings()
    admin: AdminSettings = AdminSettings()
    limits: LimitSettings = Field(default_factory=LimitSettings)
    workers: WorkerSettings = Field(default_factory=WorkerSettings)
    backend: BackendSettings = Field(default_factory=BackendSettings)
    analysis: AnalysisSettings = AnalysisSettings()
    shadow: ShadowSettings = ShadowSettings()
    live: LiveSettings = LiveSettings()
    tls: TlsSettings = TlsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    mllm: MllmSettings = MllmSettings()
    client: ClientSettings = ClientSettings()

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
            tail = DELIMITER + name.upper().removeprefix(PREFIX)
            same = [each for each in known if each.endswith(tail)]
            nearest = same or difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.0)
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
