"""The span of one call of Triton, and the headers by which Triton goes on with its trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tritonclient.grpc import InferenceServerException

from server.spans import NO_SPAN, current, entered

METHOD = "inference.GRPCInferenceService/ModelInfer"


@contextmanager
def infer_span(*, probing: bool) -> Iterator[dict[str, str] | None]:
    """One attempt, with the headers to send. A probe has neither: no request waits for it."""
    attributes = {"rpc.system.name": "grpc", "rpc.method": METHOD}
    with entered(NO_SPAN if probing else current().child(METHOD, attributes, kind="client")) as told:
        try:
            yield dict(told.carrier) or None
        except InferenceServerException as error:
            status = str(error.status()).removeprefix("StatusCode.")
            told.set({"rpc.response.status_code": status})
            told.fail(status)
            raise
        told.set({"rpc.response.status_code": "OK"})
