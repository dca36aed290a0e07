"""Performances of minutes: what goes on in them, and what keeps out of whose way."""

import json
from itertools import pairwise

import numpy as np
import pytest

from export.synthesis.long_scenes import (
    MACRO_S,
    UPPER_FACE,
    LongScene,
    draw_long_performance,
    draw_macro_timing,
    draw_spells,
)
from export.synthesis.performance import HeadTurn, Light, LightChange, Performance
from export.synthesis.scenes import APART_S
from server.errors import OptionError


@pytest.fixture(scope="module")
def performances():
    return [draw_long_performance(np.random.default_rng(seed), LongScene()) for seed in range(8)]


def test_the_same_seed_gives_the_same_performance():
    """Everything is drawn from the generator alone."""
    one, other = (draw_long_performance(np.random.default_rng(5), LongScene()).ground_truth(30) for _ in range(2))
    assert one == other


def test_everything_goes_on_in_a_long_performance(performances):
    """Micro- and macro-expressions, blinks, glances, speech, head turns and changes of the light."""
    assert {each.kind for p in performances for each in p.expressions} == {"micro", "macro"}
    for performance in performances:
        assert 8 <= len(performance.expressions) <= 12
        assert performance.blinks
        assert performance.gazes
        assert performance.speech.phrases
        assert performance.turns
        assert performance.light_changes


def test_a_quiet_performance_has_all_but_expressions():
    """Asked for none a minute, it has none, and talks and turns nevertheless."""
    performance = draw_long_performance(np.random.default_rng(3), LongScene(120, (0, 0)))
    assert performance.expressions == ()
    assert performance.speech.phrases
    assert performance.turns


def test_a_speaking_mouth_does_not_express(performances):
    """During a spell, and a rest around it, only the upper face does."""
    during = 0
    for performance in performances:
        phrases = performance.speech.intervals()
        for each in performance.expressions:
            spoken = [
                p for p in phrases if p[0] < each.offset_s + APART_S - 1e-3 and p[1] > each.onset_s - APART_S + 1e-3
            ]
            during += bool(spoken)
            assert not spoken or set(each.action_units) <= UPPER_FACE
    assert during


def test_expressions_come_one_after_the_other(performances):
    """With rest between them, and within the performance."""
    for performance in performances:
        for one, following in pairwise(performance.expressions):
            assert following.onset_s - one.offset_s >= APART_S - 1e-3
        assert performance.expressions[-1].offset_s < performance.duration_s


def test_kinds_differ_in_length(performances):
    """A micro-expression lasts at most half a second, a macro-expression 0.6 to 3.5 s."""
    for performance in performances:
        for each in performance.expressions:
            assert (each.offset_s - each.onset_s <= 0.5001) == (each.kind == "micro")
    rng = np.random.default_rng(1)
    totals = [sum(draw_macro_timing(rng)) for _ in range(300)]
    assert min(totals) >= MACRO_S[0] - 1e-9
    assert max(totals) <= MACRO_S[1] + 1e-9


def test_speech_comes_in_spells():
    """Silence of eight seconds and more between them."""
    spells = draw_spells(np.random.default_rng(2), 600.0)
    gaps = [later[0].times_s[0] - one[-1].times_s[-1] for one, later in pairwise(spells)]
    assert len(spells) > 10
    assert min(gaps) >= 8


def test_a_head_turns_stays_and_comes_back():
    """Level 0 before and after, 1 while it looks away, a half in the middle of each way."""
    turn = HeadTurn(1.0, 20.0, 0.0, 0.4, 1.0, 0.8)
    assert [turn.level(t) for t in (0.5, 1.0, turn.end_s, 9.0)] == pytest.approx([0, 0, 0, 0])
    assert [turn.level(t) for t in (1.4, 2.0, 2.4)] == pytest.approx([1, 1, 1])
    assert [turn.level(t) for t in (1.2, 2.8)] == pytest.approx([0.5, 0.5])
    yaw, pitch = Performance(5.0, turns=(turn,)).turned(2.0)
    assert np.rad2deg(yaw) == pytest.approx(20)
    assert pitch == 0


def test_light_goes_where_it_is_sent_and_stays():
    """A switch and a ramp, each from the level before it."""
    changes = (LightChange(1.0, 0.1, 0.8), LightChange(2.0, 2.0, 1.0, right=0.1))
    performance = Performance(9.0, light=Light(), light_changes=changes)
    gains = [performance.lit(t)[0] for t in (0.5, 1.5, 3.0, 8.0)]
    assert gains == pytest.approx([1, 0.8, 0.9, 1.0])
    assert performance.lit(8.0)[1] == pytest.approx(0.1)


def test_ordinary_performances_are_as_they_were():
    """Without turns and changes, the light is exactly its own and the ground truth names neither."""
    performance = Performance(2.0, light=Light(slope=0.1, drift=0.03, flicker=0.005, mains_hz=10, seed=4))
    for time_s in (0.0, 0.7, 1.9):
        assert performance.lit(time_s) == performance.light.plane(time_s)
        assert performance.turned(time_s) == (0.0, 0.0)
    truth = performance.ground_truth(30)
    assert "light_changes" not in truth
    assert set(truth["head"]) == {"sway", "turn"}


def test_the_ground_truth_names_turns_and_light(performances):
    """As JSON, each turn with its end."""
    truth = json.loads(json.dumps(performances[0].ground_truth(30)))
    for turn in truth["head"]["turns"]:
        assert turn["end_s"] == pytest.approx(
            turn["start_s"] + turn["go_s"] + turn["stay_s"] + turn["back_s"], abs=1e-3
        )
    assert truth["light_changes"]


@pytest.mark.parametrize(
    ("changes", "option"), [({"seconds": 5}, "seconds"), ({"expressions_per_minute": (4, 30)}, "expressions")]
)
def test_what_cannot_be_made_is_refused(changes, option):
    """The error names the option."""
    with pytest.raises(OptionError) as refusal:
        draw_long_performance(np.random.default_rng(0), LongScene(**changes))
    assert refusal.value.details["option"] == option
