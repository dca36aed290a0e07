"""JSON documents of the service as values: what is missing or of a wrong type is an error, what is unknown is not.

Bytes are base64 text in a document.
"""

from __future__ import annotations

import base64
import binascii
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from client.errors import ForeignAnswer

T = TypeVar("T")


def read(kind: type[T], document: object) -> T:
    """The document as the dataclass `kind`. Raises `ForeignAnswer`, with the place that is wrong."""
    value: T = _read(kind, document, kind.__name__)
    return value


def _read(kind: Any, value: object, place: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, place)
    if origin is Literal:
        return _scalar(str, value, place)
    if origin is tuple:
        items = _scalar(list, value, place)
        return tuple(_read(get_args(kind)[0], item, f"{place}[{number}]") for number, item in enumerate(items))
    if origin is Mapping:
        of = get_args(kind)[1]
        return {name: _read(of, item, f"{place}.{name}") for name, item in _scalar(dict, value, place).items()}
    if origin in {Union, types.UnionType}:
        [inner] = [each for each in get_args(kind) if each is not types.NoneType]
        return None if value is None else _read(inner, value, place)
    if kind is bytes:
        return _bytes(_scalar(str, value, place), place)
    return _scalar(kind, value, place)


def _bytes(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ForeignAnswer(f"the answer has no base64 at {place}") from None


def _dataclass(kind: Any, value: object, place: str) -> Any:
    document, hints = _scalar(dict, value, place), _hints(kind)
    given = {}
    for field in fields(kind):
        if field.name in document:
            given[field.name] = _read(hints[field.name], document[field.name], f"{place}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ForeignAnswer(f"the answer lacks {place}.{field.name}")
    return kind(**given)


def _scalar(kind: Any, value: object, place: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ForeignAnswer(f"the answer has a wrong type at {place}: {type(value).__name__}")
    return value


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    return typing.get_type_hints(kind)
