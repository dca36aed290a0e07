"""A running service, as the command line sees it: the same answers over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, Self

import httpx
from pydantic import TypeAdapter, ValidationError

from server.api.rest.answers import EVENT_STREAM, REPORT
from server.errors import BackendFailed, BackendUnavailable, GlimpseError
from server.pipeline.base import OnProgress
from server.types import ModelInfo, Progress, Report

_MODELS: TypeAdapter[list[ModelInfo]] = TypeAdapter(list[ModelInfo])
# A report may take as long as the service allows; its keep-alive comments come every 10 s.
_TIMEOUT = httpx.Timeout(10.0, read=60.0, write=60.0)


class RemoteProblem(GlimpseError):
    """The service answered with a problem document."""


class RemoteService:
    """The service at `url`, as a context manager."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT)
        self._url = url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def analyze(self, clip: bytes, options: dict[str, str], on_progress: OnProgress) -> Report:
        """Send a clip and follow its progress.

        Raises `RemoteProblem`, `BackendUnavailable` (nobody answers), `BackendFailed` (not our service).
        """
        try:
            async with self._client.stream(
                "POST",
                "/v1/analyze",
                files={"clip": ("clip", clip, "application/octet-stream")},
                params=options,
                headers={"Accept": EVENT_STREAM},
            ) as answer:
                await self._check(answer)
                return await self._report(answer, on_progress)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    async def models(self) -> list[ModelInfo]:
        """What the service can be asked for. Raises as `analyze`."""
        try:
            answer = await self._client.get("/v1/models")
            await self._check(answer)
            return _MODELS.validate_python(answer.json()["models"])
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except (ValidationError, ValueError, KeyError, TypeError):
            raise self._foreign() from None

    async def _report(self, answer: httpx.Response, on_progress: OnProgress) -> Report:
        async for name, data in _events(answer):
            if name == "progress":
                on_progress(Progress(**json.loads(data)))
            elif name == "report":
                return REPORT.validate_json(data)
            elif name == "problem":
                raise _problem(json.loads(data))
        raise BackendFailed(f"{self._url} ended its answer early")

    async def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        await answer.aread()
        try:
            raise _problem(answer.json())
        except (ValueError, KeyError, TypeError):
            raise self._foreign() from None

    def _unreachable(self, error: httpx.HTTPError) -> BackendUnavailable:
        return BackendUnavailable(f"{self._url} does not answer: {str(error) or type(error).__name__}")

    def _foreign(self) -> BackendFailed:
        return BackendFailed(f"{self._url} does not answer as this service does")


def _problem(document: dict[str, Any]) -> RemoteProblem:
    return RemoteProblem(f"{document['detail']} ({document['code']}, request {document['request_id']})")


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    name = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value
