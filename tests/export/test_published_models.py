"""The models in the repository are what their cards say."""

import json
from pathlib import Path

import pytest

from export.cards import limits_of
from export.data.dual_images import DUAL_RECIPE
from export.data.flow_images import RECIPE, read_flow_images
from export.protocol import evaluate_model

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "megc2019_flow"
CARDS = sorted((ROOT / "model_repository").glob("*/card.json"))

FLOW_CARDS = [card for card in CARDS if json.loads(card.read_text(encoding="utf-8"))["recipe"] in (RECIPE, DUAL_RECIPE)]


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_the_card_carries_the_limits_that_every_card_must(card):
    """A card that was not made anew after the wording changed is noticed."""
    content = json.loads(card.read_text(encoding="utf-8"))
    assert content["limits"] == list(limits_of(content["recipe"]))


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_the_card_says_by_which_command_each_result_was_measured(card):
    """Each has one at least, and none without the command that prints it."""
    results = json.loads(card.read_text(encoding="utf-8"))["results"]
    assert results
    assert all(result["command"].startswith("glimpse-export ") for result in results)


@pytest.mark.skipif(not DATA.is_dir(), reason="the real flow samples are not on this machine")
@pytest.mark.parametrize("card", FLOW_CARDS, ids=lambda path: path.parent.name)
def test_the_card_reports_the_score_that_the_model_has(card):
    """Every recorded score on the real samples is reproduced by the model, to the last digit shown."""
    recorded = [r for r in json.loads(card.read_text(encoding="utf-8"))["results"] if r["data"] == DATA.name]
    assert recorded
    again = evaluate_model(read_flow_images(DATA), card.parents[1], card.parent.name, "local").summary()
    for result in recorded:
        assert {key: result[key] for key in again} == again
