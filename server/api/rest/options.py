"""Options of requests, as query parameters or form fields, strictly typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.api.rest.problems import option_error
from server.errors import OptionError
from server.pipeline.base import MODEL_NAME, MODEL_VERSION, check_options
from server.types import AnalyzeOptions, Detail, EventKind, FaceChoice
from server.visuals import Extra

_KINDS: tuple[EventKind, ...] = ("micro", "macro")
_EXTRAS: tuple[Extra, ...] = ("signals", "pictures")

Moment = Annotated[float, Field(ge=0, le=86400)]


class ModelParameters(BaseModel):
    """Options of every inference."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: str | None = Field(default=None, pattern=MODEL_NAME, description="Name of the model; see /v1/models.")
    version: str | None = Field(default=None, pattern=MODEL_VERSION, description="Version; by default the latest.")
    deadline_s: float | None = Field(
        default=None, gt=0, le=3600, description="Seconds to the answer; the service's own limit holds if lower."
    )
    detail: Detail = Field(default="full", description="With minimal, nothing that measures a face is told.")


class AnalyzeParameters(ModelParameters):
    """Options of `POST /v1/analyze`."""

    faces: FaceChoice = Field(default="largest", description="Whose expressions.")
    onset_s: Moment | None = Field(
        default=None, description="Fixes the onset of one event; without apex_s, its apex is found."
    )
    apex_s: Moment | None = Field(
        default=None, description="Fixes the apex of one event; without onset_s, its onset is found."
    )
    kinds: str = Field(
        default="micro,macro", pattern=r"^(micro|macro)(,(micro|macro))?$", description="Events to report."
    )
    include: str = Field(
        default="",
        pattern=r"^((signals|pictures)(,(signals|pictures))?)?$",
        description="What to tell besides events: signals (the motion of each face), pictures (of each event).",
    )
    explain: bool = Field(
        default=False, description="Ask for an explanation; answered with a warning until models give one."
    )

    def options(self) -> AnalyzeOptions:
        """The same without the protocol. Raises `OptionError` for a combination that cannot be answered."""
        options = AnalyzeOptions(
            model=self.model,
            version=self.version,
            faces=self.faces,
            onset_s=self.onset_s,
            apex_s=self.apex_s,
            kinds=frozenset(kind for kind in _KINDS if kind in self.kinds.split(",")),
            detail=self.detail,
            include=frozenset(extra for extra in _EXTRAS if extra in self.include.split(",")),
            explain=self.explain,
        )
        check_options(options)
        return options


P = TypeVar("P", bound=ModelParameters)


def merged(kind: type[P], request: Request, fields: Mapping[str, str]) -> P:
    """The options of the query and of the form together. Raises `OptionError`, also for an option given twice."""
    given: dict[str, str] = {}
    for name, value in (*request.query_params.multi_items(), *fields.items()):
        if name in given:
            raise option_error([(name, "given twice")])
        given[name] = value
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise refusal(error) from None


def refusal(error: ValidationError) -> OptionError:
    """What the options' types refused, in our terms; the refused values are not echoed."""
    return option_error([(str(item["loc"][-1]), str(item["msg"])) for item in error.errors()])
