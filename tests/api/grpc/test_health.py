"""grpc.health.v1 and reflection, as orchestrators and tools ask."""

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from server.api.grpc.health import Health
from server.errors import BackendUnavailable
from server.pipeline.base import Readiness

SERVICE = "glimpse.v1.MicroExpressions"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.parametrize("service", ["", SERVICE])
def test_health_follows_readiness(start, fake_analyzer, service):
    """A check that fails means not serving, never an error."""
    gateway = start(fake_analyzer(ready=Readiness(ready=False, reasons=("no worker runs",))))
    with grpc.insecure_channel(gateway.grpc) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=service)
        assert stub.Check(request).status == NOT_SERVING
        gateway.analyzer.ready = BackendUnavailable("down")
        assert stub.Check(request).status == NOT_SERVING
        gateway.analyzer.ready = Readiness(ready=True)
        assert stub.Check(request).status == SERVING


def test_health_of_another_service_is_not_found(gateway):
    """As the protocol says."""
    with grpc.insecure_channel(gateway.grpc) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="other"))
        assert refusal.value.code() is grpc.StatusCode.NOT_FOUND


class _Context:
    """Keeps what is written."""

    def __init__(self):
        self.written = asyncio.Queue()

    async def write(self, message):
        self.written.put_nowait(message.status)


async def test_who_watches_is_told_of_changes_alone(fake_analyzer):
    """Now, whenever readiness changes, and when the service ends."""
    analyzer = fake_analyzer()
    health, context = Health(analyzer, watch_s=0.01), _Context()
    watching = asyncio.ensure_future(health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), context))
    assert await context.written.get() == SERVING
    analyzer.ready = Readiness(ready=False)
    assert await context.written.get() == NOT_SERVING
    analyzer.ready = Readiness(ready=True)
    assert await context.written.get() == SERVING
    health.end()
    assert await context.written.get() == NOT_SERVING
    await watching
    assert context.written.empty()


def test_who_watches_another_service_is_told_that_it_is_unknown(gateway):
    """And may wait for it, as the protocol says."""
    with grpc.insecure_channel(gateway.grpc) as channel:
        watching = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service="other"))
        assert next(watching).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watching.cancel()


def test_the_interface_is_told_to_whoever_asks(gateway):
    """With its methods and the health service beside it."""
    with grpc.insecure_channel(gateway.grpc) as channel:
        told = ProtoReflectionDescriptorDatabase(channel)
        assert {SERVICE, "grpc.health.v1.Health"} <= set(told.get_services())
        described = told.FindFileContainingSymbol(SERVICE)
        assert [method.name for method in described.service[0].method] == [
            "Analyze", "Live", "ListModels", "GetServerInfo",
        ]  # fmt: skip


def test_the_interface_can_be_kept_to_oneself(start):
    """By a setting."""
    gateway = start(server={"grpc_reflection": False})
    with grpc.insecure_channel(gateway.grpc) as channel, pytest.raises(grpc.RpcError) as refusal:
        ProtoReflectionDescriptorDatabase(channel).get_services()
    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
