"""The public test helpers."""

import time

import numpy as np
import pytest

from server.contract import ModelContract
from server.errors import BackendUnavailable, DeadlineExceeded, ModelNotServable, UnknownModel
from server.testing import FakePredictor

CONTRACT = ModelContract.model_validate(
    {
        "name": "tiny",
        "recipe": "flow",
        "inputs": [{"name": "flow", "dims": [2]}],
        "outputs": [{"name": "probabilities", "dims": [3]}, {"name": "attention", "dims": [5]}],
        "labels": ["negative", "positive", "surprise"],
        "provenance": {"network": "tiny", "source": "trained", "command": "none", "training_data": "none"},
    }
)
INPUTS = {"flow": np.zeros((4, 2), np.float32)}


def soon():
    """A deadline."""
    return time.monotonic() + 10


async def test_every_sample_gets_the_same_answer_and_calls_are_recorded():
    """Four samples give four equal rows that add to 1, and the call can be looked at."""
    fake = FakePredictor([CONTRACT])
    outputs = await fake.predict("tiny", INPUTS, deadline=soon())
    np.testing.assert_allclose(outputs["probabilities"], [[0.8, 0.1, 0.1]] * 4)
    assert outputs["attention"].shape == (4, 5)
    assert [(call.model, call.version) for call in fake.calls] == [("tiny", None)]


async def test_the_answer_can_be_chosen():
    """Given probabilities are what comes out."""
    outputs = await FakePredictor([CONTRACT], probabilities=[0.1, 0.2, 0.7]).predict("tiny", INPUTS, deadline=soon())
    np.testing.assert_allclose(outputs["probabilities"][0], [0.1, 0.2, 0.7])


async def test_it_can_be_told_to_fail_and_to_recover():
    """While `error` is set every question fails with it; afterwards answers come again."""
    fake = FakePredictor([CONTRACT], error=BackendUnavailable("down"))
    for question in (fake.models(), fake.model("tiny"), fake.probe("tiny")):
        with pytest.raises(BackendUnavailable, match="down"):
            await question
    with pytest.raises(BackendUnavailable, match="down"):
        await fake.predict("tiny", INPUTS, deadline=soon())
    fake.error = None
    await fake.probe("tiny")
    assert (await fake.models())[0].servable


async def test_it_refuses_what_the_real_ones_refuse():
    """Unknown names and versions, tensors that do not fit and deadlines that passed are errors here too."""
    fake = FakePredictor([CONTRACT])
    with pytest.raises(UnknownModel):
        await fake.model("nosuch")
    with pytest.raises(UnknownModel):
        await fake.predict("tiny", INPUTS, version="2", deadline=soon())
    with pytest.raises(ModelNotServable):
        await fake.predict("tiny", {"flow": np.zeros((4, 3), np.float32)}, deadline=soon())
    with pytest.raises(DeadlineExceeded):
        await fake.predict("tiny", INPUTS, deadline=time.monotonic() - 1)
    await fake.close()
    assert fake.closed
