"""The sources of action units: which units, how strong, where."""

from collections import Counter

import numpy as np
import pytest

from export.synthesis.mesh_motion import ACTION_UNITS
from export.synthesis.sources import CLASSES, SHARES, SOURCES, check_sources, draw_action_units
from server.errors import OptionError


def _draws(count, *, seed=0, **options):
    rng = np.random.default_rng(seed)
    return [draw_action_units(rng, **options) for _ in range(count)]


def test_the_same_state_gives_the_same_expression():
    """A generator is the only source of chance."""
    assert _draws(20, seed=4) == _draws(20, seed=4)
    assert _draws(20, seed=4) != _draws(20, seed=5)


@pytest.mark.parametrize("label", sorted(CLASSES))
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_serves_every_class(label, source):
    """Units that can be rendered, at micro intensities, of the class and the source that were asked for."""
    for drawn in _draws(80, label=label, sources=[source]):
        assert (drawn.label, drawn.source) == (label, source)
        assert set(drawn.intensities) <= set(ACTION_UNITS)
        assert drawn.intensities
        assert all(0.1 <= intensity <= 0.4 for intensity in drawn.intensities.values())


def test_rules_hold():
    """Happiness always has 12, surprise always 1 and 2, and disgust 9 and 17 (MiE-X, expert rules)."""
    for drawn in _draws(300, sources=["expert"]):
        needed = {"happiness": {12}, "surprise": {1, 2}, "disgust": {9, 17}, "contempt": {14}}.get(drawn.emotion, set())
        assert needed <= set(drawn.intensities)


def test_real_expressions_are_mostly_of_one_unit():
    """About two thirds of the coded micro-expressions have a single unit."""
    sizes = Counter(len(drawn.intensities) for drawn in _draws(2000, sources=["real"]))
    assert 0.5 < sizes[1] / 2000 < 0.75


def test_early_macro_expressions_are_whole_prototypes():
    """Every unit of the prototype moves, weakly."""
    for drawn in _draws(100, label="surprise", sources=["early_macro"]):
        assert set(drawn.intensities) == {1, 2, 5, 26}


def test_sources_are_mixed_in_their_shares():
    """All three in the proportions that are stated."""
    counts = Counter(drawn.source for drawn in _draws(3000))
    for source, share in SHARES.items():
        assert counts[source] / 3000 == pytest.approx(share, abs=0.04)


def test_a_quarter_is_one_sided():
    """One-sided expressions move the other side by less than half, the others both sides alike."""
    drawn = _draws(2000, label="positive")
    one_sided = [each for each in drawn if each.side != "both"]
    assert 0.2 < len(one_sided) / 2000 < 0.3
    assert all(each.weak_side <= 0.4 for each in one_sided)
    assert {each.weak_side for each in drawn if each.side == "both"} == {1.0}


@pytest.mark.parametrize("sources", [[], ["casme"], ["real", "real"]])
def test_wrong_sources_are_refused(sources):
    """Nothing, a name that is none, or the same twice is an option error that names the choices."""
    with pytest.raises(OptionError, match="expert, early_macro, real"):
        check_sources(sources)


def test_an_unknown_label_is_refused():
    """A label is one of the three classes."""
    with pytest.raises(OptionError, match="'sad'"):
        draw_action_units(np.random.default_rng(0), "sad")
