"""Spotting while it happens, against the spotting of whole clips and against the truth."""

import itertools
import pickle
from dataclasses import replace

import numpy as np
import pytest

from server.spotting import causal
from server.spotting.causal import RECENT_S, WINDOW_S, CausalSpotter
from server.spotting.intervals import spot
from server.spotting.signal import REGIONS
from server.testing import still_head
from tests.spotting.test_intervals import BROWS, CORNERS, LIDS, _signal

STEPS = ("onset", "candidate", "event")


def _since(signal, start_s, stop):
    return signal.part(slice(int(np.searchsorted(signal.times_s, start_s)), stop))


def _live(signal, spotter=None):
    """What is told of a signal as it comes: (time, news)."""
    spotter = spotter or CausalSpotter()
    told = []
    for stop in range(2, len(signal.times_s) + 1):
        now_s = float(signal.times_s[stop - 1])
        if spotter.due(_since(signal, now_s - RECENT_S, stop)):
            told += [(now_s, news) for news in spotter.update(_since(signal, now_s - WINDOW_S, stop))]
    return told


def _by_movement(told):
    found = {}
    for now_s, news in told:
        found.setdefault(news.movement, []).append((now_s, news))
    return found


@pytest.mark.parametrize(
    ("fps", "regions", "rise", "fall", "peak"),
    [
        (25, BROWS, 0.15, 0.2, 0.04),
        (30, CORNERS, 0.1, 0.15, 0.03),
        (60, BROWS, 0.1, 0.1, 0.03),
        (100, CORNERS, 0.2, 0.24, 0.05),
        (200, BROWS, 0.09, 0.12, 0.03),
        (60, CORNERS, 0.6, 0.8, 0.06),
        (200, CORNERS, 0.17, 0.2, 0.04),
    ],
)
def test_a_movement_is_told_in_three_steps(fps, regions, rise, fall, peak):
    """Onset while it rises, candidate soon after the apex, event soon after the offset: that of the whole clip."""
    onset = 1.5
    signal = _signal(np.arange(round(5 * fps)) / fps, (regions, onset, rise, fall, peak, 1))
    (whole,) = spot(signal)
    told = _live(signal)
    assert [news.step for _, news in told] == list(STEPS)
    times = [now_s for now_s, _ in told]
    assert onset < times[0] <= onset + rise + max(0.05, 2 / fps)
    assert times[1] - (onset + rise) <= max(0.060, 2 / fps) + 1e-6
    assert times[2] - (onset + rise + fall) <= max(0.100, 3 / fps) + 1e-6
    event = told[-1][1].interval
    for live_s, clip_s in zip(_moments(event), _moments(whole), strict=True):
        assert abs(live_s - clip_s) <= 2 / fps
    assert event.kind == whole.kind


def _moments(interval):
    return interval.onset_s, interval.apex_s, interval.offset_s


def test_a_face_at_rest_tells_nothing():
    """Noise and blinks are neither onsets nor withdrawals, at any rate."""
    for fps in (25, 60, 200):
        times = np.arange(8 * fps) / fps
        blinks = [(LIDS, t, 0.08, 0.15, 0.09, 1) for t in (1.8, 4.4)]
        assert _live(_signal(times, *blinks, noise=0.001)) == []


@pytest.mark.parametrize(("fps", "rise", "seed"), [(30, 0.2, 0), (30, 0.6, 1), (60, 0.6, 0), (200, 0.2, 1)])
def test_what_does_not_come_back_is_withdrawn(fps, rise, seed):
    """A face that goes elsewhere and stays made no expression: all that was told is taken back, and no rest is told."""
    signal = _signal(np.arange(9 * fps) / fps, (BROWS, 2.0, rise, 1e9, 0.05, 1), seed=seed)
    told = [news for _, news in _live(signal)]
    assert [(news.movement, news.step) for news in told] == [(1, "onset"), (1, "candidate"), (1, "withdrawn")]


def test_what_is_held_is_one_movement():
    """An expression that is held so long that it might be rest is told once, as in a clip: its candidate when it has
    risen, its event when it is over.
    """
    fps = 30
    times = np.arange(8 * fps) / fps
    up, down = (_signal(times, (BROWS, onset, 0.3, 1e9, 0.05, 1), noise=0) for onset in (2.0, 3.8))
    held = _signal(times)
    held = still_head(times, held.displacement + up.displacement - down.displacement)
    (whole,) = spot(held)
    told = _live(held)
    assert [(news.movement, news.step) for _, news in told] == [(1, step) for step in STEPS]
    assert told[1][0] <= 2.3 + 0.1
    event = told[-1][1].interval
    assert event.kind == whole.kind == "macro"
    for live_s, clip_s in zip(_moments(event), _moments(whole), strict=True):
        assert abs(live_s - clip_s) <= 2 / fps


