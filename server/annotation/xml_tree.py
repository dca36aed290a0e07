"""XML from strangers to a tree: declarations of document types, which can name entities and files, are refused."""

from __future__ import annotations

from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

_MOST_DEPTH = 64


class RefusedXml(ValueError):
    """What is wrong with the document."""


def parse_xml(data: bytes) -> Element:
    """The root. Raises `RefusedXml` for what is no XML, has a document type, or is nested more deeply than any EAF.

    Without a document type no entity can be declared, so none can grow, and none can name a file or an address.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    depth = 0

    def refuse(*_: object) -> None:
        raise RefusedXml("it declares a document type (DTD), which no EAF has")

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MOST_DEPTH:
            raise RefusedXml(f"its elements are nested more than {_MOST_DEPTH} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.buffer_text = True
    try:
        parser.Parse(data, True)  # noqa: FBT003 - whether this is all of it
    except expat.ExpatError as error:
        raise RefusedXml(f"it is no XML: {error}") from None
    except LookupError as error:
        raise RefusedXml(f"its encoding is not known: {error}") from None
    return builder.close()
