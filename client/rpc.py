"""The service over gRPC: clips, live streams, models, limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import grpc
from glimpse.v1 import micro_expressions_pb2 as pb
from glimpse.v1 import micro_expressions_pb2_grpc as stubs

from client import connection, messages, statuses
from client.credentials import Credential, Secret, host_of_target
from client.errors import ForeignAnswer, SourceError
from client.live_types import StreamOptions
from client.rest import Media
from client.retry import Retry
from client.stream import AsyncStream, Connected
from client.tls import Tls, grpc_target
from client.types import AnalyzeOptions, ModelInfo, OnProgress, Report, ServerInfo

_PIECE_BYTES = 256 << 10
_OPTIONS = (
    # A connection that has died without a word is noticed within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", 64 << 20),
    # Pauses between attempts are those of `Retry`; gRPC's own go up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    # This one bounds how long an attempt to connect may take.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class AsyncClient:
    """The service at `target` (`host:port`), as a context manager. One channel serves all calls, also concurrent ones.

    `grpcs://host:port`, `tls` or `credentials` encrypt it; without them it is plain. `CertificateError` is raised here
    for files that cannot be used. `api_key` or `token` says who asks; a function is called before every call. Neither
    is sent to another machine without encryption unless `allow_plaintext` says so: then `CredentialError` is raised
    here. `timeout_s` bounds every call that should answer at once. Every call raises
    `ServiceError`, `Unreachable` and `ForeignAnswer`.
    """

    def __init__(
        self,
        target: str = "127.0.0.1:8081",
        *,
        tls: Tls | bool = False,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: Secret | None = None,
        token: Secret | None = None,
        allow_plaintext: bool = False,
        timeout_s: float = 20.0,
    ) -> None:
        target, encryption = grpc_target(target, tls)
        if credentials is None and encryption is not None:
            credentials = encryption.credentials()
        self._credential = Credential(api_key=api_key, token=token)
        encrypted = credentials is not None
        self._credential.check_way(host_of_target(target), encrypted=encrypted, allow_plaintext=allow_plaintext)
        self._target = target
        self._timeout_s = timeout_s
        self._channel = (
            grpc.aio.insecure_channel(target, options=_OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        )
        # The types of the generated stubs need those of gRPC itself, which has none.
        self._stub: Any = stubs.MicroExpressionsStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        await self._channel.close()

    async def analyze(
        self, clip: Media, options: AnalyzeOptions | None = None, *, on_progress: OnProgress | None = None
    ) -> Report:
        """The events of a clip, which is read piece by piece. Raises `SourceError` where it cannot be read."""
        with ExitStack() as files:
            pieces = _pieces(clip) if isinstance(clip, bytes) else _read(files.enter_context(_opened(clip)))
            return await self._analyze(_requests(options or AnalyzeOptions(), pieces), on_progress)

    async def _analyze(self, requests: AsyncIterator[pb.AnalyzeRequest], on_progress: OnProgress | None) -> Report:
        call = self._stub.Analyze(requests, metadata=await self._credential.metadata())
        try:
            async for response in call:
                if response.HasField("report"):
                    return messages.report(response.report)
                if response.HasField("progress") and on_progress is not None:
                    on_progress(messages.progress(response.progress))
        except grpc.aio.AioRpcError as error:
            raise statuses.from_grpc(error, self._target) from None
        finally:
            call.cancel()
        raise ForeignAnswer(f"{self._target} ended its answer early")

    async def models(self) -> tuple[ModelInfo, ...]:
        """Every model, servable or not."""
        metadata = await self._credential.metadata()
        try:
            answer = await self._stub.ListModels(pb.ListModelsRequest(), timeout=self._timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise statuses.from_grpc(error, self._target) from None
        return tuple(messages.model_info(model) for model in answer.models)

    async def server_info(self) -> ServerInfo:
        """The limits, and how much of those of live streams is taken."""
        metadata = await self._credential.metadata()
        return await connection.server_info(self._stub, self._target, timeout_s=self._timeout_s, metadata=metadata)

    def stream(self, options: StreamOptions | None = None, *, retry: Retry | None = None) -> AsyncStream:
        """A live stream, which is opened when its block is entered."""
        return AsyncStream(self._connect, options or StreamOptions(), retry or Retry())

    async def _connect(self, options: StreamOptions) -> tuple[Connected, ServerInfo]:
        # Asked each time: after a restart another version may answer.
        limits = await self.server_info()
        metadata = await self._credential.metadata()
        opened = await connection.connect(
            self._stub, options, self._target, timeout_s=self._timeout_s, metadata=metadata
        )
        return opened, limits


async def _requests(options: AnalyzeOptions, pieces: AsyncIterator[bytes]) -> AsyncIterator[pb.AnalyzeRequest]:
    yield pb.AnalyzeRequest(options=messages.analyze_options(options))
    async for piece in pieces:
        yield pb.AnalyzeRequest(data=piece)


async def _pieces(clip: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(clip), _PIECE_BYTES):
        yield clip[start : start + _PIECE_BYTES]


def _opened(path: str | os.PathLike[str]) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise SourceError(f"{os.fspath(path)}: {error.strerror}") from None


async def _read(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
        yield piece
