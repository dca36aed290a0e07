"""Signals and pictures, as the client has them by either protocol."""

import base64

import numpy as np

from client import AnalyzeOptions, AsyncClient, AsyncRestClient
from tests.shown import PICTURES, SIGNALS

ASKED = AnalyzeOptions(include=frozenset({"signals", "pictures"}))


async def test_both_protocols_bring_the_same(gateway):
    """Pixels are bytes, what is not known is None; nothing is rounded or lost."""
    async with AsyncRestClient(gateway.url) as rest, AsyncClient(gateway.grpc) as grpc:
        one, other = await rest.analyze(b"clip", ASKED), await grpc.analyze(b"clip", ASKED)
    assert (one.events[0].pictures, one.signals) == (other.events[0].pictures, other.signals)
    (signals,), pictures = one.signals, one.events[0].pictures
    assert signals.motion_iod == SIGNALS.motion_iod
    assert signals.transforms == SIGNALS.transforms
    found = [(each.outcome, each.reason, each.kind) for each in signals.candidates]
    assert found == [(each.outcome, each.reason, each.kind) for each in SIGNALS.candidates]
    assert (pictures.landmarks, pictures.course_s) == (PICTURES.landmarks, PICTURES.course_s)
    assert pictures.apex.gray == base64.b64decode(PICTURES.apex.gray)
    strain = np.frombuffer(pictures.strain.values, "<i2").reshape(128, 128) * pictures.strain.scale
    assert (strain.min(), strain.max()) == (-1024.0, 1023.875)


async def test_who_does_not_ask_gets_none(gateway):
    """By neither protocol."""
    async with AsyncRestClient(gateway.url) as rest, AsyncClient(gateway.grpc) as grpc:
        for report in (await rest.analyze(b"clip"), await grpc.analyze(b"clip")):
            assert (report.events[0].pictures, report.signals) == (None, ())
