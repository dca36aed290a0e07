"""What `helm test` runs in the gateway's image: is the service ready, by REST and by gRPC?

Arguments: host, port of REST, port of gRPC, and `plain`, `tls` or `mutual`. Ends with status 1 where it is not.
"""

import socket
import ssl
import sys
import urllib.request


def main(host: str, http_port: str, grpc_port: str, encryption: str) -> None:
    """Ask both ports, as far as a client without a certificate can."""
    if encryption == "mutual":
        # Nobody without a certificate gets past the handshake, so only that both ports listen can be seen.
        for port in (http_port, grpc_port):
            socket.create_connection((host, int(port)), timeout=10).close()
        print("both ports listen")
        return
    # The certificate names the service as others know it, and not this name.
    unverified = ssl._create_unverified_context()
    scheme = "http" if encryption == "plain" else "https"
    with urllib.request.urlopen(f"{scheme}://{host}:{http_port}/readyz", timeout=10, context=unverified) as answer:
        print(answer.read().decode())
    if encryption == "tls":
        socket.create_connection((host, int(grpc_port)), timeout=10).close()
        return
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"{host}:{grpc_port}") as channel:
        request = health_pb2.HealthCheckRequest(service="glimpse.v1.MicroExpressions")
        status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=10).status
    print(health_pb2.HealthCheckResponse.ServingStatus.Name(status))
    if status != health_pb2.HealthCheckResponse.SERVING:
        raise SystemExit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
