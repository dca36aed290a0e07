"""Action units as coders write them."""

import pytest

from server.report.unit_notation import CodedUnit, parse_units, write_units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("12", [(12, "both", "")]),
        ("AU12", [(12, "both", "")]),
        ("au 12", [(12, "both", "")]),
        ("L12", [(12, "right", "")]),
        ("R4", [(4, "left", "")]),
        ("AUR4", [(4, "left", "")]),
        ("12A", [(12, "both", "A")]),
        ("L12e", [(12, "right", "E")]),
        ("6+12", [(6, "both", ""), (12, "both", "")]),
        (" L4 + R12 ", [(4, "right", ""), (12, "left", "")]),
        ("AU1, AU2; 5", [(1, "both", ""), (2, "both", ""), (5, "both", "")]),
        ("A14", [(14, "both", "")]),
        ("", []),
        ("/", []),
        ("none", []),
    ],
)
def test_notations_of_coders_are_read(text, units):
    """L and R are the person's sides, so that L is the right of the picture; a letter behind is the intensity."""
    assert parse_units(text) == tuple(CodedUnit(*unit) for unit in units)


@pytest.mark.parametrize("text", ["smile", "123", "0", "12F", "L", "4++x", "12-14", "AU", "1.5", "\u0661\u0662"])
def test_what_is_no_unit_is_refused_by_name(text):
    """Nothing is guessed: the part that cannot be read is in the message."""
    with pytest.raises(ValueError, match="is no action unit"):
        parse_units(text)


def test_units_are_written_by_number():
    """`L4+R12`, as CASME II and SAMM have it."""
    assert write_units([CodedUnit(12, "left"), CodedUnit(4, "right"), CodedUnit(6)]) == "L4+6+R12"
