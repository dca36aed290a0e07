"""The same clients for callers without an event loop: thin covers over the asynchronous ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self

import grpc
import httpx

from client.credentials import Secret
from client.live_types import Frame, StreamOpened, StreamOptions, StreamReply
from client.portal import Portal
from client.rest import AsyncRestClient, Media
from client.retry import Retry
from client.rpc import AsyncClient
from client.stream import AsyncStream
from client.tally import Tally
from client.tls import Tls, grpc_target
from client.types import AnalyzeOptions, Classification, Detail, ModelInfo, OnProgress, Report, ServerInfo


class _Blocking(ABC):
    """A context manager over a portal. `close` may be called more than once."""

    def __init__(self) -> None:
        self._portal = Portal()
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; calls under way are cancelled."""
        if self._open:
            self._open = False
            self._portal.call(self._leave())
            self._portal.close()

    @abstractmethod
    async def _leave(self) -> None:
        """Close what is asynchronous."""


class RestClient(_Blocking):
    """`AsyncRestClient`, blocking. Progress is told on another thread."""

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
        # Before the portal, which would have to be closed where this raises.
        self._client = AsyncRestClient(
            url, tls=tls, api_key=api_key, token=token, allow_plaintext=allow_plaintext, transport=transport
        )
        super().__init__()

    def analyze(
        self, clip: Media, options: AnalyzeOptions | None = None, *, on_progress: OnProgress | None = None
    ) -> Report:
        """The events of a clip."""
        return self._portal.call(self._client.analyze(clip, options, on_progress=on_progress))

    def annotate(self, clip: Media, options: AnalyzeOptions | None = None, *, slow: float = 1.0) -> bytes:
        """The clip as MP4 with faces, events and motion drawn into it; events play `slow` times slower."""
        return self._portal.call(self._client.annotate(clip, options, slow=slow))

    def classify(
        self,
        onset: Media,
        apex: Media,
        *,
        model: str | None = None,
        version: str | None = None,
        detail: Detail = "full",
    ) -> Classification:
        """The class of the movement between two pictures of one face."""
        return self._portal.call(self._client.classify(onset, apex, model=model, version=version, detail=detail))

    def models(self) -> tuple[ModelInfo, ...]:
        """Every model, servable or not."""
        return self._portal.call(self._client.models())

    def model(self, name: str) -> ModelInfo:
        """One model with its contract and card."""
        return self._portal.call(self._client.model(name))

    async def _leave(self) -> None:
        await self._client.close()


class Client(_Blocking):
    """`AsyncClient`, blocking. Progress is told on another thread."""

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
        super().__init__()

        async def make() -> AsyncClient:
            return AsyncClient(
                target,
                credentials=credentials,
                api_key=api_key,
                token=token,
                allow_plaintext=allow_plaintext,
                timeout_s=timeout_s,
            )

        try:
            # The channel belongs to the loop in which it was made.
            self._client = self._portal.call(make())
        except BaseException:
            self._portal.close()
            raise

    def analyze(
        self, clip: Media, options: AnalyzeOptions | None = None, *, on_progress: OnProgress | None = None
    ) -> Report:
        """The events of a clip."""
        return self._portal.call(self._client.analyze(clip, options, on_progress=on_progress))

    def models(self) -> tuple[ModelInfo, ...]:
        """Every model, servable or not."""
        return self._portal.call(self._client.models())

    def server_info(self) -> ServerInfo:
        """The limits, and how much of those of live streams is taken."""
        return self._portal.call(self._client.server_info())

    def stream(self, options: StreamOptions | None = None, *, retry: Retry | None = None) -> Stream:
        """A live stream, which is opened when its block is entered."""

        async def make() -> AsyncStream:
            return self._client.stream(options, retry=retry)

        return Stream(self._portal, self._portal.call(make()))

    async def _leave(self) -> None:
        await self._client.close()


class Stream:
    """`AsyncStream`, blocking: one thread may send while another reads, or `follow` does both."""

    def __init__(self, portal: Portal, stream: AsyncStream) -> None:
        self._portal = portal
        self._stream = stream

    @property
    def opened(self) -> StreamOpened:
        """What the latest connection said when it was opened."""
        return self._stream.opened

    @property
    def tally(self) -> Tally:
        """What has become of the frames."""
        return self._stream.tally

    def __enter__(self) -> Self:
        self._portal.call(self._stream.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._portal.call(self._stream.__aexit__(kind, error, trace))

    def send(self, frame: Frame) -> int:
        """Hand in the next frame; its number, counted from 0."""
        return self._portal.call(self._stream.send(frame))

    def finish(self) -> None:
        """No more frames come: the replies end when all have been answered."""

        async def finish() -> None:
            self._stream.finish()

        self._portal.call(finish())

    def __iter__(self) -> Iterator[StreamReply]:
        return self._portal.each(self._stream)

    def follow(self, frames: Iterable[Frame]) -> Iterator[StreamReply]:
        """Send the frames, which are read in a thread, while the replies are read."""
        return self._portal.each(self._stream.follow(frames))
