"""The service over REST: clips, pairs of pictures, models."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias
from urllib.parse import quote

import httpx

from client import documents, statuses
from client.credentials import Credential, RestCredential, Secret, host_of_url
from client.errors import CertificateError, ForeignAnswer, SourceError
from client.tls import Tls
from client.types import AnalyzeOptions, Classification, Detail, ModelInfo, OnProgress, Progress, Report

Media: TypeAlias = bytes | str | os.PathLike[str]
"""The bytes of a clip or picture, or the path of its file."""

# While an analysis runs, the service writes a sign of life every 10 s.
_TIMEOUT = httpx.Timeout(10.0, read=60.0, write=60.0)


class AsyncRestClient:
    """The service at `url`, as a context manager. One pool of connections serves all calls, also concurrent ones.

    An `https://` one is encrypted, as `tls` says; `CertificateError` is raised here for files that cannot be used, and
    where `tls` is given for an `http://` one. `api_key` or `token` says who asks; a function is called before every
    request. Neither is sent to another machine without encryption unless `allow_plaintext` says so: then
    `CredentialError` is raised here. `transport` replaces the network, as in tests. Every call raises `ServiceError`,
    `Unreachable` and `ForeignAnswer`; those that take files, `SourceError` where one cannot be read.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8080",
        *,
        tls: Tls | None = None,
        api_key: Secret | None = None,
        token: Secret | None = None,
        allow_plaintext: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if tls is not None and not url.startswith("https://"):
            raise CertificateError(f"{url} is not encrypted: begin it with https://")
        verify = True if tls is None else tls.context()
        self._url = url
        credential = Credential(api_key=api_key, token=token)
        host, encrypted = host_of_url(url)
        credential.check_way(host, encrypted=encrypted, allow_plaintext=allow_plaintext)
        auth = RestCredential(credential) if credential.given else None
        self._client = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT, transport=transport, auth=auth, verify=verify)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def analyze(
        self, clip: Media, options: AnalyzeOptions | None = None, *, on_progress: OnProgress | None = None
    ) -> Report:
        """The events of a clip."""
        async with self._reaching():
            async with self._client.stream(
                "POST",
                "/v1/analyze",
                files={"clip": ("clip", await content(clip), "application/octet-stream")},
                params=_parameters(options or AnalyzeOptions()),
                headers={"Accept": "text/event-stream"},
            ) as answer:
                await self._check(answer)
                async for name, data in _events(answer):
                    if name == "progress" and on_progress is not None:
                        on_progress(documents.read(Progress, self._json(data)))
                    elif name == "report":
                        return documents.read(Report, self._json(data))
                    elif name == "problem":
                        raise statuses.from_problem(answer.status_code, data, self._url)
            raise ForeignAnswer(f"{self._url} ended its answer early")

    async def classify(
        self,
        onset: Media,
        apex: Media,
        *,
        model: str | None = None,
        version: str | None = None,
        detail: Detail = "full",
    ) -> Classification:
        """The class of the movement between two pictures of one face."""
        files = {
            name: (name, await content(picture), "application/octet-stream")
            for name, picture in (("onset", onset), ("apex", apex))
        }
        chosen = {"model": model, "version": version, "detail": None if detail == "full" else detail}
        given = {name: value for name, value in chosen.items() if value is not None}
        async with self._reaching():
            answer = await self._client.post("/v1/classify", files=files, params=given)
            await self._check(answer)
        return documents.read(Classification, self._json(answer.content))

    async def models(self) -> tuple[ModelInfo, ...]:
        """Every model, servable or not."""
        document = await self._get("/v1/models")
        if not isinstance(document, dict) or not isinstance(document.get("models"), list):
            raise ForeignAnswer(f"{self._url} does not answer as this service does")
        return tuple(documents.read(ModelInfo, each) for each in document["models"])

    async def model(self, name: str) -> ModelInfo:
        """One model with its contract and card."""
        return documents.read(ModelInfo, await self._get(f"/v1/models/{quote(name, safe='')}"))

    async def _get(self, path: str) -> Any:
        async with self._reaching():
            answer = await self._client.get(path)
            await self._check(answer)
        return self._json(answer.content)

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise statuses.unreachable(error, self._url) from None

    async def _check(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            body = await answer.aread()
            raise statuses.from_problem(answer.status_code, body, self._url, answer.headers.get("Retry-After"))

    def _json(self, body: bytes | str) -> Any:
        try:
            return json.loads(body)
        except ValueError:
            raise ForeignAnswer(f"{self._url} does not answer as this service does") from None


async def content(media: Media) -> bytes:
    """The bytes. Raises `SourceError`."""
    if isinstance(media, bytes):
        return media
    try:
        return await asyncio.to_thread(Path(media).read_bytes)
    except OSError as error:
        raise SourceError(f"{os.fspath(media)}: {error.strerror}") from None


def _parameters(options: AnalyzeOptions) -> dict[str, str]:
    given = {
        "model": options.model,
        "version": options.version,
        "faces": options.faces,
        "detail": None if options.detail == "full" else options.detail,
        "kinds": ",".join(sorted(options.kinds)) or None,
        "onset_s": options.onset_s,
        "apex_s": options.apex_s,
        "include": ",".join(sorted(options.include)) or None,
        "explain": "true" if options.explain else None,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[str, str]]:
    name = ""
    async for line in answer.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, value
