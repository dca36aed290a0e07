"""The one table from the error tree to HTTP statuses and gRPC codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from server import errors


@dataclass(frozen=True, slots=True)
class Status:
    """How a protocol says it: HTTP status, name of the gRPC code, whether the same request may succeed later.

    `advice` is what the caller can do about it; `private` hides the message, which concerns the operator alone.
    """

    http: int
    grpc: str
    retryable: bool
    advice: str
    private: bool = False


_REFUSED = "INVALID_ARGUMENT"
_LATER = True
_NEVER = False

TABLE: Mapping[type[errors.GlimpseError], Status] = MappingProxyType(
    {
        errors.GlimpseError: Status(
            500, "INTERNAL", _NEVER, "Tell the operator the request id; the cause is in the log.", private=True
        ),
        errors.InputError: Status(422, _REFUSED, _NEVER, "Change the request as the detail says."),
        errors.MediaError: Status(415, _REFUSED, _NEVER, "Send a video file; see the documentation for the formats."),
        errors.EmptyMedia: Status(400, _REFUSED, _NEVER, "Check the upload: the file arrived with no bytes."),
        errors.UnreadableMedia: Status(
            415, _REFUSED, _NEVER, "Send a video file; the bytes are of no known container."
        ),
        errors.TruncatedMedia: Status(422, _REFUSED, _NEVER, "Send the whole file; its end is missing."),
        errors.NoVideoStream: Status(422, _REFUSED, _NEVER, "Send a file with a picture; this one has none."),
        errors.UnsupportedMedia: Status(415, _REFUSED, _NEVER, "Convert the clip, for example to H.264 in MP4."),
        errors.TooFewFrames: Status(422, _REFUSED, _NEVER, "Send a longer clip, or one of a higher frame rate."),
        errors.LimitExceeded: Status(413, _REFUSED, _NEVER, "Send less, or have the operator raise `setting`."),
        errors.FaceError: Status(422, _REFUSED, _NEVER, "Send a clip that shows a face, upright and large enough."),
        errors.NoFace: Status(422, _REFUSED, _NEVER, "Send a clip that shows a face, upright and large enough."),
        errors.FaceLost: Status(422, _REFUSED, _NEVER, "Choose a moment at which the face is in the picture."),
        errors.OptionError: Status(422, _REFUSED, _NEVER, "Correct the option that `option` names."),
        errors.ModelError: Status(409, "FAILED_PRECONDITION", _NEVER, "Choose another model: see /v1/models."),
        errors.UnknownModel: Status(404, "NOT_FOUND", _NEVER, "Choose a model and version that /v1/models lists."),
        errors.ModelNotServable: Status(
            409, "FAILED_PRECONDITION", _NEVER, "Choose a servable model; the detail says why this one is not."
        ),
        errors.BackendError: Status(502, "INTERNAL", _LATER, "Try again; if it stays, tell the operator."),
        errors.BackendUnavailable: Status(503, "UNAVAILABLE", _LATER, "Try again after the time in Retry-After."),
        errors.BackendFailed: Status(502, "INTERNAL", _LATER, "Try again; if it stays, tell the operator."),
        errors.AccessError: Status(403, "PERMISSION_DENIED", _NEVER, "Have the operator let you in."),
        errors.Unauthenticated: Status(
            401, "UNAUTHENTICATED", _NEVER, "Send one credential that holds: an API key, or a token of the issuer."
        ),
        errors.CredentialEnded: Status(
            401, "UNAUTHENTICATED", _LATER, "Open the stream again with a credential that holds."
        ),
        errors.PermissionDenied: Status(
            403, "PERMISSION_DENIED", _NEVER, "Use a credential that has the scope that `scope` names."
        ),
        errors.Overloaded: Status(429, "RESOURCE_EXHAUSTED", _LATER, "Try again after the time in Retry-After."),
        errors.BudgetSpent: Status(
            429, "RESOURCE_EXHAUSTED", _LATER, "Try again after the time in Retry-After, or choose another model."
        ),
        errors.RateLimited: Status(
            429, "RESOURCE_EXHAUSTED", _LATER, "Ask less often; try again after the time in Retry-After."
        ),
        errors.DeadlineExceeded: Status(
            504, "DEADLINE_EXCEEDED", _LATER, "Send a shorter clip, or try again when there is less load; see `stage`."
        ),
        errors.WorkerCrashed: Status(
            500, "INTERNAL", _NEVER, "Do not repeat the request unchanged; tell the operator the request id."
        ),
        errors.ConfigurationError: Status(
            500, "INTERNAL", _NEVER, "Tell the operator the request id; the installation is incomplete.", private=True
        ),
    }
)


def status_of(error: errors.GlimpseError | type[errors.GlimpseError]) -> Status:
    """The row of the error's class, or of its nearest parent that has one."""
    kind = error if isinstance(error, type) else type(error)
    return next(TABLE[base] for base in kind.__mro__ if base in TABLE)


_CLOSE_CODES = {401: 4401, 403: 4403, 413: 1009, 429: 1013, 503: 1013, 504: 4408}


def close_code_of(error: errors.GlimpseError) -> int:
    """The close code of WebSocket (RFC 6455, section 7.4): 1008 for what the client can change, 1009 too large, 1013
    come back later, 4401 nobody known asks, 4403 a scope is missing, 4408 time ran out, 1011 for the rest.
    """
    http = status_of(error).http
    return _CLOSE_CODES.get(http, 1008 if http < 500 else 1011)
