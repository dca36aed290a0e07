"""From settings to the guard of the service, and what of it is read anew while the service runs."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from urllib.parse import urlsplit

from server.access import jwks, key_file
from server.access.addresses import is_loopback
from server.access.guard import Guard
from server.access.keys import KeyRing
from server.access.rates import Rate
from server.access.reloading import Reloader
from server.access.tokens import TokenPolicy, TokenVerifier
from server.errors import ConfigurationError
from server.settings import Settings
from server.settings.access import ACCESS, AccessSettings
from server.settings.group import variable
from server.telemetry.metrics import Metrics

_KEYS, _JWKS = "keys", "jwks"

_log = logging.getLogger(__name__)


def check_exposure(settings: Settings) -> str:
    """What must be said of where the service listens, or nothing.

    Raises `ConfigurationError` where credentials are required and there is nothing to check them with.
    """
    access, host = settings.access, settings.server.host
    if access.on or settings.tls.client_ca:
        return ""
    ways = f"{variable(ACCESS, 'keys_file')} (see `glimpse keys create`), {variable(ACCESS, 'jwt_issuer')} or"
    ways += f" {variable('tls', 'client_ca')}"
    if access.require_auth:
        raise ConfigurationError(f"credentials are required, and there is nothing to check them with: set {ways}")
    if is_loopback(host):
        return ""
    return (
        f"WARNING: {host} can be reached by other machines, and everybody there may use this service: it asks for no "
        f"credentials. Set {ways}, or refuse to start like this with {variable(ACCESS, 'require_auth')}=true"
    )


def guard_of(settings: Settings, metrics: Metrics) -> Guard:
    """The guard that the settings describe.

    Raises `ConfigurationError` for files that cannot be used, and where anybody could ask what operators ask.
    """
    access, admin = settings.access, settings.admin
    if admin.port is not None and not access.on and not is_loopback(admin.host):
        name = variable("admin", "host")
        message = f"{name}: without keys, calls of operators are for this machine alone, not for {admin.host}"
        raise ConfigurationError(message)
    keys = _ring(Path(access.keys_file)) if access.keys_file else None
    if keys is not None:
        _tell_expired(keys)
    tokens = TokenVerifier(_policy(access), _key_set(access, metrics)) if access.jwt_issuer else None
    scopes = frozenset(settings.tls.client_scopes) if settings.tls.client_ca else None
    return Guard(keys=keys, tokens=tokens, certificate_scopes=scopes, open_metrics=access.open_metrics)


async def reloader_of(settings: Settings, guard: Guard, metrics: Metrics) -> Reloader:
    """What of the guard is read anew. Tokens' keys are fetched once; where nobody answers yet, that is no reason not
    to start. Raises `ConfigurationError` for a file of them that cannot be used.
    """
    access = settings.access
    reloader = Reloader(metrics.count_reload, every_s=access.reload_seconds)
    if access.keys_file:
        path = Path(access.keys_file)

        async def read_keys() -> None:
            guard.keys = await asyncio.to_thread(_ring, path)

        reloader.add(_KEYS, read_keys, path)
    if guard.tokens is not None:
        source = guard.tokens.keys
        if _is_file(access.jwt_jwks):
            await source.reload()
            reloader.add(_JWKS, source.reload, Path(access.jwt_jwks))
        else:
            reloader.add(_JWKS, source.reload)
            await _first(source)
    reloader.afterwards(guard.end_leases)
    return reloader


async def _first(source: jwks.KeySet) -> None:
    try:
        await source.reload()
    except ConfigurationError as error:
        _log.warning("no token can be verified yet", extra={"reason": error.message})


def _ring(path: Path) -> KeyRing:
    return KeyRing(entry.key() for entry in key_file.read(path).keys)


def _tell_expired(keys: KeyRing) -> None:
    if not keys.any_holds(time.time()):
        _log.warning("the file of keys has none that holds; every request will be refused")


def _policy(access: AccessSettings) -> TokenPolicy:
    return TokenPolicy(
        issuer=access.jwt_issuer,
        audience=access.jwt_audience,
        leeway_s=access.jwt_leeway_seconds,
        require_nbf=access.jwt_require_nbf,
        scope_claims=access.jwt_scope_claims,
        scope_prefix=access.jwt_scope_prefix,
        rate=Rate(access.jwt_requests_per_second, access.jwt_burst, access.jwt_live_streams),
    )


def _key_set(access: AccessSettings, metrics: Metrics) -> jwks.KeySet:
    forever = _is_file(access.jwt_jwks)
    if forever:
        _check_file(Path(access.jwt_jwks), access)
    return jwks.KeySet(
        _source(access),
        algorithms=access.jwt_algorithms,
        # A file is watched, and needs no age.
        fresh_s=float("inf") if forever else access.jwks_fresh_seconds,
        stale_s=float("inf") if forever else access.jwks_stale_seconds,
        pause_s=access.jwks_pause_seconds,
        on_fetched=lambda worked: metrics.count_reload(_JWKS, worked),
    )


def _check_file(path: Path, access: AccessSettings) -> None:
    """Once before the service is built, where what is wrong can be said in a sentence."""
    try:
        jwks.parsed(path.read_bytes(), access.jwt_algorithms)
    except OSError as error:
        raise ConfigurationError(f"{variable(ACCESS, 'jwt_jwks')}: {path}: {error.strerror}") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{variable(ACCESS, 'jwt_jwks')}: {path}: {error.message}") from None


def _source(access: AccessSettings) -> jwks.Fetch:
    if _is_file(access.jwt_jwks):
        return jwks.from_file(Path(access.jwt_jwks))
    parts = urlsplit(access.jwt_jwks)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            f"{variable(ACCESS, 'jwt_jwks')}: whoever is on the way could exchange keys that come without encryption; "
            "use https"
        )
    return jwks.from_url(access.jwt_jwks, access.jwks_timeout_seconds)


def _is_file(where: str) -> bool:
    return where.startswith("/")
