"""Addresses and errors of Triton's protocol."""

import pytest
from tritonclient.grpc import InferenceServerException

from server.api.status import status_of
from server.errors import BackendFailed, BackendUnavailable, ConfigurationError, ModelNotServable, UnknownModel
from server.predict.triton_protocol import target, translated


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("triton:8001", "dns:///triton:8001"),
        ("triton.models.svc.cluster.local:8001", "dns:///triton.models.svc.cluster.local:8001"),
        ("[::1]:8001", "dns:///[::1]:8001"),
        ("dns:///triton:8001", "dns:///triton:8001"),
        ("unix:///run/triton.sock", "unix:///run/triton.sock"),
    ],
)
def test_names_are_resolved_so_that_replicas_are_found(address, expected):
    """host:port becomes a name to resolve; a full gRPC target stays what it is."""
    assert target(address) == expected


@pytest.mark.parametrize("address", ["", "triton", "http://triton:8000", "triton:port", "a b:8001", "::1:8001"])
def test_what_is_no_address(address):
    """An address of another kind is refused at the start with what is wanted."""
    with pytest.raises(ConfigurationError, match="host:port"):
        target(address)


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        ("NOT_FOUND", "Request for unknown model: 'a' is not found", UnknownModel),
        ("NOT_FOUND", "Request for unknown model: 'a' version 9 is not found", UnknownModel),
        ("UNAVAILABLE", "Request for unknown model: 'a' version 1 is not at ready state", UnknownModel),
        ("NOT_FOUND", "Request for unknown model: 'a' has no available versions", ModelNotServable),
        ("UNAVAILABLE", "failed to connect to all addresses", BackendUnavailable),
        ("CANCELLED", "shutting down", BackendUnavailable),
        ("UNIMPLEMENTED", "", BackendFailed),
    ],
)
def test_errors_say_what_they_mean_here(status, message, error):
    """Triton's status and words decide together which error of ours it is."""
    failure = translated(InferenceServerException(message, status=f"StatusCode.{status}"), "a")
    assert status_of(failure) == status_of(error)
    assert isinstance(failure, error)


@pytest.mark.parametrize("status", ["INTERNAL", "INVALID_ARGUMENT"])
def test_what_triton_says_of_its_inside_is_for_the_log(status, caplog):
    """The caller gets a plain sentence with what to do, the operator the original."""
    said = "Stub process 'ststnet_0_0' is not healthy."
    failure = translated(InferenceServerException(said, status=f"StatusCode.{status}"), "ststnet")
    assert "'ststnet'" in failure.message
    assert "log" in failure.message
    assert "Stub" not in failure.message
    [record] = caplog.records
    assert (record.levelname, said in record.getMessage()) == ("WARNING", True)
