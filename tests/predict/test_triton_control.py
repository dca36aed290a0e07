"""Loading and unloading models of Triton."""

from typing import ClassVar

import pytest
from tritonclient.grpc import InferenceServerException

from server.errors import BackendFailed, BackendUnavailable, ModelError, UnknownModel
from server.predict import triton_control
from server.predict.triton_control import TritonControl


class Client:
    """Keeps what is asked, and fails with `error`."""

    asked: ClassVar[list] = []
    error = None

    def __init__(self, *_, **__):
        pass

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def load_model(self, name, client_timeout):
        self.asked.append(("load", name))
        if self.error:
            raise self.error

    async def unload_model(self, name, client_timeout):
        self.asked.append(("unload", name))


async def test_a_model_is_loaded_and_unloaded(monkeypatch):
    """By its name."""
    monkeypatch.setattr(triton_control, "InferenceServerClient", Client)
    monkeypatch.setattr(Client, "asked", [])
    control = TritonControl("127.0.0.1:8001")
    await control.load("ststnet")
    await control.unload("ststnet")
    assert Client.asked == [("load", "ststnet"), ("unload", "ststnet")]


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ("explicit model load / unload is not allowed if polling is enabled", "StatusCode.UNAVAILABLE", ModelError),
        ("failed to load 'x', failed to poll from model repository", "StatusCode.INTERNAL", UnknownModel),
        ("failed to load 'x', version 1: internal", "StatusCode.INTERNAL", BackendFailed),
        ("connection refused", "StatusCode.UNAVAILABLE", BackendUnavailable),
    ],
)
async def test_what_triton_says_has_a_meaning(monkeypatch, said, status, kind):
    """A Triton that loads by itself, a model that is not there, and the rest as of every call."""
    monkeypatch.setattr(triton_control, "InferenceServerClient", Client)
    monkeypatch.setattr(Client, "error", InferenceServerException(said, status=status))
    with pytest.raises(kind):
        await TritonControl("127.0.0.1:8001").load("x")


async def test_every_server_is_asked(monkeypatch):
    """One after the other; where one fails, the error says how far it came."""
    monkeypatch.setattr(triton_control, "InferenceServerClient", Client)
    monkeypatch.setattr(Client, "asked", [])
    control = TritonControl("127.0.0.1:8001,127.0.0.1:8002")
    await control.load("ststnet")
    assert Client.asked == [("load", "ststnet")] * 2

    async def once(self, name, client_timeout):
        self.asked.append(("unload", name))
        if len(self.asked) == 4:
            raise InferenceServerException("connection refused", status="StatusCode.UNAVAILABLE")

    monkeypatch.setattr(Client, "unload_model", once)
    with pytest.raises(BackendUnavailable, match="1 of 2 servers did unload it"):
        await control.unload("ststnet")


async def test_nobody_there_is_told_as_such():
    """By the real client."""
    with pytest.raises(BackendUnavailable):
        await TritonControl("127.0.0.1:1", timeout_s=5).load("ststnet")
