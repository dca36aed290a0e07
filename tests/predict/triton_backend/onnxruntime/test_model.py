"""The backend that Triton runs, here with a stand-in for Triton's side of it."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from google.protobuf.json_format import MessageToDict

import server.predict.triton_backend


class Tensor:
    """A named array."""

    def __init__(self, name, array):
        self.name = name
        self.array = array

    def as_numpy(self):
        """The array."""
        return self.array


class Request:
    """One request as Triton hands it over."""

    def __init__(self, array, *, wanted=(), cancelled=False):
        self.tensors = {"flow": Tensor("flow", array)}
        self.wanted = wanted
        self.cancelled = cancelled

    def requested_output_names(self):
        """The outputs that are wanted; none means all."""
        return self.wanted

    def is_cancelled(self):
        """Whether the client left."""
        return self.cancelled


class TritonError:
    """An error with Triton's codes."""

    CANCELLED = "cancelled"
    INTERNAL = "internal"

    def __init__(self, message, code):
        self.message = message
        self.code = code


@pytest.fixture
def backend(monkeypatch):
    """The module under test."""
    utils = ModuleType("triton_python_backend_utils")
    utils.Tensor = Tensor
    utils.TritonError = TritonError
    utils.Logger = SimpleNamespace(log_warn=lambda _: None)
    utils.get_input_tensor_by_name = lambda request, name: request.tensors[name]
    utils.InferenceResponse = lambda output_tensors=(), error=None: SimpleNamespace(
        outputs={tensor.name: tensor.array for tensor in output_tensors}, error=error
    )
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utils)
    path = Path(server.predict.triton_backend.__file__).parent / "onnxruntime" / "model.py"
    spec = importlib.util.spec_from_file_location("backend_under_test", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(backend, zoo, tiny):
    """The tiny model, initialised as Triton does it, with a count of its runs."""
    config = MessageToDict(tiny.config("tiny", tiny.contract("tiny")), preserving_proto_field_name=True)
    model = backend.TritonPythonModel()
    model.initialize({"model_config": json.dumps(config), "model_repository": str(zoo / "tiny"), "model_version": "1"})
    run = model._session.run
    model.runs = []

    def counted(names, feed):
        model.runs.append(len(feed["flow"]))
        return run(names, feed)

    model._session = SimpleNamespace(run=counted)
    return model


def test_requests_that_came_together_run_as_one(model, tiny):
    """Three requests of 1, 3 and 2 samples are one run of 6, and each gets its own rows."""
    inputs = [tiny.batch(size, seed=size)["flow"] for size in (1, 3, 2)]
    together = model.execute([Request(array) for array in inputs])
    assert model.runs == [6]
    for array, response in zip(inputs, together, strict=True):
        alone = model.execute([Request(array)])[0]
        np.testing.assert_allclose(response.outputs["probabilities"], alone.outputs["probabilities"], atol=1e-6)
        assert response.outputs["embedding"].shape == (len(array), 4)


def test_one_bad_request_does_not_fail_the_others(model, tiny):
    """When the common run fails each request is run alone, and only the bad one gets the error."""
    bad = np.zeros((1, 3, 8, 5), np.float32)
    good, failed, also_good = model.execute(
        [Request(tiny.batch(1)["flow"]), Request(bad), Request(tiny.ones()["flow"])]
    )
    assert failed.error.code == TritonError.INTERNAL
    assert "flow" in failed.error.message
    assert good.error is None
    assert also_good.outputs["probabilities"].shape == (1, 3)


def test_who_left_is_not_computed(model, tiny):
    """A cancelled request costs nothing and is answered as cancelled, in its place."""
    first, second = model.execute([Request(tiny.batch(2)["flow"], cancelled=True), Request(tiny.batch(1)["flow"])])
    assert first.error.code == TritonError.CANCELLED
    assert second.error is None
    assert model.runs == [1]


def test_only_what_is_asked_for_is_sent(model, tiny):
    """A request that names outputs gets those alone."""
    response = model.execute([Request(tiny.batch(1)["flow"], wanted=["embedding"])])[0]
    assert list(response.outputs) == ["embedding"]
