"""Coding sheets and other tables of events."""

import io

import pytest
from openpyxl import Workbook

from server.annotation.tables import read_csv, read_xlsx
from server.annotation.types import AnnotationError, Reading

CASME2 = "Subject,Filename,,OnsetFrame,ApexFrame,OffsetFrame,,Action Units,Estimated Emotion\n"
SAMM_HEADER = [
    *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
    *("Objective Classes", "Action Units", "Estimated Emotion", "Notes"),
]


def _read(text, reading=None):
    return read_csv(text if isinstance(text, bytes) else text.encode(), "sheet.csv", reading or Reading())


def _excel(rows):
    book = Workbook()
    book.create_sheet("empty", 0)
    for row in rows:
        book["Sheet"].append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def test_a_coding_sheet_of_casme2_is_read_as_it_is():
    """Columns without a name, an apex that was not coded, frames from 1, units with sides."""
    [one, two] = _read(CASME2 + "1,EP02_01f,,46,59,86,,4+L10,happiness\n26,EP9,,1,/,5,,,others\n")
    [event] = one.events
    assert (one.name, one.unit) == ("1/EP02_01f", "frames")
    assert (event.onset, event.apex, event.offset, event.label) == (45, 58, 85, "happiness")
    assert [(unit.au, unit.side) for unit in event.action_units] == [(4, "both"), (10, "right")]
    assert (event.kind, event.track_id) == (None, None)
    assert (two.events[0].onset, two.events[0].apex, two.events[0].action_units) == (0, None, ())


def test_a_sheet_of_samm_is_read_from_excel():
    """Notes before the header, sheets without a table, numbers that Excel made of texts, rows without content."""
    row = ["006", "006_1_2", "1", 5562.0, 5573, 5632, 71, "Micro - 1/2", "VII", "R4", "Anger", None]
    [clip] = read_xlsx(_excel([["SAMM"], [], SAMM_HEADER, row, [None] * 12]), "SAMM.xlsx", Reading(first_frame=0))
    [event] = clip.events
    assert clip.name == "006/006_1_2"
    assert (event.onset, event.apex, event.offset, event.kind) == (5562, 5573, 5632, "micro")
    assert (event.label, event.action_units[0].side) == ("Anger", "left")


def test_excel_rows_are_named_as_excel_numbers_them():
    """The third row of the sheet is row 3."""
    bad = ["6", "a", "1", 9, 8, 12, 4, "Macro", "", "", "Anger", ""]
    with pytest.raises(AnnotationError, match=r"^s\.xlsx, row 3: the apex \(7\) lies outside"):
        read_xlsx(_excel([[], SAMM_HEADER, bad]), "s.xlsx", Reading())
    with pytest.raises(AnnotationError, match="no Excel file"):
        read_xlsx(b"PK\x03\x04 broken", "s.xlsx", Reading())


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1,a,,x,5,9,,4,", "onset 'x' is not the number of a frame"),
        ("1,a,,1,5,,,4,", "offset '' is not the number of a frame"),
        ("1,a,,1,5.5,9,,4,", "apex '5.5' is not the number of a frame"),
        ("1,a,,9,9,5,,4,", r"the offset \(4\) lies before the onset \(8\)"),
        ("1,a,,2,1,9,,4,", r"the apex \(0\) lies outside onset to offset"),
        ("1,a,,0,1,9,,4,", r"the onset \(-1\) lies before the first frame"),
        ("1,a,,1,5,9,,smile,", "'smile' is no action unit"),
        ("1,a,,nan,5,9,,4,", "onset 'nan'"),
        ("1,a", "onset '' is not the number of a frame"),
    ],
)
def test_a_bad_row_is_named(row, message):
    """File and row are said, and what is wrong there; nothing is left out in silence."""
    with pytest.raises(AnnotationError, match=rf"^sheet\.csv, row 3: {message}") as raised:
        _read(f"{CASME2}1,a,,1,5,9,,4,happiness\n{row}\n")
    assert raised.value.details == {"file": "sheet.csv", "place": "row 3"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_spreadsheets_of_any_country_are_read(delimiter, encoding):
    """Semicolons and tabs, with a mark of the encoding or without."""
    text = "Filename;OnsetFrame;ApexFrame;OffsetFrame;Estimated Emotion\nÄ;1;2;3;Überraschung\n"
    [clip] = _read(text.replace(";", delimiter).encode(encoding))
    assert (clip.name, clip.events[0].label) == ("Ä", "Überraschung")


def test_other_encodings_are_refused_by_row():
    """Latin-1 is not guessed: names of clips would be wrong."""
    with pytest.raises(AnnotationError, match=r"^sheet\.csv, row 2: the text is not UTF-8"):
        _read("Filename;OnsetFrame;OffsetFrame\nÄ;1;3\n".encode("latin-1"))
    with pytest.raises(AnnotationError, match="no text"):
        _read(b"Onset,Offset\0\n")


def test_a_file_without_the_columns_is_refused():
    """A table of something else, and nothing at all."""
    for text in ("a,b\n1,2\n", ""):
        with pytest.raises(AnnotationError, match="no row names the columns"):
            _read(text)


def test_a_cell_without_end_is_refused():
    """A quote that is never closed would make one cell of the rest of the file."""
    with pytest.raises(AnnotationError, match=r"row \d+: field larger"):
        _read('onset_s,offset_s\n"' + "x" * 200_000)


def test_a_hundred_thousand_rows_are_read():
    """Every row becomes an event of its clip."""
    rows = "".join(f"s{i % 50},c{i % 50},,{i + 1},{i + 3},{i + 9},,4+L12,others\n" for i in range(100_000))
    clips = _read(CASME2 + rows)
    assert len(clips) == 50
    assert sum(len(clip.events) for clip in clips) == 100_000
