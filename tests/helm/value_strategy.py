"""Values that the chart's schema allows, drawn from the schema itself."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.helm.chart import CHART

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
_ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


def values() -> st.SearchStrategy[dict[str, Any]]:
    """Some of the values, each within the schema; maps and lists of Kubernetes' own objects are left empty."""
    return _of(SCHEMA)


def _of(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _of(SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return st.one_of([_of({"type": schema.get("type"), **branch}) for branch in schema[choice]])
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return st.one_of([_of({**schema, "type": kind}) for kind in kinds])
    return _PLAIN[kinds](schema)


def _object(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    properties = schema.get("properties", {})
    needed = {name: _of(properties[name]) for name in schema.get("required", [])}
    others = {name: _of(part) for name, part in properties.items() if name not in needed}
    return st.fixed_dictionaries(needed, optional=others)


def _array(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "object" in schema["items"].get("type", ""):
        return st.just([])
    return st.lists(_of(schema["items"]), min_size=schema.get("minItems", 0), max_size=3)


def _number(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0))
    return st.floats(
        least, schema.get("maximum", least + 1e6), exclude_min="exclusiveMinimum" in schema, allow_subnormal=False
    )


def _text(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "pattern" in schema:
        drawn = st.from_regex(schema["pattern"], fullmatch=True, alphabet=_ASCII)
        return drawn.filter(lambda text: len(text) <= schema.get("maxLength", 300) and text != "latest")
    return st.text(
        st.characters(codec="ascii", categories=["Ll", "Nd"]), min_size=schema.get("minLength", 0), max_size=20
    )


_PLAIN = {
    "object": _object,
    "array": _array,
    "number": _number,
    "string": _text,
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": lambda schema: st.integers(schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)),
}
