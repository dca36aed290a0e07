"""The event view draws what was measured and says what it means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

from server.faces.pair import AlignedSet
from server.faces.quality import grade
from server.flow.contraction import FULL_MOTION, MIRRORED
from server.pipeline.caveats import evidence_of
from server.types import Crop, FaceQuality, Interval
from tests.end_to_end.conftest import Service
from tests.page.conftest import until
from tests.page.event_reports import HALF, field, picture, pictures, report

ROOT = Path(__file__).parents[2]
WEB = ROOT / "server" / "web"
SHOW = """async ([report, model]) => {
  const { showEvent } = await import("/web/event.js");
  const strings = await import("/web/words.js");
  const section = document.querySelector("#event");
  section.hidden = false;
  window.shown?.close();
  window.shown = showEvent(section, { report, event: report.events[0], strings, model });
}"""
PIXEL = """(canvas, [x, y]) => {
  const data = canvas.getContext("2d").getImageData(x * canvas.width, y * canvas.height, 1, 1).data;
  return [data[0], data[1], data[2]];
}"""

Show = Callable[..., Page]


@pytest.fixture(scope="module")
def show(browser: Browser, site: Service) -> Iterator[Show]:
    """Shows the event of a report in one page, which asked for less motion, in place of the event before.

    Whatever the page throws fails the file at its end.
    """
    context = browser.new_context(base_url=str(site.client.base_url), reduced_motion="reduce")
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto("/")

    def shown(shown_report: dict[str, Any], model: dict[str, Any] | None = None) -> Page:
        page.evaluate(SHOW, [shown_report, model])
        return page

    yield shown
    context.close()
    assert wrong == []


def plate(page: Page, title: str) -> Locator:
    """The figure with this title, once it is drawn."""
    figure = page.locator("figure.event-plate", has=page.locator("strong", has_text=title))
    figure.scroll_into_view_if_needed()
    drawn = "c => c.getContext('2d').getImageData(9, 9, 1, 1).data[3] > 0"
    until(figure.locator("> canvas"), drawn)
    return figure


def pixel(canvas: Locator, x: float, y: float) -> list[int]:
    """Red, green and blue at a place in shares of width and height."""
    found: list[int] = canvas.evaluate(PIXEL, [x, y])
    return found


def colour(page: Page, name: str, *numbers: float) -> list[int]:
    """What one of the functions of colour.js says."""
    call = "async ([name, numbers]) => (await import('/web/colour.js'))[name](...numbers).map(Math.round)"
    found: list[int] = page.evaluate(call, [name, numbers])
    return found


def test_motion_has_the_hue_of_its_direction(show: Show) -> None:
    """Right is red, down yellow, left blue to cyan, up violet, all at full strength, and the scale is told in px."""
    flow = plate(show(report(pictures=pictures())), "Direction and length")
    canvas = flow.locator("> canvas")
    right, down, left, up = (pixel(canvas, x, y) for y in (0.2, 0.8) for x in (0.2, 0.8))
    assert right == [255, 0, 0]
    assert down == [255, 230, 0]
    assert left == [0, 209, 255]
    assert up == [88, 0, 255]
    assert "full colour: 2.0 px or more" in flow.inner_text()
    assert "The largest motion is 2.0 px (1.7 % of the distance between the eyes)" in (
        canvas.get_attribute("aria-label") or ""
    )


def test_arrows_point_where_the_skin_went(show: Show) -> None:
    """To the right of a point that moves right the arrow is drawn, to its left there is the face."""
    still = np.zeros((HALF, HALF))
    moved = still.copy()
    moved[59, 59] = 2.0
    arrows = plate(
        show(report(pictures=pictures(u=field(moved, 0.001), v=field(still, 0.001)))), "Arrows over the onset"
    )
    x = y = (59 + 0.5) / HALF
    beside = 4 / 256
    assert pixel(arrows.locator("> canvas"), x + beside, y) != [100, 100, 100]
    assert pixel(arrows.locator("> canvas"), x - 2 * beside, y) == [100, 100, 100]


def test_strain_has_the_colours_of_its_legend(show: Show) -> None:
    """The legend ends with the largest strain, whose colour is the last one; half of it has the middle one."""
    page = show(report(pictures=pictures()))
    strain = plate(page, "Optical strain")
    assert strain.locator(".event-ticks span").all_inner_texts() == ["0.00", "0.05", "0.10"]
    assert pixel(strain.locator("> canvas"), 0.8, 0.3) == colour(page, "heatColour", 1.0)
    assert pixel(strain.locator("> canvas"), 0.2, 0.3) == colour(page, "heatColour", 0.5)


def test_equal_steps_of_a_number_are_equal_steps_to_the_eye(show: Show) -> None:
    """Along both ramps neighbours are equally far apart in OKLab, and lightness falls all the way from white."""
    page = show(report())
    tabs = """async () => {
      const { heatColour, signedColour, oklab } = await import("/web/colour.js");
      const line = (of) => Array.from({ length: 17 }, (_, i) => oklab(of(i / 16)));
      return [line(heatColour), line(signedColour), line((x) => signedColour(-x))];
    }"""
    for line in np.array(page.evaluate(tabs)):
        steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
        assert steps.max() < 1.2 * steps.min()
        assert line[0] == pytest.approx([1, 0, 0], abs=0.001)
        assert (np.diff(line[:, 0]) < 0).all()


def test_differences_are_amplified_as_their_legend_says(show: Show) -> None:
    """Ten levels brighter are red; the factor changes colour and legend alike."""
    page = show(report(pictures=pictures()))
    difference = plate(page, "Difference")
    for factor in (2, 8):
        difference.get_by_label("Amplified").fill(str(factor))
        assert difference.locator(".event-ticks span").all_inner_texts() == [
            f"−{128 // factor}",
            "0",
            f"+{128 // factor}",
        ]
        red, green, blue = pixel(difference.locator("> canvas"), 0.3, 0.3)
        assert [red, green, blue] == colour(page, "signedColour", 10 * factor / 128)
        assert red > blue


def test_magnified_motion_is_the_picture_and_its_difference_times_the_factor(show: Show) -> None:
    """Factor 1 is the picture to the pixel, also where it has fine detail; factor 4 is three differences brighter."""
    noise = np.random.default_rng(1).integers(0, 255, (HALF, HALF), dtype=np.uint8)
    course = [picture(100, HALF), picture(noise, HALF), picture(110, HALF)]
    page = show(report(pictures=pictures(course=course)))
    stage = page.locator("canvas.event-stage")
    assert page.get_by_label("Motion shown").input_value() == "1"
    page.get_by_label("Picture of the movement").fill("1")
    levels = (
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data).filter((_, i) => i % 4 === 0)"
    )
    assert stage.evaluate(levels) == noise.ravel().tolist()
    page.get_by_label("Picture of the movement").fill("2")
    assert pixel(stage, 0.5, 0.5) == [110] * 3
    page.get_by_label("Motion shown").fill("4")
    assert pixel(stage, 0.5, 0.5) == [140] * 3


def test_units_pull_as_they_are_measured(show: Show) -> None:
    """Points and directions of the drawing are among those by which intensities are measured, for every unit, and each
    has words.
    """
    page = show(report())
    facs = page.evaluate("import('/web/facs.js').then(({ PULLS, TWINS, WORK }) => ({ PULLS, TWINS, WORK }))")
    for unit, motion in FULL_MOTION.items():
        drawn = [tuple(pull) for pull in facs["PULLS"][str(unit)]]
        assert drawn
        assert set(drawn) <= set(motion), unit
        assert facs["WORK"][str(unit)]
    assert {int(left): right for left, right in facs["TWINS"].items()}.items() <= dict(MIRRORED).items()


def test_units_are_told_in_words(show: Show) -> None:
    """The drawing and the table give name, side, share of full motion and score."""
    page = show(report())
    said = "AU 12, lip corner puller, both sides, 38 % of its full motion, score 0.88"
    assert page.get_by_role("img", name=said).count() == 1
    row = page.locator(".event-units tbody tr").inner_text()
    assert all(part in row for part in ("AU 12", "lip corner puller", "both sides", "38 %", "0.88"))
    marks = page.locator(".event-unit-mark text")
    assert marks.all_text_contents() == ["AU 12", "AU 12"]


def _reasons() -> set[str]:
    """Every reason that the evidence of an event can have."""
    bad = FaceQuality(iod_px=20, sharpness=1, yaw_deg=40, pitch_deg=-40, roll_deg=0, inside=0.5)
    crop = Crop(np.zeros((1, 1), np.float32), 0.0, np.eye(2, 3))
    aligned = AlignedSet(crop, (), np.zeros((468, 2), np.float32), (1.0,), bad)
    weak = Interval("micro", 0, 1, 2, 0.0, 0.1, 0.2, 0.01, 0.0, ())
    moved = evidence_of(aligned, 10.0, still=False, interval=weak).reasons
    return {*moved, *evidence_of(aligned, 10.0, still=True).reasons, *grade(bad, 10.0).reasons}


def test_every_reason_of_poor_evidence_comes_with_advice(show: Show) -> None:
    """A reason is told as a sentence, and another one says what to do about it."""
    reasons = sorted(_reasons())
    assert len(reasons) == 9
    page = show(report(evidence={"grade": "poor", "reasons": reasons}))
    told = page.locator(".event-evidence li").all_inner_texts()
    for reason, words in zip(reasons, told, strict=True):
        assert words.startswith(f"{reason[0].upper()}{reason[1:]}. ")
        assert words.endswith(".")
        assert len(words) > len(reason) + 10


def test_why_no_class_is_given_is_said(show: Show, site: Service) -> None:
    """Too low a score, with the model's limit and its measured calibration where they are known, or no movement."""
    scores = {"negative": 0.42, "positive": 0.3, "surprise": 0.28}
    low = {"abstained": True, "confidence": 0.42, "probabilities": scores, "label": "negative"}
    page = show(report(**low), site.client.get("/v1/models/glimpse_flow").json())
    view = page.locator(".event-view")
    assert "no class given" in view.locator("h2").inner_text()
    assert "the highest score, 0.42, is below the 0.50 that this model asks for" in view.inner_text()
    assert view.locator(".event-answer i").count() == 3
    assert "On 309 labelled samples" in view.inner_text()
    show(report(**low))
    assert "the highest score, 0.42, is below what this model asks for" in view.inner_text()
    show(report(abstained=True, evidence={"grade": "poor", "reasons": ["nothing moved between onset and apex"]}))
    assert "nothing moved between onset and apex. The first choice" in view.inner_text()


