"""From settings to the bounds that each part keeps."""

from __future__ import annotations

from server import __version__
from server.api.facts import ServerFacts
from server.api.grpc.listening import GrpcBounds
from server.api.limits import Limits
from server.api.rest.connection import ConnectionBounds
from server.media.codecs import DECODERS
from server.media.limits import MediaLimits
from server.sandbox.confinement import Bounds
from server.settings import Settings


def limits_of(settings: Settings) -> Limits:
    """The bounds of requests."""
    limits = settings.limits
    return Limits(
        upload_bytes=limits.upload_bytes,
        upload_idle_s=limits.upload_idle_seconds,
        upload_bytes_per_s=limits.upload_bytes_per_second,
        uploads=limits.uploads,
        inflight=limits.inflight,
        queued=limits.queued,
        buffered_bytes=limits.buffered_bytes,
        deadline_s=settings.server.request_deadline_seconds,
        workers=settings.workers.count,
        answer_s=settings.server.answer_seconds,
    )


def facts_of(settings: Settings) -> ServerFacts:
    """What clients are told before they send anything."""
    limits = settings.limits
    return ServerFacts(
        version=__version__,
        default_model=settings.backend.default_model,
        message_bytes=settings.server.grpc_message_bytes,
        socket_message_bytes=settings.server.socket_message_bytes,
        clip_bytes=limits.upload_bytes,
        clip_s=limits.clip_seconds,
        clip_frames=limits.clip_frames,
        frame_pixels=limits.frame_pixels,
        faces=limits.faces,
        codecs=sorted(DECODERS.values()),
    )


def connection_bounds_of(settings: Settings) -> ConnectionBounds:
    """The bounds of connections of REST and WebSocket."""
    wanted = settings.server
    return ConnectionBounds(wanted.header_seconds, wanted.header_bytes, wanted.answer_seconds, wanted.connections)


def grpc_bounds_of(settings: Settings) -> GrpcBounds:
    """The bounds of connections of gRPC."""
    wanted = settings.server
    return GrpcBounds(
        keepalive_s=wanted.grpc_keepalive_seconds,
        idle_s=wanted.grpc_idle_seconds,
        header_s=settings.tls.handshake_seconds if settings.tls.certificate else wanted.header_seconds,
        header_bytes=wanted.header_bytes,
    )


def media_limits_of(settings: Settings) -> MediaLimits:
    """The bounds of what is decoded."""
    limits = settings.limits
    return MediaLimits(
        clip_seconds=limits.clip_seconds,
        clip_frames=limits.clip_frames,
        frame_pixels=limits.frame_pixels,
        clip_pixels=limits.clip_pixels,
        index_entries=limits.index_entries,
        scans=limits.scans,
    )


def worker_bounds_of(settings: Settings) -> Bounds:
    """What holds worker processes."""
    workers = settings.workers
    return Bounds(workers.memory_bytes, workers.cpu_seconds, workers.sandbox)
