"""A clip on the page: from the file to the answer, in a real Chromium against a real service."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from server.errors import Overloaded
from tests.callers import Keys
from tests.end_to_end.conftest import SAMPLES, decode, encode

# Those of 60 frames a second differ in nothing that the page shows; the service answers them in test_verdicts.py.
NAMES = sorted(path.stem for path in SAMPLES.glob("*.mp4") if "60fps" not in path.stem)
SHORT = "positive"
FACE = """async () => {
  const context = document.querySelector('.aligned canvas').getContext('2d');
  const drawn = () => context.getImageData(128, 128, 1, 1).data[3] === 255;
  while (!drawn()) await new Promise(requestAnimationFrame);
  return Array.from(context.getImageData(0, 0, 256, 256).data);
}"""
"""Pixels of the level face, once it is drawn."""


def choose(page, name, content=None):
    """Give the page a file, as its chooser would."""
    file = SAMPLES / name if content is None else {"name": name, "mimeType": "video/mp4", "buffer": content}
    page.get_by_label("Clip", exact=True).and_(page.locator("input")).set_input_files(file)


def headline(page):
    """Waits for the answer; its headline."""
    return page.locator("#result .headline")


def rows(page):
    """The table of events: a list of cells by the names of their columns, for each row."""
    heads = page.locator("#events thead th").all_inner_texts()
    return [
        dict(zip(heads, row.locator("th, td").all_inner_texts(), strict=True))
        for row in page.locator("#events tbody tr").all()
    ]


def refused(open_page, status):
    """Take the browser's own words about a refusal out of what may not be: the page is to say it as well."""
    told = [text for text in open_page.wrong if f"status of {status}" in text]
    assert told
    open_page.wrong[:] = [text for text in open_page.wrong if text not in told]


def test_samples_get_the_events_that_they_show(open_page):
    """One after the other on one page: class, kind and times as the clip was made, and a headline that counts them."""
    page = open_page()
    for name in NAMES:
        truth = json.loads((SAMPLES / f"{name}.json").read_text())["events"]
        choose(page, f"{name}.mp4")
        expect(headline(page)).to_be_visible()
        found = rows(page)
        assert [row["Looks like"] for row in found] == [event["label"] for event in truth], name
        for row, event in zip(found, truth, strict=True):
            assert row["Event"].lower().startswith(event["kind"]), name
            assert abs(float(row["Apex"].removesuffix(" s")) - event["apex_s"]) < 0.15, name
        said = headline(page).inner_text()
        if not truth:
            assert said == "No expression found"
        elif len(truth) == 1:
            assert re.fullmatch(rf"One micro-expression: {truth[0]['label']}, [\d.]+ to [\d.]+ s, \w+ sure", said)
        else:
            assert said == "Five micro-expressions and one macro-expression"
        page.get_by_role("button", name="Another clip").click()
        expect(page.locator("#result")).to_be_hidden()


def test_the_answer_shows_the_clip_the_face_and_what_moved(open_page):
    """The level face is drawn from the video, lanes have lines and a band for the event, and both follow the player."""
    page = open_page()
    page.get_by_role("button", name=re.compile(f"^{SHORT} [^6]*30 frames")).click()
    expect(headline(page)).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="One micro-expression")).to_be_attached()
    page.keyboard.press("]")
    expect(page.get_by_role("button", name="Open event 1")).to_be_focused()
    expect(page.locator(".clock")).to_contain_text("1.0")
    gray = np.array(page.evaluate(FACE), np.uint8).reshape(256, 256, 4)[..., :3].mean(2)
    # Eyes are darker than the cheeks below them.
    assert gray[88:104, 60:82].mean() + 15 < gray[140:156, 60:82].mean()
    band = page.locator(".band.micro")
    expect(band).to_have_accessible_name(re.compile("Open positive, micro-expression"))
    head = page.locator(".playhead").bounding_box()
    box = band.bounding_box()
    assert box["x"] - 2 <= head["x"] <= box["x"] + box["width"] + 2
    before = page.locator(".clock").inner_text()
    page.get_by_role("button", name="Picture on").click()
    expect(page.locator(".clock")).not_to_have_text(before)
    page.get_by_role("button", name="Zoom in").click()
    assert band.bounding_box()["width"] > 1.5 * box["width"]
    page.get_by_role("button", name="Whole clip").click()
    page.get_by_role("button", name="Brows").click()
    expect(page.get_by_role("button", name="Brows")).to_have_attribute("aria-pressed", "false")
    page.get_by_label("each region by itself").check()
    expect(page.locator(".lane canvas")).to_have_count(1)


def test_json_is_saved_as_the_service_sent_it(open_page):
    """With the pictures that the page asked for."""
    page = open_page()
    choose(page, f"{SHORT}.mp4")
    expect(headline(page)).to_be_visible()
    with page.expect_download() as begun:
        page.get_by_role("button", name="JSON", exact=True).click()
    report = json.loads(Path(begun.value.path()).read_text())
    assert begun.value.suggested_filename == f"{SHORT}.json"
    assert report["events"][0]["label"] == "positive"
    assert report["events"][0]["pictures"]["onset"]["width"] == 256
    assert len(report["signals"]) == 1


