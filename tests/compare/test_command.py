"""`glimpse compare` and the new forms of `glimpse analyze`, as a person uses them."""

import csv
import json

import pympi
import pytest

from server.cli import main
from server.report.export import as_dict
from tests.report.reports import event, report


@pytest.fixture
def glimpse(capsys):
    """Run a command: its exit status, stdout and stderr."""

    def run(*arguments):
        try:
            main([str(argument) for argument in arguments])
            status = 0
        except SystemExit as end:
            status = end.code or 0
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def machine(tmp_path):
    """A report of two events, one of which the coder has seen."""
    path = tmp_path / "machine.json"
    later = event(onset_s=4.0, apex_s=4.2, offset_s=4.4, onset_frame=200, apex_frame=210, offset_frame=220)
    path.write_text(json.dumps({"file": "a/film.mp4", **as_dict(report(event(), later))}))
    return path


@pytest.fixture
def human(tmp_path):
    """Frames 53 to 73 from 1 at 50 per second are 1.04 to 1.44 s: with 1.0 to 1.4 s, IoU 0.36/0.44."""
    path = tmp_path / "human.csv"
    path.write_text("Filename,OnsetFrame,ApexFrame,OffsetFrame,Action Units,Estimated Emotion\nfilm,53,61,73,12,joy\n")
    return path


def test_tables_are_for_people(glimpse, machine, human):
    """Every figure, and why those that are not defined are not; nothing but plain lines."""
    status, out, err = glimpse("compare", machine, human, "--map", "joy=positive")
    assert (status, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["all", "2", "1", "1", "0.500", "1.000", "0.667", "0.818", "-"] in [row[:9] for row in rows]
    assert ["onset", "1", "-40.0", "0.0"] in rows
    assert ["apex", "1", "0.0", "0.0"] in rows
    assert "kappa class is not defined: all matched events are of one class for both: positive" in out
    assert "\x1b" not in out


def test_json_is_for_programs(glimpse, machine, human):
    """The same figures with their full precision; what is not defined is null and says why."""
    status, out, _ = glimpse("compare", machine, human, "--json", "--iou", "0.9")
    found = json.loads(out)
    assert status == 0
    assert found["least_iou"] == 0.9
    assert found["pooled"]["spotting"] == {
        "matched": 0,
        "machine_only": 2,
        "human_only": 1,
        "precision": 0.0,
        "recall": 0.0,
        "f1": 0.0,
        "mean_iou": None,
    }
    assert found["pooled"]["class_kappa"]["undefined"] == "no matched events"
    assert found["clips"][0]["clip"] == "a/film.mp4"


def test_sheet_and_document_of_one_coding_compare_alike(glimpse, machine, human, tmp_path):
    """The same events as a CSV of frames and as a document of ELAN give the same figures."""
    document = pympi.Eaf(author="coder")
    document.add_tier("Expression")
    document.add_tier("AU")
    document.add_annotation("Expression", 1040, 1440, "joy")
    document.add_annotation("AU", 1040, 1440, "12")
    document.to_file(tmp_path / "human.eaf")
    tiers = ("--events-tier", "Expression", "--units-tier", "AU")
    _, sheet, _ = glimpse("compare", machine, human, "--json")
    _, elan, _ = glimpse("compare", machine, tmp_path / "human.eaf", "--json", *tiers)
    by_sheet, by_elan = json.loads(sheet)["pooled"], json.loads(elan)["pooled"]
    # The coder of the document marked no apexes.
    assert by_elan.pop("differences")["apex"]["matched"] == 0
    by_sheet.pop("differences")
    assert by_elan.pop("spotting")["mean_iou"] == pytest.approx(by_sheet.pop("spotting")["mean_iou"])
    assert by_elan == by_sheet


def test_both_are_drawn(glimpse, machine, human, tmp_path):
    """A PNG with one band for each of the three events."""
    import cv2

    status, _, _ = glimpse("compare", machine, human, "--map", "joy=positive", "--plot", tmp_path / "both.png")
    image = cv2.imread(str(tmp_path / "both.png")).astype(int)
    green = (image[..., 1] - image[..., 2] > 40) & (image[..., 1] - image[..., 0] > 30)
    # Of the legend and of bands; those of the machine lie above, of the human below.
    columns = green[60:].any(axis=1)
    assert (status, int((columns[1:] & ~columns[:-1]).sum())) == (0, 2)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--map", "joy"), 2, "--map joy is not OLD=NEW"),
        (("--kinds", "tiny"), 2, "--kinds is micro, macro or micro,macro"),
        (("--iou", "0"), 2, "--iou"),
        (("--events-tier", "X"), 0, ""),
    ],
)
def test_wrong_use_is_told(glimpse, machine, human, arguments, status, message):
    """Status 2 for the command; tiers do not concern a table."""
    found = glimpse("compare", machine, human, *arguments)
    assert found[0] == status
    assert message in " ".join(found[2].split())


def test_a_broken_row_is_one_line(glimpse, machine, human):
    """Status 1, with file and row, and no trace."""
    human.write_text(human.read_text() + "film,9,8,7,,\n")
    status, out, err = glimpse("compare", machine, human)
    assert (status, out) == (1, "")
    assert err == f"glimpse: {human}, row 3: the offset (6) lies before the onset (8)\n"


def test_analyze_writes_every_form(glimpse, gateway, tmp_path):
    """CSV in coders' columns, JSON Lines with the clip's path, and a document for ELAN that names the clip."""
    clip = tmp_path / "sub01" / "film.mp4"
    clip.parent.mkdir()
    clip.write_bytes(b"clip")
    asked = ("analyze", clip, "--url", gateway.url)
    _, out, _ = glimpse(*asked, "--csv", "--columns", "samm")
    [row] = csv.DictReader(out.splitlines())
    assert (row["Subject"], row["Filename"], row["Micro"]) == ("sub01", "film", "Micro - 1/2")
    _, out, _ = glimpse(*asked, "--jsonl", "--eaf", tmp_path / "film.eaf")
    assert json.loads(out)["path"] == str(clip)
    [medium] = pympi.Eaf(tmp_path / "film.eaf", suppress_version_warning=True).get_linked_files()
    assert medium["RELATIVE_MEDIA_URL"] == "./sub01/film.mp4"


def test_forms_that_exclude_each_other_are_refused(glimpse, tmp_path):
    """Status 2, before anything is analysed."""
    for arguments in (("--csv", "--jsonl"), ("--columns", "samm"), ("--eaf", tmp_path / "x.eaf", "two.mp4")):
        assert glimpse("analyze", "one.mp4", *arguments)[0] == 2
