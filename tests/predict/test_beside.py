"""Models of several predictors in one list."""

import numpy as np
import pytest

from server.contract import ModelContract, Provenance, TensorSpec
from server.errors import BackendUnavailable, UnknownModel
from server.predict.beside import BesidePredictor
from server.testing import FakePredictor


def contract(name):
    return ModelContract(
        name=name,
        recipe="flow_uvs_28",
        inputs=(TensorSpec(name="flow", dims=(2,)),),
        outputs=(TensorSpec(name="probabilities", dims=(2,)),),
        labels=("a", "b"),
        provenance=Provenance(network="n", source="trained", command="x", training_data="none"),
    )


@pytest.fixture
def main():
    return FakePredictor([contract("net"), contract("guest"), contract("atlas")])


@pytest.fixture
def guest():
    return FakePredictor([contract("guest")], backend="elsewhere")


@pytest.fixture
def both(main, guest):
    return BesidePredictor(main, {"guest": guest})


async def test_all_models_are_listed_by_name(both):
    """The guest hides a model of the same name."""
    assert [(info.name, info.backend) for info in await both.models()] == [
        ("atlas", "fake"),
        ("guest", "elsewhere"),
        ("net", "fake"),
    ]
    assert both.backend == "fake"


async def test_each_model_is_asked_where_it_lives(both, main, guest):
    """Also for what it is, and whether it answers."""
    batch = {"flow": np.zeros((1, 2), np.float32)}
    for name in ("net", "guest"):
        await both.predict(name, batch, version="1", deadline=float("inf"))
        await both.probe(name)
    assert ([call.model for call in main.calls], [call.model for call in guest.calls]) == (
        ["net", "net"],
        ["guest", "guest"],
    )
    assert (await both.model("guest")).backend == "elsewhere"
    with pytest.raises(UnknownModel):
        await both.model("nobody")


async def test_a_guest_that_fails_concerns_nobody_else(both, guest):
    """The other models answer and get ready."""
    guest.error = BackendUnavailable("gone")
    await both.probe("net")
    assert (await both.model("net")).servable
    with pytest.raises(BackendUnavailable):
        await both.probe("guest")


async def test_both_are_closed(both, main, guest):
    """Nothing stays open."""
    await both.close()
    assert (main.closed, guest.closed) == (True, True)
