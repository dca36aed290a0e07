"""What is made of whatever a language model writes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.predict.mllm_answer import read_answer

LABELS = ("negative", "positive", "surprise")
GOOD = {
    "visible": True,
    "aus": [{"au": 4, "side": "L", "intensity": "B", "evidence": "x"}, {"au": "AU7", "side": "both"}],
    "ranking": ["negative", "surprise", "positive"],
    "scores": {"negative": 0.6, "surprise": 0.3, "positive": 0.1},
    "confidence": 0.6,
    "note": "",
}


def read(content, **options):
    return read_answer(content if isinstance(content, str) else json.dumps(content), LABELS, **options)


def test_the_answer_that_was_asked_for():
    """Ranking, scores as weights of sum 1, action units with their sides."""
    answer = read(GOOD)
    assert (answer.outcome, answer.ranking) == ("ranked", ("negative", "surprise", "positive"))
    assert answer.weights == pytest.approx({"negative": 0.6, "surprise": 0.3, "positive": 0.1})
    assert answer.units == {4: (True, False), 7: (True, True)}


@pytest.mark.parametrize(
    "wrapped",
    [
        "```json\n%s\n```",
        "Sure! Here it is: %s Let me know {if} you need more.",
        "I used the scheme {label: score}. %s",
        "Note: a } stands alone. %s",
    ],
)
def test_json_is_found_among_words(wrapped):
    """Code fences and politeness do not matter, nor do other braces."""
    assert read(wrapped % json.dumps(GOOD)) == read(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        '{"ranking": ["surprise", "negative", "positive",], "aus": [],}',
        "{'visible': True, 'ranking': ['surprise', 'negative', 'positive'], 'scores': None or {}}",
        "{'visible': True, 'ranking': ['surprise', 'negative', 'positive']}",
        '{"ranking": ["surprise", "negative", "posit',
        '{"visible": true, "aus": [{"au": 5, "evidence": "the } of the lid, \\"up\\""}], "ranking": ["surprise"]}',
    ],
)
def test_json_that_is_nearly_right_is_mended_or_read_as_words(text):
    """Trailing commas, the literals of other languages, an answer that was cut off."""
    answer = read(text)
    assert (answer.outcome, answer.ranking[0]) == ("ranked", "surprise")


@pytest.mark.parametrize(
    ("text", "ranking"),
    [
        ("The person looks happy.", "positive"),
        ("Not happiness. I see surprise.", "surprise"),
        ("No sign of anger, but the mouth smiles.", "positive"),
        ("Astonished rather than afraid", "surprise"),
        ("It isn\u2019t a smile; disgust is the best description.", "negative"),
        ("Neither joy nor surprise, rather contempt.", "negative"),
        ("1. Repressed movement 2. surprise 3. positive", "negative"),
    ],
)
def test_prose_is_read_outside_negations(text, ranking):
    """The first candidate that is not denied in its clause comes first."""
    answer = read(text)
    assert (answer.outcome, answer.ranking[0]) == ("ranked", ranking)
    assert sorted(answer.ranking) == sorted(LABELS)


def test_action_units_are_read_from_prose():
    """By their numbers, those that are denied left out."""
    answer = read("AU 12 and au06 moved, surprise is unlikely; no AU4. A happy face.")
    assert set(answer.units) == {12, 6}


def test_prose_weighs_labels_by_rank():
    """One over the rank of those that were named; the others have no weight."""
    answer = read("Perhaps surprise, perhaps positive.")
    assert answer.weights == pytest.approx({"surprise": 2 / 3, "positive": 1 / 3, "negative": 0.0})


def test_labels_outside_the_list_are_mapped_or_dropped():
    """Synonyms count, strangers do not, the first of two alike counts, the missing ones come last with nothing."""
    answer = read({"ranking": ["Sleepy", "Happiness", "joy", " SURPRISED "], "scores": {"sleepy": 1}})
    assert answer.ranking == ("positive", "surprise", "negative")
    assert answer.weights == pytest.approx({"positive": 2 / 3, "surprise": 1 / 3, "negative": 0.0})


def test_scores_that_contradict_the_ranking_do_not_count():
    """The ranking is what was asked for first."""
    answer = read({"ranking": ["positive", "negative", "surprise"], "scores": {"positive": 0.1, "negative": 0.9}})
    assert answer.weights["positive"] == pytest.approx(6 / 11)


@pytest.mark.parametrize("score", [float("nan"), float("inf"), "high", None, [1], 10**400, -3.0])
def test_wild_scores_do_no_harm(score):
    """Weights stay finite and sum to 1."""
    answer = read({"ranking": list(LABELS), "scores": {"negative": score, "positive": 0.0}})
    assert sum(answer.weights.values()) == pytest.approx(1)


def test_scores_alone_make_a_ranking():
    """A model that forgets the ranking has still given one."""
    assert read({"scores": {"surprise": 0.7, "negative": 0.2}}).ranking == ("surprise", "negative", "positive")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "I'm sorry, but I can't help with that.",
        "I cannot determine the emotion of this person, whether surprise or anger.",
        "I am unable to reliably identify micro-expressions.",
        "It would not be appropriate to infer feelings from a face.",
    ],
)
def test_refusals_are_noticed(text):
    """Also where they name candidates."""
    assert read(text).outcome == "refused"


def test_an_endpoint_that_declines_is_believed():
    """Whatever stands in the content then."""
    assert read(GOOD, declined=True).outcome == "refused"


def test_an_answer_with_a_hedge_in_its_note_is_an_answer():
    """The detector looks at prose, not into the members of an answer."""
    assert read({**GOOD, "note": "I cannot determine the cause"}).outcome == "ranked"


def test_nothing_visible_is_no_ranking():
    """A label that was made up for a still face does not count."""
    assert read({**GOOD, "visible": False}).outcome == "unseen"


@pytest.mark.parametrize("text", ["The face.", "{}", "[1, 2]", '{"ranking": []}', '{"ranking": 3}', "{" * 5000])
def test_words_that_say_nothing_are_unclear(text):
    """Neither a refusal nor a guess."""
    assert read(text).outcome == "unclear"


def test_bad_units_are_left_out_one_by_one():
    """Numbers, texts and objects are read; what is no unit costs nobody else."""
    units = [{"au": 1, "side": "L"}, {"au": 1, "side": "R"}, {"au": "x"}, 12, "AU 25", {"side": "L"}, {"au": 1234}]
    assert read({**GOOD, "aus": units}).units == {1: (True, True), 12: (True, True), 25: (True, True)}


@given(st.text(max_size=300) | st.text(alphabet="{}[]\",:'ab1 AUnot", max_size=300))
def test_no_text_is_too_wild(text):
    """Reading never fails, and what it gives is always complete."""
    answer = read(text)
    assert (answer.outcome == "ranked") == (sorted(answer.ranking) == sorted(LABELS))


def test_depth_and_length_do_no_harm():
    """An answer of brackets, and one that never ends."""
    assert read('{"ranking": ' + "[" * 15000 + "}").outcome == "unclear"
    assert read("surprise " * 100_000).ranking[0] == "surprise"
