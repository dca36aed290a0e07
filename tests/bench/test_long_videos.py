"""The long videos that are planned, the second encoding, and the systems on a clip that is known."""

import json
from pathlib import Path

import av
import pytest

from bench.long_render import long_plans, recompress, render_long
from bench.long_scores import Watched
from bench.long_spotters import live, mdmd, mdmd_courses, offline
from bench.long_videos import MDMD_ROWS, ROWS, results, show
from bench.scoring import counts
from export.synthesis.identities import default_face

SAMPLE = Path(__file__).parents[2] / "samples" / "positive.mp4"


@pytest.fixture(scope="module")
def plans():
    return long_plans(999, [default_face()])


@pytest.fixture(scope="module")
def watched():
    video = SAMPLE.read_bytes()
    truth = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
    courses = mdmd_courses(video)
    found = {ROWS["offline"]: offline(video), ROWS["live"]: live(video)}
    going_on = {"head": {}, "speech": [], "blinks": truth["blinks"]}
    return Watched(truth | going_on, found | {name: mdmd(courses, p) for name, p in MDMD_ROWS.items()})


def test_the_plan_is_what_the_manual_says(plans):
    """Thirty videos of two minutes, ten without an expression, five at 60 frames a second, one person each."""
    assert len(plans) == len({plan.clip.identity for plan in plans}) == 30
    assert sum(not plan.clip.performance.expressions for plan in plans) == 10
    assert sorted(plan.clip.fps for plan in plans) == [30] * 25 + [60] * 5
    assert {plan.clip.performance.duration_s for plan in plans} == {120.0}


def test_the_same_seed_plans_the_same_videos(plans):
    """And another one others."""
    face = [default_face()]
    assert long_plans(999, face, with_events=2, without=0)[1].clip.performance.ground_truth(30) == (
        plans[1].clip.performance.ground_truth(30)
    )
    assert long_plans(998, face, with_events=1, without=0)[0].clip.performance != plans[0].clip.performance


def test_the_second_encoding_keeps_every_frame(tmp_path):
    """As many pictures of the same size, in fewer bytes, and the same bytes each time."""
    one, other = tmp_path / "one.mp4", tmp_path / "other.mp4"
    frames = recompress(SAMPLE, one, 30, 23)
    assert recompress(SAMPLE, other, 30, 23) == frames
    assert one.read_bytes() == other.read_bytes()
    assert one.stat().st_size < SAMPLE.stat().st_size
    with av.open(str(SAMPLE)) as before, av.open(str(one)) as after:
        assert (before.streams.video[0].frames, before.streams.video[0].width) == (
            after.streams.video[0].frames,
            after.streams.video[0].width,
        )


def test_videos_that_are_there_are_kept(plans, tmp_path):
    """With the truth of all of them in place nothing is rendered."""
    for plan in plans:
        (tmp_path / plan.name).with_suffix(".json").write_text("{}", encoding="utf-8")
    told = []
    paths = render_long(tmp_path, plans, on_progress=lambda *step: told.append(step))
    assert told == [(30, 30)]
    assert len(paths) == 30


@pytest.mark.parametrize("system", ROWS.values())
def test_both_ways_of_glimpse_find_a_plain_expression(watched, system):
    """The one smile of a clip without anything else, and nothing more."""
    assert counts(watched.truth["events"], watched.found[system]) == (1, 0, 0)


def test_the_tables_have_a_row_for_each_system(watched, capsys):
    """Whole clip, live, and MDMD at two thresholds."""
    show(results([watched]))
    printed = capsys.readouterr().out
    for name in (*ROWS.values(), *MDMD_ROWS):
        assert f"| {name} |" in printed
    assert "live and whole clip: 1 events in both of 1 in either" in printed