CHIN = [i for i, name in enumerate(REGIONS) if name in ("chin", "lip_lower")]


@pytest.mark.parametrize(("rise", "fall", "most_s"), [(0.2, 0.25, 0.1), (0.1, 0.12, 0.35)])
def test_a_jaw_is_waited_for_as_long_as_it_may_speak(rise, fall, most_s):
    """A short movement of the jaw alone may be a first syllable, so its event waits; a longer one is none."""
    signal = _signal(np.arange(3 * 60) / 60, (CHIN, 1.2, rise, fall, 0.05, 1))
    told = _live(signal)
    assert [news.step for _, news in told] == list(STEPS)
    late_s = told[-1][0] - (1.2 + rise + fall)
    assert most_s - 0.15 <= late_s <= most_s


@pytest.mark.parametrize(("fps", "false_starts", "last_s"), [(30, 1, 2.6), (60, 1, 2.6), (200, 2, 2.7)])
def test_what_leaves_the_face_elsewhere_is_withdrawn(fps, false_starts, last_s):
    """A part of the way of a head that turns is no event, though it seems to end before the turn does."""
    times = np.arange(5 * fps) / fps
    signal = _signal(times, (BROWS, 2.0, 0.15, 0.15, 0.03, 1))
    way = np.clip((times - 2.0) / 0.4, 0, 1)
    way = way * way * (3 - 2 * way)
    place = signal.displacement.copy()
    place[:, BROWS, 1] -= (0.02 * way[:, None]).astype(np.float32)
    turn = (np.radians([2.5, 0.0]) * way[:, None]).astype(np.float32)
    turned = replace(signal, displacement=place, turn=turn)
    assert spot(turned) == []
    told = _live(turned)
    assert [news.step for _, news in told] == ["onset", "candidate", "withdrawn"] * false_starts
    assert told[2][0] <= 2.6
    assert told[-1][0] <= last_s


@pytest.mark.parametrize(("sight_s", "steps"), [(0.2, STEPS[:2]), (1.0, STEPS)])
def test_what_is_seen_in_hindsight_is_to_stay_in_sight(monkeypatch, sight_s, steps):
    """A movement that appears when it is over may come of a new resting level: it is an event if it is there later."""
    signal = _signal(np.arange(3 * 60) / 60, (BROWS, 1.2, 0.15, 0.2, 0.04, 1))
    appears_s = 1.65

    def late(part, *rest, **options):
        now_s = part.times_s[-1]
        return spot(part, *rest, **options) if appears_s <= now_s < appears_s + sight_s else []

    monkeypatch.setattr(causal, "spot", late)
    told = [(now_s, news.step) for now_s, news in _live(signal) if news.step != "withdrawn"]
    assert [step for _, step in told] == list(steps)
    assert all(now_s >= appears_s + 0.3 for now_s, step in told if step == "event")


def test_a_mouth_that_goes_on_is_waited_for():
    """A mouth that moves on at its offset may speak, which half a second tells; else its event comes at once."""
    times = np.arange(4 * 60) / 60
    smile = (CORNERS, 1.2, 0.2, 0.25, 0.05, 1)
    at_once, later = (
        _live(_signal(times, smile, *more, noise=0.0004)) for more in ((), ((CHIN, 1.62, 0.08, 0.08, 0.01, 1),))
    )
    assert [news.step for _, news in at_once] == [news.step for _, news in later] == list(STEPS)
    assert at_once[-1][0] - 1.65 <= 0.1
    assert 0.45 <= later[-1][0] - 1.65 <= 0.55


def test_what_jumps_is_told_when_it_turns_back():
    """A rise from one frame to the next may be a cut, until the face is on its way back; a jump long ago is none."""
    times = np.arange(5 * 30) / 30
    jump = np.zeros((len(times), len(REGIONS), 2))
    jump[60:64, BROWS, 1] = np.array([0.04, 0.036, 0.02, 0.006])[:, None]
    told = _live(still_head(times, _signal(times, noise=0.0004).displacement + jump))
    assert [news.step for _, news in told] == list(STEPS)
    assert told[1][0] - times[60] <= 0.11
    later = _signal(times, (BROWS, 3.0, 0.2, 0.3, 0.04, 1), noise=0.0004)
    told = _live(still_head(times, later.displacement + jump))
    assert [news.step for _, news in told] == list(STEPS) * 2
    assert told[4][0] - 3.2 <= 2 / 30 + 1e-6


