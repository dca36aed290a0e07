"""What `helm test` runs in the gateway's image: is the service ready, by REST and by gRPC?

Arguments: host, port of REST, port of gRPC, and `plain`, `tls` or `mutual`. Ends with status 1 where it is not.
"""

import contextlib
import http.client
import socket
import ssl
import sys

_TIMEOUT_S = 10.0


def rest_is_ready(connection: http.client.HTTPConnection) -> bool:
    """Whether `/readyz` says so; what it says is printed."""
    with contextlib.closing(connection):
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        sys.stdout.write(f"REST: {answer.status} {answer.read().decode()}\n")
    return answer.status == http.HTTPStatus.OK


def grpc_is_ready(target: str) -> bool:
    """Whether the health service of gRPC says so; what it says is printed."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(target) as channel:
        request = health_pb2.HealthCheckRequest(service="glimpse.v1.MicroExpressions")
        status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_TIMEOUT_S).status
    sys.stdout.write(f"gRPC: {health_pb2.HealthCheckResponse.ServingStatus.Name(status)}\n")
    return bool(status == health_pb2.HealthCheckResponse.SERVING)


def ready(host: str, http_port: str, grpc_port: str, encryption: str) -> bool:
    """Ask both ports, as far as a client without a certificate can."""
    if encryption == "plain":
        rest = http.client.HTTPConnection(host, int(http_port), timeout=_TIMEOUT_S)
        return rest_is_ready(rest) and grpc_is_ready(f"{host}:{grpc_port}")
    # gRPC verifies certificates, and this one names the service as others know it. That it listens must do.
    socket.create_connection((host, int(grpc_port)), timeout=_TIMEOUT_S).close()
    if encryption == "mutual":
        socket.create_connection((host, int(http_port)), timeout=_TIMEOUT_S).close()
        return True
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return rest_is_ready(http.client.HTTPSConnection(host, int(http_port), timeout=_TIMEOUT_S, context=context))


if __name__ == "__main__":
    raise SystemExit(0 if ready(*sys.argv[1:]) else 1)
