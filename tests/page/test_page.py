"""The page as a whole: weight, words, keyboard, narrow screens, accessibility, in a real Chromium."""

from __future__ import annotations

import base64
import hashlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from server.api.rest.problems import explanations
from server.visuals import CandidateReason
from tests.end_to_end.conftest import Service

ROOT = Path(__file__).parents[2]
WEB = ROOT / "server" / "web"
WEIGHT_BYTES = 500_000
PHONE_PX, DESK_PX = 360, 1280
SAMPLE = re.compile(r"^positive [^6]*; 30 frames")
WIDER = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture(scope="module")
def answered(browser: Browser, site: Service) -> Iterator[Page]:
    """A page that has an answer; its tests leave the event closed and the theme as it was."""
    # Without transitions, so that axe sees colours as they stay. It sets styles of its own, which the policy forbids.
    context = browser.new_context(
        base_url=str(site.client.base_url),
        viewport={"width": DESK_PX, "height": 900},
        reduced_motion="reduce",
        bypass_csp=True,
    )
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto("/")
    page.get_by_role("button", name=SAMPLE).click()
    expect(page.locator(".headline")).to_be_visible()
    yield page
    context.close()


def violations(page):
    """What axe finds serious or critical: rule, and the elements."""
    found = Axe().run(page).response["violations"]
    return [
        (each["id"], [node["html"][:120] for node in each["nodes"]])
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def test_a_first_visit_weighs_less_than_half_a_megabyte(open_page):
    """All that the page may ever load of its own, samples aside, together with its markup."""
    page = open_page()
    page.wait_for_load_state("networkidle")
    loaded = page.evaluate("performance.getEntriesByType('resource').map(each => new URL(each.name).pathname)")
    assert "/web/app.js" in loaded
    whole = sum(path.stat().st_size for path in WEB.rglob("*") if path.is_file())
    assert whole < WEIGHT_BYTES


def test_every_code_has_a_sentence(open_page):
    """Problems, warnings and reasons that the service can give are known to the page; a code is never all there is."""
    manual = (ROOT / "docs" / "rest.md").read_text()
    table = manual[manual.index("| code | meaning |") :].partition("\n\n")[0]
    firsts = [line.split("|")[1] for line in table.splitlines() if line.startswith("|")]
    warnings = [code for cell in firsts for code in re.findall(r"`([a-z-]+)`", cell)]
    assert "speech" in warnings
    reasons = [reason for reason in get_args(CandidateReason) if reason]
    page = open_page()
    codes = [*explanations(), *warnings, *reasons]
    said = page.evaluate("codes => import('/web/words.js').then(words => codes.map(words.sentence))", codes)
    assert [code for code, words in zip(codes, said, strict=True) if words == code or not words.endswith(".")] == []


def test_an_event_opens_beside_its_table_and_gives_the_focus_back(answered):
    """From the table and from the timeline alike; Escape closes it."""
    button = answered.get_by_role("button", name="Open event 1")
    event = answered.locator("#event")
    button.click()
    expect(event.get_by_role("heading", level=2).first).to_be_visible()
    expect(answered.locator("#events tr.open")).to_have_count(1)
    answered.keyboard.press("Escape")
    expect(event).to_be_hidden()
    expect(button).to_be_focused()
    answered.locator(".band.micro .chip").click()
    expect(event.get_by_role("heading", level=2).first).to_be_visible()
    event.get_by_role("button", name="Close", exact=True).click()
    expect(event).to_be_hidden()
    expect(answered.locator("#events tr.open")).to_have_count(0)


def test_the_keyboard_alone_leads_from_the_start_to_an_event(open_page):
    """Skip link, sample, answer, event, and back, with the focus always where the reader is."""
    page = open_page()
    expect(page.locator("#sample-list button").first).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(8):
        page.keyboard.press("Tab")
        if SAMPLE.match(page.evaluate("document.activeElement.innerText").replace("\n", " ")):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".headline")).to_be_focused()
    page.keyboard.press("]")
    expect(page.get_by_role("button", name="Open event 1")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#event")).to_be_visible()
    assert page.evaluate("document.getElementById('event').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(page.locator("#event")).to_be_hidden()
    expect(page.get_by_role("button", name="Open event 1")).to_be_focused()


def test_tabs_are_one_stop_and_arrows_move_between_them(open_page):
    """As the pattern of tabs has it; a key opens the list of keys, and the keys can be switched off."""
    page = open_page()
    page.get_by_role("tab", name="Clip").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("tab", name="Models")).to_be_focused()
    expect(page.get_by_role("tabpanel", name="Models")).to_contain_text("glimpse_flow")
    expect(page.locator('[role="tab"][tabindex="-1"]')).to_have_count(2)
    page.keyboard.press("1")
    expect(page.get_by_role("tabpanel", name="Clip")).to_be_visible()
    page.keyboard.press("?")
    dialog = page.get_by_role("dialog", name="Keys")
    expect(dialog).to_contain_text("Next event")
    page.get_by_label("Keys of one letter work").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    expect(page.get_by_role("tabpanel", name="Clip")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_before_an_answer(open_page, scheme):
    """In the start with its options and a model's card, the list of models, the list of keys, and a refusal."""
    page = open_page(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    page.get_by_text("Options", exact=True).click()
    page.get_by_text("About this model").click()
    assert violations(page) == []
    page.locator("input#file").set_input_files({"name": "x.mp4", "mimeType": "video/mp4", "buffer": b"no video"})
    expect(page.get_by_role("alert").filter(has_text="not a video")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("tab", name="Models").click()
    page.locator("#models summary").first.click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert violations(page) == []


def test_axe_finds_nothing_serious_in_an_answer(answered):
    """With an event open, light and dark."""
    answered.get_by_role("button", name="Open event 1").click()
    expect(answered.locator("#event").get_by_role("heading", level=2).first).to_be_visible()
    for details in answered.locator("#result summary").all():
        details.click()
    for _ in range(2):
        answered.get_by_role("button", name="Dark").click()
        assert violations(answered) == []
    answered.keyboard.press("Escape")


def test_a_phone_never_scrolls_sideways(answered):
    """At a width of 360 px: the answer, an open event, and every tab."""
    answered.set_viewport_size({"width": PHONE_PX, "height": 740})
    answered.get_by_role("button", name="Open event 1").click()
    expect(answered.locator("#event").get_by_role("heading", level=2).first).to_be_visible()
    assert answered.evaluate(WIDER) == 0
    answered.keyboard.press("Escape")
    for tab in ("Models", "Clip"):
        answered.get_by_role("tab", name=tab).click()
        assert answered.evaluate(WIDER) == 0, tab
    expect(answered.locator(".lane canvas").first).to_be_visible()
    answered.set_viewport_size({"width": DESK_PX, "height": 900})


def test_the_chosen_theme_is_all_that_is_kept(open_page):
    """The next visit has it from its first paint on; a clip leaves nothing behind."""
    page = open_page(color_scheme="light")
    page.get_by_role("button", name="Dark").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    kept = page.evaluate(
        """async () => [{...localStorage}, {...sessionStorage}, document.cookie, await caches?.keys() ?? [],
                        (await indexedDB.databases()).length]"""
    )
    assert kept == [{"glimpse-theme": "dark"}, {}, "", [], 0]


def test_uplot_is_as_it_was_published():
    """The package has the integrity that docs/dependencies.md states, and the files that are shipped are its own."""
    package = Path(__file__).parent / "uplot-1.6.32.tgz"
    integrity = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
    assert f"`sha512-{integrity}`" in (ROOT / "docs" / "dependencies.md").read_text()
    sources = {"uPlot.LICENSE": "LICENSE", "uPlot.esm.js": "dist/uPlot.esm.js", "uPlot.min.css": "dist/uPlot.min.css"}
    assert {path.name for path in (WEB / "vendor").iterdir()} == set(sources)
    with tarfile.open(package) as published:
        for name, source in sources.items():
            assert (WEB / "vendor" / name).read_bytes() == published.extractfile(f"package/{source}").read(), name
