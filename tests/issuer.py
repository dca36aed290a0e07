"""Whoever issues tokens, with keys of every kind, and an address at which its public keys are."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://login.example", "glimpse"


@cache
def private_key(kind: str, number: int = 0) -> Any:
    """A private key, the same for each kind and number: they take a moment to make."""
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if kind == "weak" else 2048)


def public_pem(kind: str) -> bytes:
    """What everybody may know of a key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private_key(kind).public_key().public_bytes(serialization.Encoding.PEM, form)


def jwk(kind: str, kid: str | None, number: int = 0, **more: Any) -> dict[str, Any]:
    """The public half as a JSON Web Key."""
    algorithm = {"ES256": jwt.algorithms.ECAlgorithm, "EdDSA": jwt.algorithms.OKPAlgorithm}.get(
        kind, jwt.algorithms.RSAAlgorithm
    )
    entry = algorithm.to_jwk(private_key(kind, number).public_key(), as_dict=True)
    return {**entry, **({"kid": kid} if kid else {}), "use": "sig", **more}


def key_set(*entries: dict[str, Any]) -> bytes:
    """A JSON Web Key Set."""
    return json.dumps({"keys": list(entries)}).encode()


def token(kind: str = "RS256", kid: str | None = "one", *, number: int = 0, header: Any = None, **claims: Any) -> str:
    """A token that holds for a minute; claims that are None are left out."""
    now = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": now + 60, "scope": "analyze live", **claims}
    headers = {**({"kid": kid} if kid else {}), **(header or {})}
    chosen = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(chosen, private_key(kind, number), algorithm=kind, headers=headers)


def confused() -> str:
    """Signed by HS256 with the public key as if it were a secret, as no library makes it any more."""
    head, body = (_part(part) for part in ({"alg": "HS256", "typ": "JWT", "kid": "one"}, _claims()))
    signed = hmac.new(public_pem("RS256"), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"


def unsigned(alg: str = "none") -> str:
    """Signed by nobody."""
    return f"{_part({'alg': alg, 'typ': 'JWT', 'kid': 'one'})}.{_part(_claims())}."


def _claims() -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 60, "scope": "analyze live"}


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@dataclass
class Address:
    """Where the public keys are asked for: `document` is the answer, or `status` where that is not 200."""

    url: str = ""
    document: bytes = b""
    status: int = 200
    asked: int = 0
    waits: threading.Event = field(default_factory=threading.Event)


@contextmanager
def address(document: bytes) -> Iterator[Address]:
    """Answers at a local address until the block is left."""
    at = Address(document=document)
    at.waits.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at.asked += 1
            at.waits.wait(20)
            self.send_response(at.status)
            self.send_header("Content-Length", str(len(at.document)))
            if at.status == 302:
                self.send_header("Location", at.url)
            self.end_headers()
            self.wfile.write(at.document)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    at.url = f"http://127.0.0.1:{server.server_port}/jwks.json"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield at
    finally:
        at.waits.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
