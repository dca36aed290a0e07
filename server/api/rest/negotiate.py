"""Choosing the representation that a client accepts."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from server.api.rest.problems import ProtocolError, option_error
from server.types import CsvColumns


def choose(accept: str, offers: Sequence[str]) -> str:
    """The offer that the header rates highest, the first of equals. Raises `ProtocolError` 406."""
    ranges = [_parsed(item) for item in accept.split(",") if item.strip()] or [("*/*", 1.0)]
    rated = [(_quality(offer, ranges), -place, offer) for place, offer in enumerate(offers)]
    quality, _, offer = max(rated)
    if quality <= 0:
        raise ProtocolError(406, f"this address offers {', '.join(offers)}", offers=list(offers))
    return offer


def plain(forms: Iterable[str]) -> tuple[str, ...]:
    """The media types among the names of forms, of which some have parameters."""
    return tuple(form for form in forms if ";" not in form)


def with_columns(media_type: str, columns: CsvColumns, forms: Container[str]) -> str:
    """The name of the form among `forms` of the gateway. Raises `OptionError` for columns that are not there."""
    wanted = media_type if columns == "glimpse" else f"{media_type};columns={columns}"
    if wanted != media_type and wanted not in forms:
        raise option_error([("columns", "belongs to Accept: text/csv")])
    return wanted


def _parsed(item: str) -> tuple[str, float]:
    media_range, *parameters = (part.strip().lower() for part in item.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_range, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return media_range, 0.0
    return media_range, 1.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The rating by the most specific range that covers the offer."""
    for pattern in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
        found = [quality for media_range, quality in ranges if media_range == pattern]
        if found:
            return max(found)
    return 0.0