def test_what_drove_the_class_is_said_in_a_sentence(show: Show) -> None:
    """The strongest regions are named once, with what is lost without them; that nothing decides is said as well."""
    regions = [
        {"name": "mouth_corner", "side": "both", "drop": 0.6},
        {"name": "mouth_corner", "side": "left", "drop": 0.3},
        {"name": "lips", "side": "both", "drop": 0.1},
        {"name": "brow", "side": "both", "drop": -0.05},
        {"name": "chin", "side": "both", "drop": 0.001},
    ]
    units = [{"name": "AU12", "side": "both", "drop": 0.5}]
    found = {"method": "occlusion", "label": "positive", "probability": 0.9, "regions": regions, "action_units": units}
    maps = {"map": field(np.linspace(-0.2, 0.4, 256).reshape(16, 16), 0.001, 16), "attention": None}
    page = show(report(pictures=pictures(), explanation={**found, **maps}))
    why = page.locator(".event-explanation")
    assert why.locator("> p").first.inner_text() == (
        "“positive” has a score of 0.90, which rests most on: mouth corner, both sides (0.60 lost when hidden); "
        "lips (0.10 lost when hidden). Of the action units, AU 12, lip corner puller counts most (0.50)."
    )
    assert why.locator("li .event-number").all_inner_texts() == ["−0.60", "−0.10", "+0.05", "−0.50"]
    assert "Less than 0.005: chin." in why.inner_text()
    assert plate(page, "What the class rests on").locator(".event-ticks span").all_inner_texts() == [
        "−0.40",
        "0",
        "+0.40",
    ]
    little = [{"name": "lips", "side": "both", "drop": 0.01}]
    show(report(explanation={**found, "regions": little, "action_units": [], "map": None, "attention": None}))
    assert "no single region decides" in why.inner_text()


