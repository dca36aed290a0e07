"""The listener of operators, beside that of everybody else: another port, which is this machine's alone by default."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn

from server.access.reloading import Reloader
from server.api.gateway import Gateway
from server.api.hosts import Hosts
from server.api.rest import connection
from server.api.rest.admin import ModelControl, admin_app
from server.bounds import connection_bounds_of
from server.listener import bound, url_of
from server.settings import Settings
from server.settings.group import variable
from server.telemetry.metrics import Metrics

_log = logging.getLogger(__name__)


class _Beside(uvicorn.Server):
    """One that leaves signals to the server of everybody."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing."""
        yield


def _control(settings: Settings) -> ModelControl | None:
    backend = settings.backend
    if backend.kind != "triton":
        return None
    from server.predict.triton_control import TritonControl
    from server.predict.triton_tls import credentials

    return TritonControl(
        backend.triton_address,
        credentials=credentials(backend.triton_ca, backend.triton_certificate, backend.triton_key),
    )


@asynccontextmanager
async def open_admin(settings: Settings, gateway: Gateway, reloader: Reloader, metrics: Metrics) -> AsyncIterator[str]:
    """The calls of operators, while the block runs; the address, empty where they are off.

    Raises `ConfigurationError` where the port is taken.
    """
    wanted = settings.admin
    if wanted.port is None:
        yield ""
        return
    with bound(wanted.host, wanted.port, variable("admin", "port")) as listener:
        config = uvicorn.Config(
            admin_app(
                gateway, reloader, metrics, Hosts(wanted.host, settings.server.allowed_hosts), _control(settings)
            ),
            http=connection.protocol(connection_bounds_of(settings)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=1,
        )
        server = _Beside(config)
        serving = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
        url = url_of(listener)
        _log.info("calls of operators are served", extra={"url": url})
        try:
            yield url
        finally:
            server.should_exit = True
            await asyncio.wait({serving})
