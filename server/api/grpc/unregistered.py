"""Calls of methods that do not exist, answered without the library's main loop.

That loop decodes the path of such a call as UTF-8, and ends, with the whole server, at one that is not: a single frame
of HTTP/2 would do (grpcio 1.85, `AioServer._server_main_loop`). Every method that does exist is registered and comes by
its registration, so that the loop never needs to be handed a path that a client chose.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import grpc
from grpc._cython import cygrpc
from grpc.aio._server import Server as LibraryServer
from grpc.aio._server import _augment_channel_arguments

from server.api.grpc.abandoned import WatchedLoop


class _Core(cygrpc.AioServer):  # type: ignore[misc]
    """The library's, but for calls that come by no registration."""

    def __init__(self, loop: asyncio.AbstractEventLoop, interceptors: tuple[Any, ...], *arguments: Any) -> None:
        super().__init__(loop, None, (), interceptors, *arguments)
        self._before = interceptors
        self._unregistered: set[asyncio.Task[Any]] = set()
        self._on = loop

    def _make_request_call_future(self, method: bytes | None) -> asyncio.Task[Any]:
        """The next call of a registered method; of others none ever comes out, since they are answered here."""
        return self._on.create_task(self._answer_all() if method is None else self._request_registered_call(method))

    async def _answer_all(self) -> None:
        """Raises what the library raises when the server stops."""
        nothing = cygrpc._MethodResolver([], {})  # noqa: SLF001 - the library has no other way in
        while True:
            state = await self._request_call()
            call = ("unregistered", nothing, self._before, state, self._on, False)
            answer = cygrpc._handle_rpc(*call)  # noqa: SLF001 - see above
            self._begin(cygrpc._schedule_rpc_coro(answer, state, self._on, call[0]))  # noqa: SLF001 - see above
            del state, call, answer

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._on.create_task(work)
        self._unregistered.add(task)
        task.add_done_callback(self._unregistered.discard)


class Server(LibraryServer):  # type: ignore[misc]
    """`grpc.aio.Server` that no path of a call can end."""

    def __init__(
        self, interceptors: tuple[Any, ...], options: tuple[tuple[str, int], ...], maximum_concurrent_rpcs: int
    ) -> None:
        self._loop = cygrpc.get_working_loop()
        self._server = _Core(
            cast("asyncio.AbstractEventLoop", WatchedLoop(self._loop)),
            interceptors,
            _augment_channel_arguments(options, None),
            maximum_concurrent_rpcs,
        )


def server(
    interceptors: tuple[grpc.aio.ServerInterceptor, ...],
    options: tuple[tuple[str, int], ...],
    maximum_concurrent_rpcs: int,
) -> grpc.aio.Server:
    """A server as `grpc.aio.server` makes it."""
    return Server(interceptors, options, maximum_concurrent_rpcs)
