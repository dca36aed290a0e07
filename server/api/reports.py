"""Reports that clients send: JSON to values, as strictly as a stranger's document must be read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from server.errors import InputError
from server.report.check import check_report
from server.types import Report

MOST_BYTES = 64 * 2**20
MOST_VALUES = 3_000_000
"""Numbers, texts and members of a document; more would take memory many times its size."""
_STAGE = "report"
_NAMED, _NAME_CHARACTERS = 5, 100


class _Sent(BaseModel):
    """Plain dataclasses take over how the model around them is read."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    report: Report


def read_report(body: bytes | bytearray) -> Report:
    """The report that a JSON document is. Unknown members, wrong types, numbers that are not finite, and more than a
    report can say are refused.

    Raises `InputError`, which names places and never repeats what stands there.
    """
    if len(body) > MOST_BYTES:
        raise InputError(f"a report has at most {MOST_BYTES} bytes", stage=_STAGE)
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:
        raise InputError(f"a report has at most {MOST_VALUES} values", stage=_STAGE)
    try:
        # One whole value, so that what stands around it below cannot be taken for something else.
        from_json(body, allow_inf_nan=False, cache_strings="none")
        report = _Sent.model_validate_json(b'{"report":' + bytes(body) + b"}").report
    except ValidationError as error:
        raise InputError(_complaint(error), stage=_STAGE) from None
    except (ValueError, RecursionError):
        raise InputError("the body is no JSON document", stage=_STAGE) from None
    check_report(report)
    return report


def _complaint(error: ValidationError) -> str:
    listed = error.errors(include_url=False, include_input=False, include_context=False)
    named = [f"{_place(each['loc'])}: {each['msg']}" for each in listed[:_NAMED]]
    more = f"; and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return f"the body is no report of this service: {'; '.join(named)}{more}"


def _place(place: tuple[int | str, ...]) -> str:
    named = ".".join(str(part) for part in place[1:])
    return "".join(sign if sign.isprintable() else "?" for sign in named[:_NAME_CHARACTERS])