def test_a_report_without_extras_says_so_and_shows_the_rest(show: Show) -> None:
    """Class, times and action units need neither pictures nor an explanation."""
    view = show(report()).locator(".event-view")
    text = view.inner_text()
    assert "holds no pictures" in text
    assert "holds no explanation" in text
    assert "200 ms" in text
    assert view.locator("svg.event-face path").count() == 1
    assert view.locator("canvas").count() == 0


def test_pictures_of_another_size_than_stated_are_refused(show: Show) -> None:
    """A report that was cut off is a RangeError, not a picture of something else."""
    cut = {**picture(100, HALF), "width": 2 * HALF}
    with pytest.raises(Exception, match="RangeError: 16384 bytes where 32768 belong"):
        show(report(pictures=pictures(onset=cut)))


def test_an_event_of_a_sample_is_opened_read_and_closed_by_keyboard(open_page: Any) -> None:
    """The view of a real event, light and dark, wide and narrow: the focus goes in and comes back, the loop obeys keys,
    numbers name the mouth, nothing scrolls sideways, and axe finds nothing serious.
    """
    page = open_page("/", viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.set_input_files("#file", ROOT / "samples" / "positive_200fps.mp4")
    opener = page.get_by_role("button", name="Open event 1").first
    opener.focus()
    page.keyboard.press("Enter")
    title = page.locator(".event-view h2")
    title.wait_for()
    assert title.evaluate("node => node === document.activeElement")
    assert title.inner_text() == "Micro-expression: positive"
    assert "mouth corner" in page.locator(".event-motion > p").inner_text()

    track = page.get_by_label("Picture of the movement")
    track.focus()
    page.keyboard.press("ArrowRight")
    assert "picture 2 of" in (track.get_attribute("aria-valuetext") or "")
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="Pause").count() >= 1
    until(track, "node => node.valueAsNumber !== 1")
    page.keyboard.press("Space")

    labels = page.locator(".event-view canvas[role=img]").evaluate_all("all => all.map((c) => c.ariaLabel)")
    assert len(labels) == 9
    assert [label for label in labels if not re.search(r"\d", label)] == []
    assert open_page.wrong == []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found = Axe().run(page, context="#event").response["violations"]
        assert [
            (each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")
        ] == []
    # What axe itself does to the page is against the page's policy.
    open_page.wrong.clear()
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    title.focus()
    page.keyboard.press("Escape")
    assert page.locator(".event-view").count() == 0
    assert opener.evaluate("node => node === document.activeElement")


def test_the_view_stays_light() -> None:
    """Its modules weigh less than 60 kB as they are sent."""
    modules = [*WEB.glob("event*.js"), *WEB.glob("face_*.js"), WEB / "facs.js", WEB / "colour.js"]
    own = [path for path in modules if path.name != "event_stream.js"]
    assert len(own) > 10
    assert sum(path.stat().st_size for path in own) < 60_000
