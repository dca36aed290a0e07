"""A running service, as the command line sees it: what the client is answered, in the service's own types."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any, Self

from pydantic import TypeAdapter

import client
from server.documents import REPORT
from server.errors import GlimpseError
from server.pipeline.base import OnProgress
from server.settings.asking import ClientSettings
from server.types import AnalyzeOptions, ModelInfo, Progress, Report

_MODELS: TypeAdapter[list[ModelInfo]] = TypeAdapter(list[ModelInfo])


class RemoteProblem(GlimpseError):
    """The service answered with a problem, or nobody did, or somebody else."""


class RemoteService:
    """The service at `url`, as a context manager, asked with the credential of the settings.

    Raises `RemoteProblem` where it would travel unencrypted, and for files of `tls` that cannot be used.
    """

    def __init__(self, url: str, asking: ClientSettings | None = None, tls: client.Tls | None = None) -> None:
        with _refused():
            self._client = client.AsyncRestClient(url, tls=tls, **credential_of(asking or ClientSettings()))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def analyze(self, clip: bytes, options: AnalyzeOptions, on_progress: OnProgress) -> Report:
        """Send a clip and follow its progress. Raises `RemoteProblem`."""

        def tell(done: client.Progress) -> None:
            on_progress(Progress(done.stage, done.done, done.total))

        async with _asking():
            report = await self._client.analyze(clip, client.AnalyzeOptions(**asdict(options)), on_progress=tell)
        return REPORT.validate_python(asdict(report, dict_factory=_document))

    async def models(self) -> list[ModelInfo]:
        """What the service can be asked for. Raises `RemoteProblem`."""
        async with _asking():
            models = await self._client.models()
        return _MODELS.validate_python([asdict(model) for model in models])


def _document(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    """Pixels as text, as reports have them."""
    return {
        name: base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value for name, value in fields
    }


def credential_of(asking: ClientSettings) -> dict[str, Any]:
    """What the client is told of who asks."""
    key, token = asking.api_key.get_secret_value(), asking.token.get_secret_value()
    return {"api_key": key or None, "token": token or None, "allow_plaintext": asking.allow_plaintext}


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    with _refused():
        yield


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except client.ServiceError as error:
        raise RemoteProblem(str(error)) from None
    except client.ClientError as error:
        raise RemoteProblem(error.message) from None
