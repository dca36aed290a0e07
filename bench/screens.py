"""Pictures of the page in each of its states: `python -m bench.screens` (docs/screens/NAME.png).

Starts the service and drives the page in a real Chromium by what it says to people: labels, roles and names. Prints
each file with its size. `--only NAME` makes one of them.
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from bench.live_service import service

SAMPLES = Path("samples")
FOLDER = Path("docs/screens")
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 120_000
HALF_PALETTES = (128, 96, 64, 48, 32)
MOST_BYTES = 190_000
FADES_MS = 1_000
STILL = """async () => {
  for (const video of document.querySelectorAll("video")) {
    while (video.readyState < 3 || video.seeking) await new Promise(requestAnimationFrame);
  }
}"""
WIDE = (1280, 860)
TALL = (1280, 1460)
PHONE = (360, 780)


@dataclass(frozen=True)
class Screen:
    """One picture: how the page comes to show it, and the window, in px."""

    act: Callable[[Page], Locator | None]
    """Brings the page there. Where it gives an element, that is what is shown from the top on."""
    size: tuple[int, int] = WIDE
    dark: bool = False


def upload(page: Page, name: str, data: bytes) -> None:
    """Give the page a clip, as if it had been chosen."""
    with page.expect_file_chooser() as asked:
        page.get_by_role("button", name="Choose a file").click()
    asked.value.set_files({"name": name, "mimeType": "video/mp4", "buffer": data})


def sample(page: Page, name: str) -> None:
    """Give the page a sample's clip."""
    upload(page, f"{name}.mp4", (SAMPLES / f"{name}.mp4").read_bytes())


def headline(page: Page) -> Locator:
    """The answer, once it is there."""
    found = page.get_by_role("heading", name=re.compile(r"expression", re.IGNORECASE), level=2).first
    found.wait_for()
    return found


def empty(page: Page) -> None:
    """Nothing asked yet."""
    page.get_by_role("listitem").first.wait_for()


def working(page: Page) -> None:
    """A clip is looked at."""
    sample(page, "interview")
    page.get_by_role("button", name="Cancel").wait_for()
    page.get_by_role("progressbar").first.wait_for()


def result(page: Page) -> Locator:
    """Six events of one face; the clip is at the height of the second one."""
    sample(page, "interview")
    headline(page)
    page.keyboard.press("]")
    page.keyboard.press("]")
    return page.get_by_role("banner")


def table(page: Page) -> Locator:
    """The same, further down: events, movements that were none, files to keep."""
    result(page)
    page.get_by_text(re.compile("movements? looked at and not reported$")).click()
    return page.get_by_role("heading", name="Events")


def event(page: Page) -> Locator:
    """One event, opened."""
    sample(page, "positive_200fps")
    headline(page)
    page.get_by_role("button", name=re.compile("^Open event 1")).first.click()
    opened = page.get_by_role("region", name="One event")
    opened.get_by_role("button", name="Close").wait_for()
    return opened


def flow(page: Page) -> Locator:
    """The same event, further down: flow, strain, action units."""
    event(page)
    return page.get_by_role("heading", name=re.compile("^Motion from onset"))


def no_event(page: Page) -> None:
    """A face that blinks and shows no expression."""
    sample(page, "neutral_blink")
    headline(page)


def error(page: Page) -> None:
    """A file that is no video."""
    upload(page, "notes.mp4", b"These are notes, not a video.")
    page.get_by_role("alert").get_by_role("heading").wait_for()


def faces(page: Page) -> Locator:
    """Two people in one picture."""
    page.get_by_text("Options", exact=True).first.click()
    page.get_by_label("Faces", exact=True).first.select_option("all")
    upload(page, "two.mp4", side_by_side("positive", "surprise"))
    headline(page)
    return page.get_by_role("heading", name=re.compile("Motion|Timeline")).first


def models(page: Page) -> None:
    """What a model was trained on, and how good it is."""
    page.get_by_role("tab", name="Models").click()
    page.get_by_role("tabpanel", name="Models").get_by_text(re.compile("^glimpse_flow")).first.click()