def test_movements_that_are_no_events_are_told_with_their_reason(open_page):
    """A blink is one."""
    page = open_page()
    choose(page, "neutral_blink.mp4")
    expect(headline(page)).to_have_text("No expression found")
    page.get_by_text("looked at and not reported").last.click()
    expect(page.locator("#candidates")).to_contain_text("The eyelids moved as in a blink.")


def test_another_model_answers_where_it_is_chosen(open_page):
    """The picker shows its card in words, with its figures and their protocol."""
    page = open_page()
    page.get_by_text("Options", exact=True).click()
    page.get_by_label("Model", exact=True).select_option("htnet")
    page.get_by_text("About this model").click()
    card = page.locator("#model-card-body")
    expect(card).to_contain_text("none of which it was trained on")
    expect(card).to_contain_text("0.771")
    expect(card).to_contain_text("Limits")
    page.get_by_label("macro-expressions (longer)").uncheck()
    choose(page, f"{SHORT}.mp4")
    expect(page.locator("#result")).to_contain_text("Model: htnet, version 1")


def still(seconds=1.0):
    """A clip in which there is nothing but gray."""
    return encode([np.full((240, 320, 3), 128, np.uint8)] * int(25 * seconds), 25)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("notes.mp4", lambda: b"These are notes, not a video.\n" * 40, "This is not a video that can be read"),
        ("empty.mp4", lambda: b"", "The file is empty"),
        ("gray.mp4", still, "No face was found in any picture"),
    ],
)
def test_a_clip_that_cannot_be_answered_is_refused_in_a_sentence(open_page, name, content, sentence):
    """It says what to do, with the words of the service and the number of the request; another clip can be chosen."""
    page = open_page()
    choose(page, name, content())
    problem = page.get_by_role("alert").filter(has_text=sentence)
    expect(problem).to_be_visible()
    expect(problem).to_contain_text("Number of the request")
    expect(page.get_by_role("button", name="Choose a file")).to_be_focused()


def test_a_clip_that_is_too_large_is_refused_in_a_sentence(open_page, start):
    """Also where its bytes are still on their way."""
    page = open_page(base=start(limits={"upload_bytes": 65536}).url)
    choose(page, "large.mp4", bytes(4 * 2**20))
    problem = page.get_by_role("alert").filter(has_text="larger than this service takes")
    expect(problem).to_contain_text("65536")
    refused(open_page, 413)


def test_a_busy_service_can_be_asked_again(open_page, start):
    """One button sends the same clip once more."""
    service = start()
    page = open_page(base=service.url)
    expect(page.get_by_label("Model", exact=True).locator("option")).to_have_count(2)
    service.analyzer.error = Overloaded("too many wait", retry_after_s=7)
    choose(page, f"{SHORT}.mp4")
    problem = page.get_by_role("alert").filter(has_text="The service is busy")
    expect(problem).to_contain_text("wait 7 seconds")
    service.analyzer.error = None
    page.get_by_role("button", name="Try again").click()
    expect(headline(page)).to_contain_text("One micro-expression")
    assert [len(call["data"]) for call in service.analyzer.calls] == 2 * [(SAMPLES / f"{SHORT}.mp4").stat().st_size]


def test_an_analysis_can_be_cancelled(open_page, start, fake_analyzer):
    """The service stops, and the page is ready for another clip."""
    service = start(fake_analyzer(held=True))
    page = open_page(base=service.url)
    choose(page, f"{SHORT}.mp4")
    assert service.analyzer.started.acquire(timeout=20)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("alert").filter(has_text="kept nothing")).to_be_visible()
    assert service.analyzer.cancelled.wait(20)


def test_a_key_is_asked_for_where_the_service_wants_one(open_page, start, tmp_path):
    """It is sent as a bearer token, is remembered by nothing but the page, and the clip goes on by itself."""
    keys = Keys(tmp_path / "keys.json")
    key = keys.make("lab", "analyze", "models")
    page = open_page(base=start(access=keys.settings).url)
    form = page.locator("#key-form")
    expect(form).to_be_visible()
    choose(page, f"{SHORT}.mp4")
    page.get_by_label("Key", exact=True).fill("glimpse_wrong")
    page.get_by_role("button", name="Use this key").click()
    expect(form).to_contain_text("does not hold")
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Use this key").click()
    expect(headline(page)).to_be_visible()
    assert page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])") == '[{},{},""]'
    refused(open_page, 401)


def test_a_service_that_is_gone_is_said_to_be(open_page):
    """Nothing is promised of it."""
    page = open_page()
    page.context.set_offline(True)
    choose(page, f"{SHORT}.mp4")
    expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    open_page.wrong[:] = [text for text in open_page.wrong if "ERR_INTERNET_DISCONNECTED" not in text]


def test_a_video_that_the_browser_cannot_play_is_analysed_all_the_same(open_page):
    """The face comes from the report then."""
    frames = decode(SAMPLES / f"{SHORT}.mp4")
    page = open_page()
    choose(page, "motion.avi", encode(frames, 30, codec="mjpeg", container="avi"))
    expect(headline(page)).to_contain_text("positive")
    expect(page.get_by_text("cannot play this kind of video")).to_be_visible()
    page.keyboard.press("]")
    expect(page.locator(".aligned figcaption")).to_contain_text("from the report")
