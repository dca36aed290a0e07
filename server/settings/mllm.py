"""Settings of the model `mllm`: a multimodal language model behind somebody else's endpoint, off unless configured."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from server.settings.address import is_loopback, web_address
from server.settings.group import Group, variable

MLLM = "mllm"
"""Name of the group and of the model."""

_KEY_BYTES = 4096


class MllmSettings(Group):
    """Which endpoint is asked, how often, and for what money. Pictures of faces leave this machine where it is on."""

    base_url: str = Field(
        default="",
        max_length=2048,
        repr=False,
        description="Root of an OpenAI-compatible endpoint, such as https://host/v1; empty switches the model off.",
    )
    send_faces: bool = Field(
        default=False, description="Consent that pictures of faces leave this machine; without it the model stays off."
    )
    allow_http: bool = Field(
        default=False, description="Allow an endpoint on another machine that is reached without encryption."
    )
    api_key: SecretStr = Field(default=SecretStr(""), repr=False, description="Key of the endpoint, never shown.")
    api_key_file: str = Field(
        default="", pattern=r"^(/.+)?$", description="Absolute path of a file that holds the key, instead of api_key."
    )
    model: str = Field(
        default="",
        pattern=r"^[\x21-\x7e]{0,200}$",
        description="Name of the model at the endpoint; there is no default.",
    )
    deadline_seconds: float = Field(
        default=60.0, gt=0, le=600, description="Longest time that the endpoint gets for all movements of one clip."
    )
    concurrency: int = Field(
        default=2, ge=1, le=64, description="Requests at a time, and clips at a time; a further clip is answered 429."
    )
    events_per_clip: int = Field(
        default=8,
        ge=1,
        le=256,
        description="Most movements of one clip that are asked about; one more is answered 413.",
    )
    requests_per_hour: int = Field(
        default=60,
        ge=1,
        le=1_000_000,
        description="Requests to the endpoint within an hour, those tried again included.",
    )
    tokens_per_day: int = Field(
        default=500_000,
        ge=20_000,
        le=10**12,
        description="Tokens in and out within 24 hours, as the endpoint counts them.",
    )
    day_usd: float = Field(
        default=0.0, ge=0, le=1e6, description="Money within 24 hours by the two prices; 0 sets no limit of money."
    )
    input_million_tokens_usd: float = Field(default=0.0, ge=0, le=1e6, description="Price of a million tokens sent.")
    output_million_tokens_usd: float = Field(
        default=0.0, ge=0, le=1e6, description="Price of a million tokens received."
    )
    image_px: int = Field(
        default=384, ge=384, le=512, description="Side of the pictures that are sent, enlarged from crops of 256 px."
    )
    flow_picture: bool = Field(default=False, description="Also send the motion from onset to apex as a picture.")
    repeats: int = Field(
        default=1, ge=1, le=9, description="Times that each movement is asked about, with the labels in another order."
    )
    confidence_cap: float = Field(
        default=0.3693,
        ge=0.34,
        le=1,
        description="Highest probability of an answer; the default is the best accuracy measured of such a model.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value:
            return value
        parts = web_address(value)
        if parts is None:
            raise _wrong("must be a URL that begins with https:// (or http://)")
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            raise _wrong(
                f"must hold neither user, password, query nor fragment; the key is {variable(MLLM, 'api_key')}"
            )
        return value.rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if len(key) > _KEY_BYTES or not all("\x21" <= character <= "\x7e" for character in key):
            raise _wrong(f"must be at most {_KEY_BYTES} letters, digits and signs, without blanks")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> MllmSettings:
        if self.api_key.get_secret_value() and self.api_key_file:
            raise _wrong(f"{variable(MLLM, 'api_key_file')}: give the key or the file that holds it, not both")
        if self.base_url.startswith("http:") and not self.allow_http and not is_loopback(self.base_url):
            raise _wrong(
                f"{variable(MLLM, 'base_url')}: pictures of faces would travel unencrypted; use https, "
                f"or set {variable(MLLM, 'allow_http')}=true"
            )
        if self.day_usd and not (self.input_million_tokens_usd or self.output_million_tokens_usd):
            raise _wrong(f"{variable(MLLM, 'day_usd')}: money cannot be counted without the prices of tokens")
        if self.events_per_clip * self.repeats > self.requests_per_hour:
            most = f"{self.events_per_clip * self.repeats} requests (events_per_clip x repeats)"
            raise _wrong(f"{variable(MLLM, 'requests_per_hour')}: one clip may need {most}")
        return self


def _wrong(message: str) -> PydanticCustomError:
    return PydanticCustomError("mllm", "{message}", {"message": message})
