"""What every group of settings shares, and how its variables are called."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

PREFIX = "GLIMPSE_"
DELIMITER = "__"
MIB = 2**20


class Group(BaseModel):
    """A branch of the tree. A field with `repr=False` may hold a secret: its value is not repeated in errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


def variable(group: str, name: str) -> str:
    """The environment variable of one setting."""
    return f"{PREFIX}{group}{DELIMITER}{name}".upper()
