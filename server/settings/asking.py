"""The settings of commands that ask a running service: `glimpse analyze --url`, `models --url` and `live`."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from server.settings.group import Group, variable

_LONGEST = 8192


class ClientSettings(Group):
    """With which credential commands ask a running service."""

    api_key: SecretStr = Field(default=SecretStr(""), repr=False, description="Key of the service, never shown.")
    token: SecretStr = Field(default=SecretStr(""), repr=False, description="Token instead of a key, never shown.")
    allow_plaintext: bool = Field(
        default=False, description="Send the credential to another machine without encryption as well."
    )

    @field_validator("api_key", "token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if len(text) > _LONGEST or not all("\x21" <= character <= "\x7e" for character in text):
            message = f"must be at most {_LONGEST} letters, digits and signs, without blanks"
            raise PydanticCustomError("client", "{message}", {"message": message})
        return value

    @model_validator(mode="after")
    def _one(self) -> ClientSettings:
        if self.api_key.get_secret_value() and self.token.get_secret_value():
            message = f"{variable('client', 'token')}: give a key or a token, not both"
            raise PydanticCustomError("client", "{message}", {"message": message})
        return self
