"""What every group of settings shares, and how its variables are called."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_settings import NoDecode

PREFIX = "GLIMPSE_"
DELIMITER = "__"
MIB = 2**20
ABSOLUTE_PATH = r"^(/.+)?$"


class Group(BaseModel):
    """A branch of the tree. A field with `repr=False` may hold a secret: its value is not repeated in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def variable(group: str, name: str) -> str:
    """The environment variable of one setting."""
    return f"{PREFIX}{group}{DELIMITER}{name}".upper()


def split(value: Any) -> Any:
    """The parts of a comma separated text; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)]
