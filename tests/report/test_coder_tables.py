"""Events in the columns of coding sheets."""

import csv
import io

import pytest

from server.report.coder_tables import objective_class, table_csv
from server.report.export import events_csv
from server.types import ActionUnit
from tests.report.reports import event, report


def _rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_casme2_counts_frames_from_one():
    """Subject and file name are those of the path; frames 50, 60, 70 from 0 are 51, 61, 71."""
    assert _rows(table_csv([("corpus/sub01/EP02_01f.avi", report(event()))], "casme2")) == [
        {
            "Subject": "sub01",
            "Filename": "EP02_01f",
            "OnsetFrame": "51",
            "ApexFrame": "61",
            "OffsetFrame": "71",
            "Action Units": "L4+R12",
            "Estimated Emotion": "positive",
        }
    ]


def test_samm_has_duration_kind_and_objective_class():
    """Both ends count: frames 51 to 71 are 21; the inducement code is nobody's to know."""
    smile = event(
        kind="macro", abstained=True, action_units=(ActionUnit(6, 1, "both", 1), ActionUnit(12, 1, "both", 1))
    )
    [row] = _rows(table_csv(report(smile), "samm"))
    assert list(row) == [
        *("Subject", "Filename", "Inducement Code", "Onset Frame", "Apex Frame", "Offset Frame", "Duration", "Micro"),
        *("Objective Classes", "Action Units", "Estimated Emotion"),
    ]
    assert list(row.values()) == ["", "", "", "51", "61", "71", "21", "Macro", "I", "6+12", "withheld (positive)"]
    assert _rows(table_csv(report(event()), "samm"))[0]["Micro"] == "Micro - 1/2"


@pytest.mark.parametrize(
    ("units", "name"),
    [({12}, "I"), ({1, 2}, "II"), ({4}, "III"), ({9, 4}, "IV"), ({15, 17}, "V"), ({1, 2, 4}, "VI"), ({12, 14}, "VII")],
)
def test_objective_classes_follow_from_the_units(units, name):
    """As Davison, Merghani and Yap (2018) list them; without units there is no class."""
    assert objective_class(frozenset(units)) == name
    assert objective_class(frozenset()) == ""


@pytest.mark.parametrize("columns", ["glimpse", "casme2", "samm"])
def test_names_are_no_formulas(columns):
    """A file called like a formula gets an apostrophe, and no cell begins as one."""
    text = table_csv([("=cmd/-z.mp4", report(event(label="+1")))], columns)
    first = list(csv.reader(io.StringIO(text)))[1]
    assert not [cell for cell in first if cell.startswith(("=", "@", "-", "+"))]
    assert first[0].startswith("'=cmd")


def test_our_columns_are_the_default():
    """Nothing changes for whoever reads our table."""
    one = report(event())
    assert table_csv(one) == events_csv(one)