def test_a_head_that_has_turned_rests_there():
    """An expression a second after a turn is told in time, though the face looks different from there on."""
    times = np.arange(6 * 60) / 60
    signal = _signal(times, (BROWS, 4.0, 0.15, 0.2, 0.04, 1))
    way = np.clip((times - 2.5) / 0.4, 0, 1)[:, None]
    turn = (np.radians([12.0, 0.0]) * way).astype(np.float32)
    turned = signal.displacement + (0.06 * way[:, :, None]).astype(np.float32)
    told = _live(replace(signal, displacement=turned, turn=turn))
    (event,) = [(now_s, news.interval) for now_s, news in told if news.step == "event"]
    assert abs(event[1].apex_s - 4.15) <= 2 / 60
    assert event[0] - 4.35 <= 0.1


def test_movements_follow_each_other():
    """Five expressions within eight seconds are five movements, each with its own number and its own three steps."""
    times = np.arange(10 * 60) / 60
    signal = _signal(times, *[(BROWS, 1.2 + 1.5 * i, 0.15, 0.2, 0.04, 1) for i in range(5)])
    movements = _by_movement(_live(signal))
    assert len(movements) == 5
    assert all([news.step for _, news in steps] == list(STEPS) for steps in movements.values())
    offsets = [steps[-1][1].interval.offset_s for steps in movements.values()]
    assert offsets == sorted(offsets)


def test_a_face_that_is_gone_withdraws_what_was_told():
    """A face that leaves between onset and offset leaves nothing open, and nothing that was not told is withdrawn."""
    signal = _signal(np.arange(90) / 60, (BROWS, 1.2, 0.2, 0.3, 0.05, 1))
    spotter = CausalSpotter()
    assert [news.step for _, news in _live(signal, spotter)] == ["onset", "candidate"]
    assert spotter.moving
    assert [news.step for news in spotter.end()] == ["withdrawn"]
    assert not spotter.moving
    assert spotter.end() == []
    assert CausalSpotter().end() == []


def test_the_end_of_a_stream_is_the_end_of_a_clip():
    """What is under way when a stream ends is told to its end, also if nothing was told of it before."""
    whole = _signal(np.arange(90) / 60, (BROWS, 1.2, 0.2, 0.3, 0.05, 1))
    for frames, before in ((90, ["onset", "candidate"]), (84, ["onset"]), (79, [])):
        signal = _since(whole, 0.0, frames)
        spotter = CausalSpotter()
        assert [news.step for _, news in _live(signal, spotter)] == before
        news = spotter.finish(signal)
        assert [*before, *(each.step for each in news)] == list(STEPS)
        (clip,) = spot(signal)
        for live_s, clip_s in zip(_moments(news[-1].interval), _moments(clip), strict=True):
            assert abs(live_s - clip_s) <= 2 / 60
        assert not spotter.moving
    resting = _since(whole, 0.0, 60)
    assert CausalSpotter().finish(resting) == []
    assert CausalSpotter().finish(_since(whole, 0.0, 1)) == []


def test_the_end_takes_back_what_was_none():
    """A movement that has just become a new resting level is withdrawn at the end, not reported."""
    spotter = CausalSpotter()
    signal = _signal(np.arange(90) / 60, (BROWS, 1.2, 0.2, 0.3, 0.05, 1))
    _live(signal, spotter)
    still = still_head(signal.times_s, np.zeros_like(signal.displacement))
    assert [news.step for news in spotter.finish(still)] == ["withdrawn"]


def test_a_gap_in_the_looks_loses_nothing():
    """Frames that come in bursts, as of a stream that drops some, give the same event, later."""
    fps = 60
    signal = _signal(np.arange(5 * fps) / fps, (BROWS, 1.5, 0.15, 0.2, 0.04, 1))
    kept = np.r_[0 : len(signal.times_s) : 3]
    (whole,) = spot(signal)
    told = [news for _, news in _live(signal.part(kept))]
    assert [news.step for news in told] == list(STEPS)
    assert abs(told[-1].interval.apex_s - whole.apex_s) <= 6 / fps


def test_memory_does_not_grow():
    """After a minute of expressions the spotter remembers no more than after twenty seconds."""
    times = np.arange(60 * 25) / 25
    signal = _signal(times, *[(BROWS, 1.5 + 2.5 * i, 0.2, 0.25, 0.04, 1) for i in range(23)])
    spotter, sizes, events = CausalSpotter(), [], 0
    for stop in range(2, len(times) + 1):
        now_s = float(times[stop - 1])
        if spotter.due(_since(signal, now_s - RECENT_S, stop)):
            news = spotter.update(_since(signal, now_s - WINDOW_S, stop))
            events += sum(each.step == "event" for each in news)
            sizes.append((now_s, len(pickle.dumps(spotter))))
    assert events == 23
    early = max(size for now_s, size in sizes if now_s < 20)
    assert max(size for now_s, size in sizes if now_s > 20) <= 1.25 * early


