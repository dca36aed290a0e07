"""The settings of commands that ask a running service: `glimpse analyze --url`, `models --url` and `live`."""

from __future__ import annotations

from pydantic import Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from server.settings.group import Group, variable


class ClientSettings(Group):
    """With which credential commands ask a running service."""

    api_key: SecretStr = Field(default=SecretStr(""), repr=False, description="Key of the service, never shown.")
    token: SecretStr = Field(default=SecretStr(""), repr=False, description="Token instead of a key, never shown.")
    allow_plaintext: bool = Field(
        default=False, description="Send the credential to another machine without encryption as well."
    )

    @model_validator(mode="after")
    def _one(self) -> ClientSettings:
        if self.api_key.get_secret_value() and self.token.get_secret_value():
            message = f"{variable('client', 'token')}: give a key or a token, not both"
            raise PydanticCustomError("client", "{message}", {"message": message})
        return self
