"""Who the client of a call is by its certificate, as gRPC tells it."""

from unittest.mock import Mock

import grpc
import pytest
import trustme

from server.api.grpc.credentials import credentials, peer_name
from server.tls.material import TlsFiles
from server.tls.watch import Certificates
from tests.tls.conftest import Office


class Echo(grpc.GenericRpcHandler):
    """Answers every call with the name of its client."""

    def service(self, _):
        """One handler for all."""

        async def answer(_, context):
            return peer_name(context).encode()

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.mark.parametrize("asked", [True, False])
async def test_the_name_is_that_of_the_certificate(tmp_path, asked):
    """Where one is asked for; without, there is none."""
    office = Office(tmp_path, trustme.CA(), trustme.CA())
    office.issue()
    files = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key", office.client_ca_file if asked else None)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    port = server.add_secure_port("127.0.0.1:0", credentials(Certificates(files, Mock())))
    await server.start()
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", office.client("camera.example").credentials()) as channel:
        name = await channel.unary_unary("/a/b")(b"", timeout=10)
    await server.stop(0)
    assert name == (b"camera.example" if asked else b"")
