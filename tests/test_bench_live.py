"""The arithmetic of `bench.live`: a bench that counts wrongly is worse than none."""

import pytest

from bench.live_figures import bound_s, delays, growth, matched, movements, quantile
from bench.live_footage import ping_pong
from bench.live_tables import frames_per_s, lost

EVENT = {"onset_s": 1.0, "apex_s": 1.2, "offset_s": 1.5}


def _steps(movement, event, *, candidate_at_s, event_at_s):
    return [
        {"step": "onset", "movement": movement, "at_s": event["onset_s"] + 0.05},
        {"step": "candidate", "movement": movement, "at_s": candidate_at_s},
        {"step": "event", "movement": movement, "at_s": event_at_s, **event},
    ]


def _stream(**changes):
    return {"sent": 10, "answered": 10, "seconds": 2.0, "dropped": {}, "refused": {}, **changes}


def test_delays_count_from_the_truth_and_computing_from_the_deciding_frame():
    """A candidate told 50 ms after the apex, decided 40 ms after it at 200 fps, was computed for 2 frames."""
    told = _steps(7, EVENT, candidate_at_s=1.25, event_at_s=1.58)
    due = _steps(1, EVENT, candidate_at_s=1.24, event_at_s=1.57)
    candidate, event = delays([EVENT], told, due, rate=200)
    assert (candidate.step, event.step) == ("candidate", "event")
    assert candidate.total_s == pytest.approx(0.05)
    assert candidate.computing_frames == pytest.approx(2.0)
    assert event.total_s == pytest.approx(0.08)
    assert event.computing_frames == pytest.approx(2.0)


def test_an_event_that_the_session_does_not_know_has_no_computing_time():
    """What was told only through the service has a delay, but nothing says when it was decided."""
    found = delays([EVENT], _steps(1, EVENT, candidate_at_s=1.25, event_at_s=1.6), [], rate=30)
    assert [delay.computing_frames for delay in found] == [None, None]


def test_a_withdrawn_movement_is_no_event():
    """Only movements that came to their end are compared with the truth."""
    steps = [
        {"step": "onset", "movement": 1, "at_s": 1.0},
        {"step": "candidate", "movement": 1, "at_s": 1.2},
        {"step": "withdrawn", "movement": 1, "at_s": 1.3},
    ]
    assert movements(steps) == []


def test_each_true_event_has_at_most_one_found_one():
    """The best overlap wins, and what overlaps nothing belongs to nothing."""
    close = {**EVENT, "onset_s": 1.05}
    far = {"onset_s": 1.4, "apex_s": 1.6, "offset_s": 1.8}
    apart = {"onset_s": 3.0, "apex_s": 3.1, "offset_s": 3.2}
    assert matched([EVENT], [far, close, apart]) == {0: 1}
    assert matched([EVENT, apart], [far]) == {0: 0}


def test_the_bound_is_in_frames_at_low_rates_and_in_time_at_high_ones():
    """60 ms or two frames, 100 ms or three frames, whichever is longer."""
    assert [bound_s("candidate", rate) for rate in (30, 60, 200)] == pytest.approx([2 / 30, 0.06, 0.06])
    assert [bound_s("event", rate) for rate in (25, 30, 200)] == pytest.approx([0.12, 0.1, 0.1])


def test_growth_compares_the_second_minute_with_the_last():
    """What is taken while it warms up does not count, nor does one sample that stands out."""
    samples = [(5.0 * n, 50.0 if n < 12 else 100.0 if n < 100 else 103.0) for n in range(121)]
    samples[119] = (595.0, 900.0)
    assert growth(samples) == pytest.approx(0.03)


def test_growth_of_a_short_run_is_not_known():
    """With less than three minutes there is no minute to compare with."""
    assert growth([(0.0, 1.0), (100.0, 2.0)]) is None
    assert growth([]) is None


def test_quantiles_are_values_that_were_measured():
    """The 95th percentile of few values is the worst of them, not something below it."""
    assert quantile([0.1, 0.2, 0.9], 0.95) == 0.9
    assert quantile([], 0.5) is None


def test_pictures_play_forward_and_backward():
    """Neighbours in a long stream are neighbours in the clip."""
    assert [ping_pong(number, 4) for number in range(8)] == [0, 1, 2, 3, 2, 1, 0, 1]
    assert ping_pong(5, 1) == 0


def test_frames_without_an_answer_are_lost():
    """Drops and refusals are told by reason, and a frame that nothing was said of counts too."""
    streams = [_stream(answered=6, dropped={"oldest": 2}), _stream(answered=9, refused={"unreadable-media": 1})]
    assert lost({"streams": streams}) == "2 oldest, 2 unanswered, 1 unreadable-media"
    assert lost({"streams": [_stream()]}) == "0"


def test_streams_add_up():
    """Frames per second of a round are those of all its streams; one without an answer adds none."""
    assert frames_per_s({"streams": [_stream(), _stream(answered=0, seconds=0.0)]}) == 5.0
