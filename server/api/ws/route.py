"""`WS /v1/live`: who may open a stream, and in which language."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from server.access.caller import CALLER
from server.access.credentials import SOCKET_PREFIX
from server.access.scopes import SOCKET
from server.api.ending import Ending
from server.api.gateway import Gateway
from server.api.hosts import REFUSAL, Hosts
from server.api.rest.access import offered as credentials_of
from server.api.rest.problems import ProtocolError
from server.api.ws import streams
from server.api.ws.calls import PATH, SUBPROTOCOL, Call, answered
from server.api.ws.origins import admitted
from server.errors import GlimpseError, OptionError


class LiveSockets:
    """Every live stream over WebSocket. Made and used on one event loop."""

    def __init__(self, gateway: Gateway, *, allowed_origins: Sequence[str], hosts: Hosts) -> None:
        self._gateway = gateway
        self._hosts = hosts
        self._allowed = tuple(allowed_origins)
        self._ending = asyncio.Event()

    def end_streams(self) -> None:
        """Let streams answer what they have, and end; no more are opened."""
        self._ending.set()

    async def serve(self, socket: WebSocket) -> None:
        """One connection, from its handshake to its close."""
        gateway = self._gateway
        async with answered(socket, gateway.telemetry, gateway.facts.socket_message_bytes) as call:
            headers = socket.headers
            if not self._hosts.admits(headers.get("host")):
                raise ProtocolError(421, REFUSAL)
            if not admitted(headers.get("origin"), headers.get("host", ""), self._allowed):
                detail = "this page is of another address; GLIMPSE_SERVER__ALLOWED_ORIGINS may name its own"
                raise ProtocolError(403, detail)
            offered = [each for each in socket.scope["subprotocols"] if not each.startswith(SOCKET_PREFIX)]
            spoken = SUBPROTOCOL if SUBPROTOCOL in offered else None
            await self._let_in(call, spoken)
            await call.accept(spoken)
            if socket.scope["subprotocols"] and spoken is None:
                message = f"the subprotocol of this service is {SUBPROTOCOL}"
                raise OptionError(message, option="subprotocol", stage="options")
            with gateway.guard.lease(CALLER.get()) as lease:
                query = socket.query_params.multi_items()
                await streams.live(call, gateway, query, Ending(self._ending, lease))

    async def _let_in(self, call: Call, spoken: str | None) -> None:
        """Say who asks. A page cannot read a refused handshake, so it is told over the connection."""
        try:
            await self._gateway.guard.admit(credentials_of(call.socket.scope), SOCKET, CALLER.get().address)
        except GlimpseError:
            if call.socket.headers.get("origin") is not None:
                await call.accept(spoken)
            raise


def route() -> WebSocketRoute:
    """The route, for an application whose lifespan yields `{"sockets": LiveSockets}` as state."""

    async def live(socket: WebSocket) -> None:
        sockets: LiveSockets = socket.scope["state"]["sockets"]
        await sockets.serve(socket)

    return WebSocketRoute(PATH, live)
