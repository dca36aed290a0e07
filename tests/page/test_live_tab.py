"""The live tab in a real Chromium, with the browser's own fake camera, which shows a sample again and again."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect
from websockets.sync.client import connect

from server.faces import quality
from tests.callers import Keys
from tests.end_to_end.conftest import SAMPLES, Service, serving
from tests.page.conftest import Open, until
from tests.processes import children

LABEL = "positive"
HOST = "lab.test"
WAIT_MS = 60_000
EXPECTED = ("status of 401", HOST, "origin was untrustworthy")
"""What the browser notes of a page that has no key yet, and of the page under an insecure name."""
CAMERA: dict[str, Any] = {"permissions": ["camera"]}


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """A machine with much to do is no failure."""
    expect.set_options(timeout=WAIT_MS)
    yield
    expect.set_options(timeout=None)


@pytest.fixture(scope="module")
def browser_options(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A camera of 30 pictures a second that shows a sample with one movement, and a name that is no secure origin."""
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with av.open(str(SAMPLES / f"{LABEL}.mp4")) as source, film.open("wb") as out:
        for picture in source.decode(video=0):
            out.write(cv2.imencode(".jpg", picture.to_ndarray(format="bgr24"), [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
    return [
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
        f"--host-resolver-rules=MAP {HOST} 127.0.0.1",
    ]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """What the page is given, what another client has, what does not allow streams, and what reads the metrics."""
    made = Keys(tmp_path_factory.mktemp("keys") / "keys.json")
    made.make("page", "analyze", "live", "models")
    made.make("beside", "live")
    made.make("clips", "analyze", "models")
    made.make("metrics", "metrics")
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Service]:
    """A service with a place for one stream, for those who have a key."""
    settings = {
        "GLIMPSE_ACCESS__REQUIRE_AUTH": "true",
        "GLIMPSE_ACCESS__KEYS_FILE": str(keys.path),
        "GLIMPSE_LIVE__MAX_STREAMS": "1",
        "GLIMPSE_SERVER__ALLOWED_HOSTS": HOST,
    }
    asking = {"headers": keys.bearer("metrics")}
    with serving(tmp_path_factory.mktemp("page") / "log", asking=asking, **settings) as running:
        yield running


class LiveTab:
    """The tab, opened with a key."""

    def __init__(self, page: Page, key: str, wrong: list[str]) -> None:
        self.page = page
        self.wrong = wrong
        self.panel = page.locator("#live")
        self.problem = self.panel.get_by_role("alert")
        if key:
            self.give(key)
        page.get_by_role("tab", name="Live").click()
        self.panel.get_by_role("button", name="Start the camera").wait_for()

    def give(self, key: str) -> None:
        """Enter a key where the page asks for one."""
        self.page.get_by_label("Key", exact=True).fill(key)
        self.page.get_by_role("button", name="Use this key").click()

    def start(self) -> None:
        """Agree, and start the camera."""
        self.panel.get_by_role("checkbox").check()
        self.panel.get_by_role("button", name="Start the camera").click()

    def stop(self) -> None:
        """Stop, and wait for the statistics."""
        self.panel.get_by_role("button", name="Stop").click()
        expect(self.panel.get_by_role("heading", name="The stream has ended")).to_be_visible(timeout=WAIT_MS)

    def event(self, title: str) -> Locator:
        """The newest event of that title in the list, once there is one."""
        found = self.panel.get_by_role("listitem").filter(has=self.page.get_by_role("heading", name=title)).first
        found.wait_for()
        return found

    def keep_track(self) -> None:
        """Remember the camera's track, which the page gives up when it stops."""
        until(self.page.locator("#live video"), "video => (window.track = video.srcObject?.getTracks()[0])")

    def violations(self) -> list[str]:
        """What axe finds serious or critical. Its own inline styles are refused, of which the browser complains."""
        before = len(self.wrong)
        found = Axe().run(self.page).response["violations"]
        self.wrong[before:] = [each for each in self.wrong[before:] if "inline style" not in each]
        return [each["id"] for each in found if each["impact"] in {"serious", "critical"}]

    def camera_is_off(self) -> bool:
        """Whether the track that was remembered has ended."""
        return bool(self.page.evaluate("window.track.readyState === 'ended'"))

    def analysed(self, least: int) -> None:
        """Wait until the service has looked at so many pictures."""
        until(
            self.page.locator("#live"),
            "(live, least) => [...live.querySelectorAll('dl.figures div')].some((each) =>"
            " each.firstChild.textContent === 'Pictures looked at' && parseInt(each.lastChild.textContent) >= least)",
            least,
        )


@pytest.fixture
def live(open_page: Open, site: Service, keys: Keys) -> Iterator[Callable[..., LiveTab]]:
    """Opens the page on its live tab, with the page's key unless told otherwise, once the only place is free."""
    while site.metric("glimpse_live_streams"):
        pass

    wrong: list[str] = open_page.wrong  # type: ignore[attr-defined]

    def opened(key: str = keys.by_name["page"], path: str = "/", **options: Any) -> LiveTab:
        return LiveTab(open_page(path, **options), key, wrong)

    yield opened
    wrong[:] = [each for each in wrong if not any(known in each for known in EXPECTED)]


def test_a_movement_before_the_camera_is_told_by_its_class(live, downloads: Path):
    """With times, action units and evidence; the figures come at the end, and the events can be saved."""
    tab = live(**CAMERA, color_scheme="dark")
    assert tab.violations() == []
    tab.start()
    words = tab.event(f"Micro-expression {LABEL}").inner_text()
    assert "AU 12 lip corner puller" in words
    assert "The frame rate is low" in words
    expect(tab.panel.get_by_text("Live from the camera")).to_be_visible()
    expect(tab.panel.get_by_text(re.compile(r"^\d+ pictures a second"))).to_be_visible()
    assert tab.violations() == []
    tab.stop()
    with tab.page.expect_download() as saved:
        tab.panel.get_by_role("button", name="Save events").click()
    saved.value.save_as(downloads / "events.jsonl")
    events = [json.loads(line) for line in (downloads / "events.jsonl").read_text("utf-8").splitlines()]
    assert LABEL in {event["label"] for event in events}
    expect(tab.panel.locator("dl.figures div", has_text="Events").locator("dd")).to_have_text(str(len(events)))
    assert tab.violations() == []


def test_stop_turns_the_camera_off(live):
    """So does going to another tab of the page; a hidden window is told of afterwards. A phone shows all of it."""
    tab = live(**CAMERA, viewport={"width": 360, "height": 740})
    tab.start()
    tab.keep_track()
    tab.analysed(5)
    tab.page.evaluate(
        "for (const hidden of [true, false]) {"
        " Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }"
    )
    expect(tab.panel.get_by_text("This tab was hidden")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") == 360
    tab.stop()
    assert tab.camera_is_off()
    tab.panel.get_by_role("button", name="Start the camera").click()
    tab.keep_track()
    tab.analysed(1)
    tab.page.get_by_role("tab", name="Clip").click()
    assert tab.camera_is_off()
    assert tab.violations() == []


def test_a_sample_stands_in_for_a_camera(live):
    """Whoever has none sees the tab work; nobody is asked for consent to that."""
    tab = live()
    tab.panel.get_by_role("radio", name="A sample").check()
    tab.panel.get_by_label("Sample", exact=True).select_option("surprise.mp4")
    tab.panel.get_by_label("Speed").select_option("a quarter")
    expect(tab.panel.get_by_role("checkbox")).to_be_hidden()
    tab.panel.get_by_role("button", name="Play the sample").click()
    expect(tab.panel.get_by_text("Live from the sample")).to_be_visible()
    tab.event("Micro-expression surprise")
    tab.page.evaluate("document.querySelector('#live video').playbackRate = 4")
    expect(tab.panel.get_by_role("heading", name="One event found")).to_be_visible(timeout=WAIT_MS)


def test_no_camera_without_consent_and_permission(live):
    """The page asks for consent before the browser asks for the camera; one that is denied is said in a sentence."""
    tab = live()
    tab.panel.get_by_role("button", name="Start the camera").click()
    expect(tab.panel.get_by_role("checkbox")).to_be_focused()
    assert tab.page.evaluate("document.querySelector('#live video').srcObject") is None
    tab.start()
    expect(tab.problem).to_contain_text("The camera is not allowed")
    assert tab.violations() == []


def test_an_insecure_address_has_no_camera(live, site: Service):
    """The browser hides it there; the page says where it would not."""
    port = site.client.base_url.port
    tab = live(path=f"http://{HOST}:{port}/")
    tab.start()
    expect(tab.problem).to_contain_text("only over https")


def test_a_key_is_asked_for_and_taken(live, keys: Keys):
    """Without one, or with one that is for other things, the camera is off again; with one the stream begins."""
    tab = live(key="", **CAMERA)
    tab.start()
    expect(tab.problem).to_contain_text("A key is needed")
    tab.give(keys.by_name["clips"])
    tab.panel.get_by_role("button", name="Start the camera").click()
    expect(tab.problem).to_contain_text("The key does not allow this")
    assert tab.page.evaluate("document.querySelector('#live video').srcObject") is None


def test_a_busy_service_says_so(live, site: Service, keys: Keys):
    """Another stream has the only place: the page says when to come back, and the camera is off."""
    address = f"{str(site.client.base_url).rstrip('/').replace('http', 'ws', 1)}/v1/live"
    tab = live(**CAMERA)
    with connect(address, additional_headers=keys.bearer("beside"), proxy=None) as socket:
        assert json.loads(socket.recv())["type"] == "opened"
        tab.start()
        expect(tab.problem).to_contain_text("The service is busy")
        expect(tab.problem).to_contain_text("It suggests to wait")
    assert tab.page.evaluate("document.querySelector('#live video').srcObject") is None


def test_a_broken_connection_is_made_anew(live, site: Service):
    """The process of the stream dies: the page says what is lost, goes on by itself, and so does its clock."""
    tab = live(**CAMERA)
    streams: list[str] = []
    tab.page.on("websocket", lambda socket: streams.append(socket.url))
    tab.start()
    tab.analysed(5)
    before = {pid: _ticks(pid) for pid in children(site.process.pid)}
    tab.analysed(30)
    os.kill(max(before, key=lambda pid: _ticks(pid) - before[pid]), signal.SIGKILL)
    expect(tab.panel.get_by_text("The connection broke.")).to_be_visible(timeout=WAIT_MS)
    expect(tab.panel.get_by_text("Live from the camera")).to_be_visible(timeout=WAIT_MS)
    tab.analysed(60)
    tab.stop()
    first, second = streams
    assert "clock_zero_us" not in first
    assert re.search(r"clock_zero_us=\d+", second)


def _ticks(pid: int) -> int:
    """Processor time of a process so far (proc_pid_stat(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def test_the_page_judges_a_face_as_the_service_does(live):
    """The limits beyond which it speaks of a small, turned or blurred face are those of the evidence."""
    limits = live().page.evaluate("import('/web/live_face.js').then((module) => module.LIMITS)")
    assert limits == {
        "iodPx": [quality.FAIR_IOD_PX, quality.POOR_IOD_PX],
        "sharpness": [quality.FAIR_SHARPNESS, quality.POOR_SHARPNESS],
        "yawDeg": [quality.FAIR_YAW_DEG, quality.POOR_YAW_DEG],
        "pitchDeg": [quality.FAIR_PITCH_DEG, quality.POOR_PITCH_DEG],
        "inside": [quality.FAIR_INSIDE, quality.POOR_INSIDE],
        "fps": [quality.FAIR_FPS, quality.POOR_FPS],
    }


def test_missing_pictures_make_a_movement_less_sure(live):
    """A gap inside of it counts, wherever it begins; the usual time between pictures, and a gap elsewhere, do not."""
    gapped = """async () => {
        const { openMotion } = await import('/web/live_motion.js');
        const motion = openMotion(['chin']);
        for (const frame of [0, 1, 2, 3, 4, 5, 9, 10, 11, 12]) {
            motion.add(frame / 30, { track_id: 1, motion_iod: [[0, 0]] });
        }
        return [[0, 0.15], [0.15, 0.2], [0.2, 0.4], [0.32, 0.4]].map(([from, to]) => motion.isGapped(from, to));
    }"""
    assert live().page.evaluate(gapped) == [False, True, True, False]
