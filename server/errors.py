"""Everything that can go wrong, as one tree. No protocol knows these classes but `server.api.status`.

GlimpseError
├── InputError                 the request cannot be answered as it is; sending it again unchanged will fail again
│   ├── MediaError             the bytes are not a clip we can read
│   │   ├── EmptyMedia             zero bytes
│   │   ├── UnreadableMedia        no container we know (a text file named .mp4)
│   │   ├── TruncatedMedia         the container announces more bytes than came
│   │   ├── NoVideoStream          audio only
│   │   ├── UnsupportedMedia       a container or codec that is not on the allow-list
│   │   └── TooFewFrames           no motion can be seen
│   ├── LimitExceeded          a configured limit; the message names the setting
│   ├── FaceError
│   │   ├── NoFace                 no face in any frame
│   │   └── FaceLost               the face left before what was asked for could be seen
│   └── OptionError            an option has the wrong type, range or combination
├── ModelError
│   ├── UnknownModel               no model or version of that name
│   └── ModelNotServable           listed, but this gateway cannot feed it; the message says why
├── BackendError               the inference backend; the same request may succeed later
│   ├── BackendUnavailable
│   └── BackendFailed              it answered with an error or with something that is not an answer
├── AccessError                who asks may not
│   ├── Unauthenticated            no credential, or none that holds
│   │   └── CredentialEnded            it held until now: revoked or expired under a running stream
│   └── PermissionDenied           the credential lacks a scope, which `scope` names
├── Overloaded                 admission is bounded; come back after `retry_after_s`
│   ├── BudgetSpent                what may be asked of a paid endpoint in a while is used up
│   └── RateLimited                one caller asks more often than its credential allows
├── DeadlineExceeded           names the stage that was running when time ran out
├── WorkerCrashed              the process that held this clip died; other requests are untouched
└── ConfigurationError         the installation, not the request: bad repository, missing extra, wrong settings
"""

from __future__ import annotations

from typing import Any, ClassVar


class GlimpseError(Exception):
    """Base of every error raised on purpose.

    `code` is the stable, kebab-case name of the problem type; `stage` the part of the pipeline that
    noticed; `details` are JSON-able facts a client may act on (they become problem+json members).
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, *, stage: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.stage = stage
        self.details = details

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only arguments are lost by Exception's own pickling, and errors cross process borders here.
        return _rebuild, (type(self), self.message, self.stage, self.details)


def _rebuild(cls: type[GlimpseError], message: str, stage: str, details: dict[str, Any]) -> GlimpseError:
    error = cls.__new__(cls)
    GlimpseError.__init__(error, message, stage=stage, **details)
    return error


class InputError(GlimpseError):
    """The request cannot be answered as it is."""

    code = "invalid-input"
    title = "Invalid input"


class MediaError(InputError):
    """The bytes are not a clip we can read."""

    code = "unreadable-media"
    title = "The media cannot be read"


class EmptyMedia(MediaError):
    """Zero bytes arrived."""

    code = "empty-media"
    title = "The file is empty"


class UnreadableMedia(MediaError):
    """No container format we know."""


class TruncatedMedia(MediaError):
    """The container announces more bytes than arrived."""

    code = "truncated-media"
    title = "The file is cut off"


class NoVideoStream(MediaError):
    """The file has no video stream."""

    code = "no-video"
    title = "The file has no video"


class UnsupportedMedia(MediaError):
    """A container or codec that is not on the allow-list."""

    code = "unsupported-media"
    title = "The media format is not supported"


class TooFewFrames(MediaError):
    """Fewer frames than motion needs."""

    code = "too-few-frames"
    title = "The clip has too few frames"


class LimitExceeded(InputError):
    """A configured limit was passed. `limit` and `setting` are in the details."""

    code = "limit-exceeded"
    title = "A limit was exceeded"

    def __init__(self, message: str, *, setting: str, limit: float, stage: str = "") -> None:
        super().__init__(message, stage=stage, setting=setting, limit=limit)


class FaceError(InputError):
    """No face where one is needed."""

    code = "no-face"
    title = "No usable face"


class NoFace(FaceError):
    """No face in any frame."""

    title = "No face was found"


class FaceLost(FaceError):
    """The face left before what was asked for could be seen."""

    code = "face-lost"
    title = "The face was lost"


class OptionError(InputError):
    """An option has the wrong type, range or combination. `option` is in the details."""

    code = "invalid-option"
    title = "An option is invalid"


class ModelError(GlimpseError):
    """The model that was asked for cannot answer."""

    code = "model-error"
    title = "The model cannot be used"


class UnknownModel(ModelError):
    """No model, or no version of it, has that name."""

    code = "unknown-model"
    title = "No such model"


class ModelNotServable(ModelError):
    """The model is listed, but this gateway cannot feed it."""

    code = "model-not-servable"
    title = "The model cannot be served"


class BackendError(GlimpseError):
    """The inference backend failed; the same request may succeed later."""

    code = "backend-error"
    title = "The inference backend failed"


class BackendUnavailable(BackendError):
    """The backend does not answer."""

    code = "backend-unavailable"
    title = "The inference backend is not available"


class BackendFailed(BackendError):
    """The backend answered with an error, or with something that is not an answer."""


class AccessError(GlimpseError):
    """Who asks may not."""

    code = "permission-denied"
    title = "Access is denied"


class Unauthenticated(AccessError):
    """No credential, or none that holds. `reason` is one of a few words, for whoever counts refusals."""

    code = "unauthenticated"
    title = "Nobody known asks"

    def __init__(self, message: str, *, reason: str = "", stage: str = "access") -> None:
        super().__init__(message, stage=stage, reason=reason)


class CredentialEnded(Unauthenticated):
    """The credential of a running stream was revoked, or has expired."""

    code = "credential-ended"
    title = "The credential no longer holds"


class PermissionDenied(AccessError):
    """The credential holds, but lacks a scope. `scope` is in the details."""

    title = "The credential lacks a scope"

    def __init__(self, message: str, *, scope: str = "", stage: str = "access") -> None:
        super().__init__(message, stage=stage, scope=scope)


class Overloaded(GlimpseError):
    """Admission is bounded and full."""

    code = "overloaded"
    title = "The service is at capacity"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, stage: str = "admission") -> None:
        super().__init__(message, stage=stage, retry_after_s=retry_after_s)


class BudgetSpent(Overloaded):
    """What may be asked of a paid endpoint in a while is used up. `setting` is in the details."""

    code = "budget-spent"
    title = "The budget is spent"

    def __init__(
        self, message: str, *, setting: str = "", retry_after_s: float = 1.0, stage: str = "inference"
    ) -> None:
        super().__init__(message, retry_after_s=retry_after_s, stage=stage)
        self.details["setting"] = setting


class RateLimited(Overloaded):
    """One caller asks more often, or holds more streams, than its credential allows."""

    code = "rate-limited"
    title = "This caller asks too often"

    def __init__(self, message: str, *, retry_after_s: float = 1.0, stage: str = "access") -> None:
        super().__init__(message, retry_after_s=retry_after_s, stage=stage)


class DeadlineExceeded(GlimpseError):
    """Time ran out; `stage` says where."""

    code = "deadline-exceeded"
    title = "The request took too long"


class WorkerCrashed(GlimpseError):
    """The process that held this clip died."""

    code = "worker-crashed"
    title = "The clip could not be processed"


class ConfigurationError(GlimpseError):
    """The installation is wrong, not the request."""

    code = "misconfigured"
    title = "The installation is not usable"
