"""Whether a request would be answered now, asked in bounded time."""

from __future__ import annotations

import asyncio
import logging

from server.pipeline.base import Analyzer, Readiness

_READINESS_S = 5.0

_log = logging.getLogger(__name__)


async def readiness_of(analyzer: Analyzer) -> Readiness:
    """`Analyzer.readiness`; a check that fails or does not end means not ready."""
    try:
        async with asyncio.timeout(_READINESS_S):
            return await analyzer.readiness()
    except TimeoutError:
        return Readiness(ready=False, reasons=(f"the readiness check took longer than {_READINESS_S:g} s",))
    except Exception as error:  # noqa: BLE001 - a check that fails means not ready, whatever failed
        _log.warning("readiness check failed", exc_info=error)
        return Readiness(ready=False, reasons=("the readiness check failed",))
