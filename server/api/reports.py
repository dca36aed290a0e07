"""Reports that clients send: JSON to values, as strictly as a stranger's document must be read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, from_json

from server.errors import InputError
from server.report.check import check_report
from server.types import Report

MOST_BYTES = 64 * 2**20
MOST_VALUES = 2_000_000
"""Numbers, texts and members of a document; more would take memory many times its size."""
MOST_OBJECTS = 100_000
_MOST_MEMBERS = 300
_STAGE = "report"
_NAMED, _NAME_CHARACTERS = 5, 100


def _failing_fast(schema: Any) -> Any:
    """The same, but a list is done with at its first element that is wrong: a million errors would take gigabytes, and
    minutes in which nothing else of the process runs.
    """
    if isinstance(schema, Mapping):
        stops = {"fail_fast": True} if schema.get("type") == "list" else {}
        return {**{name: _failing_fast(value) for name, value in schema.items()}, **stops}
    return [_failing_fast(each) for each in schema] if isinstance(schema, list) else schema


# Plain dataclasses take over how what is around them is read.
_CONFIG = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)
_ONE = SchemaValidator(
    cast("CoreSchema", _failing_fast(TypeAdapter(list[Report], config=_CONFIG).core_schema)),
    CoreConfig(extra_fields_behavior="forbid", allow_inf_nan=False, strict=True),
)


def read_report(body: bytes | bytearray) -> Report:
    """The report that a JSON document is. Unknown members, wrong types, numbers that are not finite, and more than a
    report can say are refused.

    Raises `InputError`, which names places and never repeats what stands there.
    """
    if len(body) > MOST_BYTES:
        raise InputError(f"a report has at most {MOST_BYTES} bytes", stage=_STAGE)
    if sum(body.count(sign) for sign in (b",", b"[", b"{")) > MOST_VALUES:
        raise InputError(f"a report has at most {MOST_VALUES} values", stage=_STAGE)
    if body.count(b"{") > MOST_OBJECTS:
        raise InputError(f"a report has at most {MOST_OBJECTS} objects", stage=_STAGE)
    try:
        # One whole value, so that what stands around it below cannot be taken for something else.
        _check_members(from_json(body, allow_inf_nan=False, cache_strings="none"))
        report: Report = _ONE.validate_json(b"[" + bytes(body) + b"]")[0]
    except ValidationError as error:
        raise InputError(_complaint(error), stage=_STAGE) from None
    except (ValueError, RecursionError):
        raise InputError("the body is no JSON document", stage=_STAGE) from None
    check_report(report)
    return report


def _check_members(document: object) -> None:
    """Raise `InputError` for an object of more members than any of a report: each that is unknown would be an error."""
    within = [document]
    while within:
        value = within.pop()
        if isinstance(value, dict):
            if len(value) > _MOST_MEMBERS:
                raise InputError(f"an object of a report has at most {_MOST_MEMBERS} members", stage=_STAGE)
            within.extend(value.values())
        elif isinstance(value, list):
            within.extend(each for each in value if isinstance(each, dict | list))


def _complaint(error: ValidationError) -> str:
    listed = error.errors(include_url=False, include_input=False, include_context=False)
    named = [f"{_place(each['loc'])}: {each['msg']}" for each in listed[:_NAMED]]
    more = f"; and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return f"the body is no report of this service: {'; '.join(named)}{more}"


def _place(place: tuple[int | str, ...]) -> str:
    named = ".".join(str(part) for part in place[1:])
    return "".join(sign if sign.isprintable() else "?" for sign in named[:_NAME_CHARACTERS])
