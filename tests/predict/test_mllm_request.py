"""What is sent about one movement."""

import base64
import json

import cv2
import numpy as np
import pytest

from server.predict.mllm_request import Dialect, assumed_tokens, body, exhibit, simpler
from tests.openai_endpoint import pictures, texts

LABELS = ("negative", "positive", "surprise")
REGIONS = ("brow_inner_left", "mouth_corner_right")


def sample():
    rng = np.random.default_rng(0)
    flow = np.zeros((3, 256, 320), np.float32)
    flow[0] = 200.0
    return {
        "pictures": rng.uniform(0, 255, (3, 256, 256)).astype(np.float32),
        "flow_picture": flow,
        "displacement": np.array([[0.0, -0.018], [0.004, 0.0]], np.float32),
        "timing": np.array([63.4, 140.0, 99.9], np.float32),
    }


@pytest.fixture(scope="module")
def shown():
    return exhibit(sample(), REGIONS, image_px=384, flow_picture=True)


def ask(shown, wording="labels", dialect=None, labels=LABELS):
    return body(shown, labels, wording, model="some/model", seed=2, dialect=dialect or Dialect())


def decoded(uri):
    kind, _, data = uri.partition(",")
    assert kind == "data:image/png;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_UNCHANGED)


def test_onset_apex_and_offset_are_pictures_of_their_own(shown):
    """Each after its name and time, grey and enlarged; then the motion in colour."""
    content = ask(shown)["messages"][1]["content"]
    assert [item["type"] for item in content] == ["text"] + ["text", "image_url"] * 4
    captions = [item["text"] for item in content[1::2]]
    assert captions[:3] == ["frame 1 onset, t = 0 ms", "frame 2 apex, t = 63 ms", "frame 3 offset, t = 140 ms"]
    faces = [decoded(item["image_url"]["url"]) for item in content[2::2]]
    assert [face.shape for face in faces] == [(384, 384)] * 3 + [(384, 480, 3)]
    assert {item["image_url"]["detail"] for item in content[2::2]} == {"high"}
    assert faces[3][0, 0].tolist() == [0, 0, 200]


def test_one_picture_where_only_one_is_taken(shown):
    """The three side by side, without the motion."""
    asked = ask(shown, dialect=Dialect(single=True))
    assert pictures(asked) == 1
    strip = decoded(asked["messages"][1]["content"][2]["image_url"]["url"])
    assert strip.shape == (512, 1536)


def test_the_motion_is_sent_only_where_it_is_wanted():
    """Three pictures otherwise."""
    assert len(exhibit(sample(), REGIONS, image_px=512, flow_picture=False).pictures) == 3


def test_numbers_carry_their_signs_and_units(shown):
    """What was measured, relative to the onset: no time of the clip."""
    words = texts(ask(shown))
    assert "brow inner left +0.018 up +0.000 right; mouth corner right -0.000 up +0.004 right" in words
    assert "Frame rate 100 per second; onset 0 ms, apex 63 ms, offset 140 ms" in words


def test_the_request_is_reproducible_and_bounded(shown):
    """Temperature 0, a seed, few tokens, one answer."""
    asked = ask(shown)
    wanted = {"model": "some/model", "temperature": 0, "top_p": 1, "seed": 2, "max_tokens": 600, "n": 1}
    assert wanted.items() <= asked.items()
    assert ask(shown) == asked


def test_labels_are_offered_in_the_given_order(shown):
    """In the question and in the schema."""
    asked = ask(shown, labels=LABELS[1:] + LABELS[:1])
    schema = asked["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["ranking"]["items"]["enum"] == ["positive", "surprise", "negative"]
    question = asked["messages"][1]["content"][0]["text"]
    assert question.index("positive (") < question.index("surprise (") < question.index("negative (")


def test_the_schema_is_strict(shown):
    """Every object names all of its members and allows no others, as strict endpoints demand."""

    def check(node):
        if isinstance(node, dict):
            if node.get("type") == "object":
                assert node["required"] == list(node["properties"])
                assert node["additionalProperties"] is False
            for child in node.values():
                check(child)

    check(ask(shown)["response_format"]["json_schema"])


def test_milder_wordings_ask_for_less(shown):
    """The second speaks of similarity, the third asks for no label at all."""
    assert "visual similarity" in texts(ask(shown, "neutral"))
    units = ask(shown, "units")
    assert set(units["response_format"]["json_schema"]["schema"]["properties"]) == {"visible", "aus", "note"}
    assert not any(label in texts(units) for label in LABELS)


@pytest.mark.parametrize(
    ("complaint", "changed"),
    [
        ("at most 1 image_url per prompt", Dialect(single=True)),
        ("Unsupported parameter: 'seed'", Dialect(without=frozenset({"seed"}))),
        ("response_format json_schema is not supported", Dialect("json_object")),
        ("something else", Dialect("json_object")),
    ],
)
def test_what_is_complained_about_is_left_out(complaint, changed):
    """By the words of the complaint; without a hint the form of the answer goes first."""
    assert simpler(Dialect(), complaint) == changed


def test_there_is_an_end_to_leaving_out(shown):
    """Every form is tried once, and the plainest asks for nothing that an endpoint may not know."""
    dialect, tried = Dialect(), []
    while dialect is not None:
        tried.append(dialect)
        dialect = simpler(dialect, "seed top_p temperature max_tokens image")
    assert len(tried) == len(set(tried)) == 8
    plainest = ask(shown, dialect=tried[-1])
    assert set(plainest) == {"model", "n", "max_completion_tokens", "messages"}


def test_the_guess_of_tokens_counts_words_and_pictures(shown):
    """Generous, so that a limit is kept before the endpoint has counted."""
    asked = ask(shown)
    assert assumed_tokens(asked) > 4 * 1600 + len(json.dumps(texts(asked))) // 4