def test_looking_is_rare_at_rest():
    """A face at rest costs two looks a second; one that moves is looked at every 25 ms at most."""
    fps = 200
    signal = _signal(np.arange(3 * fps) / fps, noise=0.0004)
    moving = _signal(np.arange(3 * fps) / fps, (BROWS, 1.0, 0.5, 0.5, 0.05, 1), noise=0.0004)
    assert _looks(signal) <= 7
    assert 25 <= _looks(moving) <= 1.3 / 0.025


def _looks(signal):
    spotter, count = CausalSpotter(), 0
    for stop in range(2, len(signal.times_s) + 1):
        now_s = float(signal.times_s[stop - 1])
        if spotter.due(_since(signal, now_s - RECENT_S, stop)):
            count += 1
            spotter.update(_since(signal, now_s - WINDOW_S, stop))
    return count


def test_a_hurried_stream_looks_less_often():
    """While a face moves, a look may wait for the next frame, but not for longer than a tenth of a second."""
    signal = _signal(np.arange(120) / 60, (BROWS, 0.5, 0.5, 0.5, 0.04, 1))
    paused = {}
    for hurried in (False, True):
        spotter, looks = CausalSpotter(), list[float]()
        for stop in range(2, len(signal.times_s) + 1):
            now_s = float(signal.times_s[stop - 1])
            if spotter.due(_since(signal, now_s - RECENT_S, stop), hurried=hurried):
                looks.append(now_s)
                spotter.update(_since(signal, now_s - WINDOW_S, stop))
        paused[hurried] = float(np.diff([x for x in looks if 0.7 < x < 1.5]).max())
    assert paused == {False: pytest.approx(2 / 60), True: pytest.approx(6 / 60)}


def test_due_and_update_agree():
    """Whoever asks with every frame, first or not, is told the same."""
    signal = _signal(np.arange(240) / 60, (CORNERS, 1.5, 0.15, 0.2, 0.04, 1))
    asked, spotter, told = _live(signal), CausalSpotter(), []
    for stop in range(2, len(signal.times_s) + 1):
        now_s = float(signal.times_s[stop - 1])
        told += [(now_s, news) for news in spotter.update(_since(signal, now_s - WINDOW_S, stop))]
    assert told == asked


@pytest.fixture(scope="module")
def told(samples):
    """What is told of each sample, by its name."""
    return {sample.name: _by_movement(_live(sample.signal)) for sample in samples}


def test_each_event_of_a_sample_has_its_steps_in_order(samples, told):
    """Onset, candidate, event for each true event and for nothing else, so that neutral clips tell nothing."""
    for sample in samples:
        steps = [[news.step for _, news in movement] for movement in told[sample.name].values()]
        assert steps == [list(STEPS)] * len(sample.events), sample.name


def _unsided(region):
    return region.removesuffix("_left").removesuffix("_right")


def test_live_and_clip_agree_on_samples(samples, told):
    """Onset, apex and offset of each event lie within two frames of those of the whole clip; its kind is equal."""
    for sample in samples:
        events = [movement[-1][1].interval for movement in told[sample.name].values()]
        whole = spot(sample.signal)
        assert [event.kind for event in events] == [event.kind for event in whole]
        for live, clip in zip(events, whole, strict=True):
            for one, other in zip(_moments(live), _moments(clip), strict=True):
                assert abs(one - other) <= 2 / sample.fps, sample.name
            # Both sides of a sample move alike, so that which moves more is chance.
            assert _unsided(live.regions[0]) == _unsided(clip.regions[0])


def test_samples_are_told_in_time(samples, told):
    """Candidates come within 60 ms or two frames of the true apex, events within 100 ms or three of the true offset."""
    for sample, (step, most_s, frames, moment) in itertools.product(
        samples, (("candidate", 0.060, 2, "apex_s"), ("event", 0.100, 3, "offset_s"))
    ):
        times = [now_s for movement in told[sample.name].values() for now_s, news in movement if news.step == step]
        for now_s, event in zip(times, sample.events, strict=True):
            late_s = now_s - event[moment] - max(most_s, frames / sample.fps)
            assert late_s <= 0.001, (sample.name, step, late_s)
