"""Reports drawn: what the pictures look like, what they say, and what is refused."""

import json
import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from server.errors import InputError
from server.report.render.documents import report_pdf, report_png, report_svg
from server.report.render.flow_colours import flow_colours
from server.report.render.style import plain
from server.types import ReportWarning
from server.visuals import Field, Picture
from tests.report import made

STATES = made.states()
LOOKS = json.loads(made.LOOKS.read_text(encoding="utf-8"))
_TOLERANCE = 0.003
"""Mean difference of two looks: another version of the font moves a line; another colour or a missing panel is more."""
SVG = "{http://www.w3.org/2000/svg}"


def difference(png: bytes, name: str) -> float:
    wanted = np.frombuffer(bytes.fromhex(LOOKS[name]), np.uint8).reshape(32, 32) / 255
    return float(np.abs(made.look(png) - wanted).mean())


def texts(report, **threshold) -> list[str]:
    root = ET.fromstring(report_svg(report, **threshold))
    return ["".join(node.itertext()) for node in root.iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def drawn():
    """Each state as PNG."""
    return {name: report_png(STATES[name], threshold=0.5) for name in LOOKS}


@pytest.mark.parametrize("name", list(LOOKS))
def test_each_state_looks_as_it_did(drawn, name):
    """No event; one; two faces, of which one has no pictures; macro and withheld (`python -m tests.report.made`)."""
    assert difference(drawn[name], name) < _TOLERANCE


def test_a_wrong_picture_is_told_apart(drawn):
    """The comparison would see a map that is gone, and another flow."""
    event = STATES["one"].events[0]
    wrong = (
        replace(event, explanation=None),
        replace(event, pictures=replace(event.pictures, u=made.field(np.full((128, 128), 2.0)))),
    )
    for each in wrong:
        assert difference(report_png(replace(STATES["one"], events=[each]), threshold=0.5), "one") > _TOLERANCE
    assert difference(drawn["several"], "one") > _TOLERANCE


@pytest.mark.parametrize("draw", [report_png, report_svg, report_pdf])
def test_the_same_report_gives_the_same_bytes(draw):
    """No date, no random name of an element."""
    assert draw(STATES["bare"]) == draw(STATES["bare"])


def test_words_of_a_drawing_are_text():
    """An SVG can be searched: class, times, units, evidence, model, threshold, warnings."""
    warned = replace(STATES["one"], warnings=[ReportWarning("clip-short", "the clip lasts 0.10 s")])
    said = " ".join(texts(warned, threshold=0.5))
    for words in (
        "Event 1 of 1: positive 93%",
        "onset 0.892 s (frame 27), apex 1.072 s (frame 32), offset 1.267 s (frame 38), duration 375 ms",
        "AU 12 lip corner puller, both sides: 38% of its full",
        "the frame rate is low",
        "glimpse_flow version 1",
        "dashed: below 50% it abstains",
        "clip-short: the clip lasts 0.10 s",
        "blink",
    ):
        assert words in said


def test_what_is_withheld_is_said_with_its_reason():
    """The label is named, as one that should not be used."""
    said = " ".join(texts(STATES["withheld"], threshold=0.5))
    assert "withheld (41%)" in said
    assert "nothing moved between onset and apex" in said
    assert "asks for at least 50%" in said


def test_without_pictures_the_sheet_says_so():
    """Class, units and evidence are still there."""
    said = " ".join(texts(STATES["bare"]))
    assert "no pictures of the event" in said
    assert "AU 12 lip corner puller" in said


def test_labels_of_strangers_are_only_text():
    """Dollars and backslashes are no formula; what no reader of XML takes, and what the font lacks, is replaced."""
    said = texts(STATES["strange"])
    assert any("a_label_that_is_very_lo…" in text for text in said)
    assert plain("$x^2$ \\frac{1}{0}") == "$x^2$ \\frac{1}{0}"
    assert plain("a\x00b\u202ec\n d") == "a\ufffdb\ufffdc d"
    assert len(plain("x" * 1000)) == 80
    formula = replace(STATES["bare"].events[0], label=r"$\frac{$")
    assert any(r"$\frac{$" in text for text in texts(replace(STATES["bare"], events=[formula])))


def test_a_document_has_a_page_for_the_timeline_and_each_event():
    """In a picture, events beyond those that have a sheet are told of."""
    bare = STATES["bare"].events[0]

    def pages(report) -> int:
        return len(re.findall(rb"/Type /Page\b", report_pdf(report)))

    assert pages(replace(STATES["bare"], events=[bare] * 3)) == 4
    assert "further events have no sheet here" in " ".join(texts(replace(STATES["bare"], events=[bare] * 30)))


def test_colour_bars_are_shapes():
    """As pictures they would each keep a drawing of the whole page in memory until the last page is done."""
    document = report_pdf(STATES["one"])
    sides = [int(side) for side in re.findall(rb"/(?:Height|Width) (\d+)", document)]
    assert sides
    assert min(sides) > 50


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("onset", Picture(256, 256, "AAAA")),
        ("onset", Picture(2, 2, "!!!!!!==")),
        ("onset", Picture(2, 2, "AAAA!A==")),
        ("apex", Picture(100_000, 100_000, "AAAA")),
        ("apex", Picture(0, 4, "")),
        ("apex", Picture(-2, -2, "AAAAAA==")),
        ("apex", Picture(2, 2, "AAAAAA==")),
        ("onset", Picture(2, 2, "AAAAAA==")),
        ("u", Field(1, 1, 1.0, "AAA=")),
        ("v", Field(1, 1, 1.0, "AAA=")),
        ("u", Field(1, 1, 0.0, "AAA=")),
        ("u", Field(1, 1, float("nan"), "AAA=")),
        ("strain", Field(1, 2, 1.0, "AAA=")),
    ],
)
def test_pictures_that_do_not_fit_are_refused(name, wrong):
    """Sizes, lengths and scales are checked, and the refusal says of which picture."""
    event = STATES["one"].events[0]
    with pytest.raises(InputError, match=name):
        report_png(replace(STATES["one"], events=[replace(event, pictures=replace(event.pictures, **{name: wrong}))]))


def test_pictures_of_another_size_are_drawn():
    """A field of one number is a field."""
    event = STATES["one"].events[0]
    one = Field(1, 1, 1e-3, "AAA=")
    small = replace(
        event.pictures, onset=Picture(2, 2, "AAAAAA=="), apex=Picture(2, 2, "AAAAAA=="), u=one, v=one, strain=one
    )
    assert report_png(replace(STATES["one"], events=[replace(event, pictures=small)])).startswith(b"\x89PNG")


def test_flow_has_the_colours_of_the_wheel():
    """At rest white; to the right red, to the left cyan, down yellow-green, up blue-violet; darker beyond full size."""
    u = np.array([[0, 1, -1, 0, 0, 2]], np.float32)
    v = np.array([[0, 0, 0, 1, -1, 0]], np.float32)
    rest, right, left, down, up, beyond = flow_colours(u, v, 1.0)[0].astype(int)
    assert rest.tolist() == [255, 255, 255]
    assert right[0] > 240 > 60 > max(right[1:])
    assert min(left[1:]) > 150 > left[0]
    assert min(down[:2]) > 150
    assert down[2] < 60
    assert up[2] > 240 > 180 > up[1]
    assert beyond.max() < right.max()
