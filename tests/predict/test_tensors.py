"""Batches on their way to a model and back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.contract import ModelContract
from server.errors import BackendFailed, ModelNotServable
from server.predict.tensors import batches, check_inputs, check_outputs, joined, zeros


@pytest.fixture
def contract(tiny):
    """The tiny model's contract."""
    return ModelContract.model_validate(tiny.contract("tiny"))


def good(size=2):
    """Outputs that keep the contract."""
    return {"probabilities": np.full((size, 3), 1 / 3, np.float32), "embedding": np.zeros((size, 4), np.float32)}


def test_inputs_that_fit_give_their_batch_size(contract):
    """Zeros of the contract's shapes fit it, whatever their number."""
    assert check_inputs(contract, zeros(contract, 5)) == 5


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "wants the inputs"),
        ({"flow": np.zeros((1, 3, 8, 8), np.float32), "more": np.zeros((1, 1), np.float32)}, "more"),
        ({"flow": np.zeros((1, 3, 8, 8))}, "float64"),
        ({"flow": [[0.0]]}, "list"),
        ({"flow": np.zeros((1, 3, 8, 7), np.float32)}, r"\[N, 3, 8, 8\], not \[1, 3, 8, 7\]"),
        ({"flow": np.zeros((3, 8, 8), np.float32)}, r"not \[3, 8, 8\]"),
        ({"flow": np.zeros((0, 3, 8, 8), np.float32)}, "at least 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(contract, inputs, says):
    """Names, type, shape and batch size are compared with the contract, and the message says which differs."""
    with pytest.raises(ModelNotServable, match=says):
        check_inputs(contract, inputs)


def test_outputs_of_the_contract_pass(contract):
    """Only what the contract promises is handed on."""
    assert set(check_outputs(contract, good() | {"debug": np.zeros(1)}, 2)) == {"probabilities", "embedding"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"embedding": None}, "missing"),
        ({"embedding": np.zeros((2, 5), np.float32)}, r"\[2, 5\], not float32 \[2, 4\]"),
        ({"embedding": np.zeros((1, 4), np.float32)}, r"\[1, 4\]"),
        ({"embedding": np.zeros((2, 4))}, "float64"),
        ({"probabilities": np.full((2, 3), np.nan, np.float32)}, "NaN"),
        ({"probabilities": np.full((2, 3), np.inf, np.float32)}, "infinity"),
    ],
)
def test_outputs_that_are_no_answer(contract, change, says):
    """An output that is missing, misshapen or not finite is a failure of the backend."""
    with pytest.raises(BackendFailed, match=says):
        check_outputs(contract, good() | change, 2)


@given(size=st.integers(1, 40), largest=st.integers(1, 12))
def test_split_and_join_are_inverse(size, largest):
    """Parts are within the limit, none is empty, and together they are the batch in its order."""
    inputs = {"a": np.arange(size, dtype=np.float32), "b": np.ones((size, 2), np.float32)}
    parts = list(batches(inputs, size, largest))
    assert all(1 <= len(part["a"]) <= largest for part in parts)
    assert len(parts) == -(-size // largest)
    for name, array in joined(parts).items():
        np.testing.assert_array_equal(array, inputs[name])
