"""The page's files and the samples as HTTP answers."""

import re
from pathlib import Path

import pytest

from server.api.rest.samples import listed
from server.errors import ConfigurationError
from server.notice import NOTICE
from tests.callers import Keys

WEB = Path(__file__).parents[3] / "server" / "web"
SAMPLES = Path(__file__).parents[3] / "samples"
TRUTH = '{"clip": "%s", "duration_s": 2.5, "fps": 30, "events": []}'


@pytest.fixture(scope="module")
def served(start_once):
    """A gateway with the samples of the checkout."""
    return start_once()


def test_the_policy_of_the_page_allows_nothing_inline_and_nothing_from_elsewhere(served):
    """Neither scripts nor styles in the markup, which has none either."""
    page = served.client.get("/")
    policy = page.headers["content-security-policy"]
    assert page.status_code == 200
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "default-src 'none'" in policy
    assert not re.search(r"<style|style=|\son\w+=|<script(?![^>]*src=)", page.text)


def test_the_page_shows_the_notice_before_anything_is_sent(served):
    """In the words of every answer."""
    assert NOTICE in served.client.get("/").text


@pytest.mark.parametrize("path", sorted(str(path.relative_to(WEB)) for path in WEB.rglob("*.*s")))
def test_every_file_is_kept_by_browsers_until_it_changes(served, path):
    """The hash of its content is its tag, and whoever has it gets nothing again."""
    first = served.client.get(f"/web/{path}")
    assert first.status_code == 200
    assert first.content == (WEB / path).read_bytes()
    assert first.headers["content-type"].startswith(("text/javascript", "text/css"))
    assert first.headers["cache-control"] == "no-cache"
    again = served.client.get(f"/web/{path}", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]


@pytest.mark.parametrize(
    "path", ["/web/", "/web/../app.py", "/web/%2e%2e/app.py", "/web//etc/passwd", "/web/vendor", "/web/none.js"]
)
def test_nothing_else_of_the_package_is_served(served, path):
    """Only what lies in the folder of the page."""
    assert served.client.get(path).status_code == 404


def test_samples_are_listed_with_what_they_show(served):
    """Each has a name, its file, its length and a sentence; the short ones come first."""
    answer = served.client.get("/samples")
    samples = {each["name"]: each for each in answer.json()}
    assert len(samples) == len(list(SAMPLES.glob("*.mp4")))
    assert samples["positive"] == {
        "name": "positive",
        "file": "positive.mp4",
        "seconds": 2.5,
        "text": "positive (micro) at 1.1 s; 30 frames per second",
    }
    assert samples["interview"]["text"] == "6 expressions; 30 frames per second"
    assert "no expression" in samples["neutral_blink"]["text"]
    assert [each["seconds"] for each in answer.json()] == sorted(each["seconds"] for each in answer.json())
    assert "max-age" in answer.headers["cache-control"]


def test_a_sample_is_a_video_that_players_can_seek_in(served):
    """Whole, or the part that is asked for."""
    whole = served.client.get("/samples/positive.mp4")
    assert whole.headers["content-type"] == "video/mp4"
    assert whole.content == (SAMPLES / "positive.mp4").read_bytes()
    part = served.client.get("/samples/positive.mp4", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])


@pytest.mark.parametrize("path", ["positive.json", "none.mp4", "..%2fREADME.md", "%2e%2e/README.md", ""])
def test_no_other_file_of_the_folder_is_served(served, path):
    """Only clips that are listed."""
    assert served.client.get(f"/samples/{path}").status_code == 404


def test_a_service_may_offer_no_samples(start):
    """The list is empty then, and there are no clips."""
    client = start(server={"samples": ""}).client
    assert client.get("/samples").json() == []
    assert client.get("/samples/positive.mp4").status_code == 404


def test_the_page_and_the_samples_need_no_credential(start, tmp_path):
    """They hold nothing of anybody who uses the service, and the page asks for the key itself."""
    keys = Keys(tmp_path / "keys.json")
    keys.make("somebody", "analyze")
    client = start(access=keys.settings).client
    for path in ("/", "/web/page.css", "/samples", "/samples/positive.mp4"):
        assert client.get(path).status_code == 200, path
    assert client.get("/v1/models").status_code == 401


def test_a_clip_without_a_truth_is_not_listed(tmp_path):
    """Nor is a truth whose clip is not there."""
    (tmp_path / "alone.mp4").write_bytes(b"clip")
    (tmp_path / "gone.json").write_text(TRUTH % "gone.mp4")
    (tmp_path / "known.mp4").write_bytes(b"clip")
    (tmp_path / "known.json").write_text(TRUTH % "known.mp4")
    assert [sample.file for sample in listed(tmp_path)] == ["known.mp4"]


@pytest.mark.parametrize("truth", ["{", "[]", TRUTH % "../secret.mp4", TRUTH % "/etc/passwd", TRUTH % ".hidden.mp4"])
def test_a_folder_that_is_none_of_samples_is_refused_at_the_start(tmp_path, truth):
    """So no clip outside of it can be named."""
    (tmp_path / "x.json").write_text(truth)
    with pytest.raises(ConfigurationError, match=r"x\.json"):
        listed(tmp_path)


def test_a_folder_that_is_not_there_is_refused_at_the_start(tmp_path):
    """With its name."""
    with pytest.raises(ConfigurationError, match="none"):
        listed(tmp_path / "none")
