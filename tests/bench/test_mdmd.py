"""The published baseline on made pictures and made scores."""

import cv2
import numpy as np
import pytest

from bench.mdmd import Course, course, directional_difference, half_length, intervals, relative_difference

FPS = 30


def _flow(right, down=0.0):
    return np.full((60, 60, 2), (right, down), np.float32)


def _course(contrast, kind="micro", fps=FPS):
    contrast = np.asarray(contrast, np.float32)
    return Course(kind, fps, np.arange(len(contrast)) / fps, np.nan_to_num(contrast), contrast)


def test_lengths_are_those_of_the_challenge():
    """12 and 39 frames at 30 a second, 80 and 260 at 200, as in the baseline of MEGC 2020."""
    assert [half_length(kind, 30, 9000) for kind in ("micro", "macro")] == [12, 39]
    assert [half_length(kind, 200, 9000) for kind in ("micro", "macro")] == [80, 260]


def test_a_short_video_halves_the_length():
    """Sixty frames hold four times nine, not four times 39."""
    assert half_length("macro", 30, 60) == 9


def test_what_goes_and_comes_back_scores_its_way():
    """Gone by two pixels and back by all of them: 2. Gone and stayed: 0. Gone on: less than nothing."""
    assert directional_difference(_flow(2), _flow(0)) == pytest.approx(2)
    assert directional_difference(_flow(2), _flow(2)) == 0
    assert directional_difference(_flow(2), _flow(3)) == pytest.approx(-1)


def test_only_the_main_direction_of_a_block_counts():
    """A third of each block that moves the other way, and much more, does not."""
    to_now = _flow(1)
    to_now[:, ::3, 0] = -30
    assert directional_difference(to_now, _flow(0)) == pytest.approx(1)


def test_a_third_of_the_blocks_decides():
    """Twelve of the 36 blocks move: their mean is the score. Six do: half of it."""
    to_now = _flow(0)
    to_now[:20] = (3, 0)
    assert directional_difference(to_now, _flow(0)) == pytest.approx(3)
    to_now[10:20] = 0
    assert directional_difference(to_now, _flow(0)) == pytest.approx(1.5)


def test_a_score_is_set_against_its_surroundings():
    """A spike of 4 on a level of 1 stands out by 3, and lowers what lies k - 1 frames away by a half of that."""
    score = np.ones(21, np.float32)
    score[10] = 4
    contrast = relative_difference(score, 4)
    assert contrast[10] == pytest.approx(3)
    assert contrast[7] == contrast[13] == pytest.approx(-1.5)
    assert np.isnan(contrast[:3]).all()
    assert np.isnan(contrast[-3:]).all()
    assert np.isfinite(contrast[3:-3]).all()


@pytest.mark.parametrize(("frames", "kept"), [(6, 0), (7, 1), (16, 1), (17, 0)])
def test_runs_are_kept_that_are_as_long_as_a_micro_expression(frames, kept):
    """7 to 16 frames at 30 a second, from the first to the last of them."""
    contrast = np.zeros(60)
    contrast[20 : 20 + frames] = 1
    found = intervals(_course(contrast))
    assert len(found) == kept
    if kept:
        assert found[0]["onset_s"] == pytest.approx(20 / FPS)
        assert found[0]["offset_s"] == pytest.approx((19 + frames) / FPS)


def test_longer_runs_are_macro_expressions():
    """What is too long for the one kind is kept for the other."""
    contrast = np.zeros(90)
    contrast[20:40] = 1
    assert intervals(_course(contrast)) == []
    (event,) = intervals(_course(contrast, "macro"))
    assert event["kind"] == "macro"


def test_a_higher_share_asks_for_more():
    """At p = 0.99 only the highest run is left, and a flat course has none."""
    contrast = np.zeros(90)
    contrast[10:20], contrast[40:50] = 0.5, 1.0
    assert len(intervals(_course(contrast), 0.01)) == 2
    (event,) = intervals(_course(contrast), 0.99)
    assert event["onset_s"] == pytest.approx(40 / FPS)
    assert intervals(_course(np.full(60, np.nan))) == []


def test_a_movement_of_pictures_is_found():
    """A texture that shifts by four pixels and comes back within a third of a second."""
    noise = np.random.default_rng(0).standard_normal((128, 140)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    times = np.arange(90) / FPS
    level = np.sin(np.pi * np.clip((times - 1.3) / 0.4, 0, 1)) ** 2
    crops = [
        cv2.warpAffine(texture, np.float32([[1, 0, -4 - 4 * a], [0, 1, 0]]), (128, 128)).astype(np.uint8) for a in level
    ]
    (event,) = intervals(course(crops, times, "micro"), 0.1)
    assert event["onset_s"] < 1.5 < event["offset_s"]
    assert event["apex_s"] == pytest.approx(1.5, abs=0.1)