def live(page: Page) -> None:
    """A sample played as if it were a camera."""
    page.get_by_role("tab", name="Live").click()
    panel = page.get_by_role("tabpanel", name="Live")
    panel.get_by_role("radio", name=re.compile("sample")).check()
    panel.get_by_label("Sample", exact=True).select_option("interview.mp4")
    panel.get_by_role("button", name="Play the sample").click()
    panel.get_by_role("list", name=re.compile("Movements")).get_by_text(
        re.compile("positive|surprise")
    ).first.wait_for()


SCREENS = {
    "empty": Screen(empty),
    "working": Screen(working),
    "page": Screen(result, size=TALL),
    "dark": Screen(result, size=TALL, dark=True),
    "table": Screen(table),
    "event": Screen(event, size=(1280, 1200)),
    "event-dark": Screen(event, size=(1280, 1200), dark=True),
    "flow": Screen(flow, size=(1280, 1200)),
    "no-event": Screen(no_event),
    "error": Screen(error, size=(1280, 640)),
    "faces": Screen(faces),
    "models": Screen(models),
    "live": Screen(live),
    "phone": Screen(result, size=PHONE),
    "phone-event": Screen(event, size=PHONE),
}


def side_by_side(left: str, right: str) -> bytes:
    """Two samples of one frame rate beside each other, as MP4, as long as the shorter one."""
    clips = []
    for name in (left, right):
        with av.open(str(SAMPLES / f"{name}.mp4")) as source:
            clips.append([frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)])
            rate = source.streams.video[0].average_rate
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as target:
        stream = target.add_stream("libx264", rate=rate)
        stream.options = {"crf": "16"}
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = clips[0][0].shape[0], clips[0][0].shape[1] + clips[1][0].shape[1]
        for pair in zip(*clips, strict=False):
            target.mux(stream.encode(av.VideoFrame.from_ndarray(np.concatenate(pair, axis=1), format="rgb24")))
        target.mux(stream.encode(None))
    return out.getvalue()


def taken(browser: Browser, address: str, screen: Screen) -> bytes:
    """The picture, PNG."""
    width, height = screen.size
    context = browser.new_context(
        base_url=address, viewport={"width": width, "height": height}, reduced_motion="reduce",
        color_scheme="dark" if screen.dark else "light",
    )  # fmt: skip
    try:
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto("/")
        if shown := screen.act(page):
            shown.evaluate("element => scrollBy(0, element.getBoundingClientRect().top - 12)")
        # Pictures of the clip are there after the words.
        # Not `wait_for_function`, which the page's security policy forbids.
        page.evaluate(STILL)
        # The browser's own sign of waiting fades, and says to nobody when it has.
        page.wait_for_timeout(FADES_MS)
        return page.screenshot()
    finally:
        context.close()


def smaller(png: bytes) -> bytes:
    """The picture with a palette of as many colours as fit into `MOST_BYTES`, PNG.

    Half of the palette is what most of the picture has (skin, gray), half what is far apart (lines, maps).
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for half in HALF_PALETTES:
        kinds = (Image.Quantize.MEDIANCUT, Image.Quantize.MAXCOVERAGE)
        colours = [(picture.quantize(half, method=kind).getpalette() or [])[: 3 * half] for kind in kinds]
        palette = Image.new("P", (1, 1))
        palette.putpalette([*colours[0], *colours[1]])
        out = io.BytesIO()
        picture.quantize(palette=palette, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        if out.tell() <= MOST_BYTES:
            break
    return out.getvalue()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser. Raises `SystemExit` where there is none."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise SystemExit("no chromium on this machine (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def main() -> None:
    """Make the pictures that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SCREENS, action="append", help="make this one; may come several times")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    with service() as running, chromium() as browser:
        for name in arguments.only or SCREENS:
            picture = smaller(taken(browser, running.url, SCREENS[name]))
            (arguments.folder / f"{name}.png").write_bytes(picture)
            print(f"{arguments.folder / name}.png  {len(picture) / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
