"""Everything that a call can end with, as one tree.

ClientError
├── ServiceError           the service answered with a problem; `code` is that of its documentation
│   ├── RequestRefused         the request is wrong, or what it asks for cannot be had; unchanged it will fail again
│   │   └── AccessRefused          the credential is missing, does not hold, or lacks a scope
│   ├── Overloaded             admission is full; come back after `retry_after_s`
│   ├── DeadlineExceeded       it took too long, or a stream stood still
│   └── ServiceFailed          the service, or the backend behind it, failed
├── Unreachable            nobody answers, or the connection broke
│   └── StreamLost             a live stream broke and could not be opened again
├── ForeignAnswer          somebody answers, who is not this service or speaks another version of its protocol
├── CertificateError       a file of a certificate, key or authority that cannot be used, noticed before connecting
├── FrameError             a picture that the service could not take, noticed before it was sent
├── SourceError            a camera, file or pipe that gives no pictures
└── CredentialError        a credential that cannot be one, or would travel unencrypted; nothing was sent
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of every error of this package.

    `code` is the stable, kebab-case name of the problem; `retryable` says whether the same call may succeed later,
    and `retry_after_s` when; `request_id` finds the request in the log of the service; `stage` is the part of the
    service that noticed. Those that are not known are empty, `retry_after_s` None.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        retryable: bool = False,
        request_id: str = "",
        stage: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
        self.request_id = request_id
        self.stage = stage
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        marks = ", ".join(mark for mark in (self.code, f"request {self.request_id}" if self.request_id else "") if mark)
        return f"{self.message} ({marks})" if marks else self.message


class ServiceError(ClientError):
    """The service answered with a problem."""


class RequestRefused(ServiceError):
    """The request is wrong, or what it asks for cannot be had."""


class AccessRefused(RequestRefused):
    """The credential is missing, does not hold, or lacks a scope."""


class Overloaded(ServiceError):
    """Admission is full."""


class DeadlineExceeded(ServiceError):
    """It took too long, or a stream stood still."""


class ServiceFailed(ServiceError):
    """The service, or the backend behind it, failed."""


class Unreachable(ClientError):
    """Nobody answers, or the connection broke."""


class StreamLost(Unreachable):
    """A live stream broke and could not be opened again. `unanswered` are the numbers of the frames without answer;
    `__cause__` is what the last attempt ended with.
    """

    def __init__(self, message: str, *, unanswered: tuple[int, ...], cause: ClientError) -> None:
        super().__init__(
            message, code=cause.code, retryable=cause.retryable, request_id=cause.request_id, stage=cause.stage
        )
        self.unanswered = unanswered
        self.__cause__ = cause


class ForeignAnswer(ClientError):
    """Somebody answers, who is not this service or speaks another version of its protocol."""


class CertificateError(ClientError):
    """A file of a certificate, key or authority that cannot be used, or `tls` for an address that is not encrypted."""


class FrameError(ClientError):
    """A picture that the service could not take."""


class SourceError(ClientError):
    """A camera, file or pipe that gives no pictures."""


class CredentialError(ClientError):
    """A credential that cannot be one, or would travel unencrypted; nothing was sent."""
