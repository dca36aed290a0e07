"""A corpus of rendered clips: its files, its index, and what a second run does."""

import csv
import hashlib
import json
from collections import Counter

import av
import pytest

from export.synthesis.corpus import INDEX_COLUMNS, CorpusOptions, make_corpus, plan_clip
from export.synthesis.identities import default_face
from export.synthesis.scenes import SceneOptions
from server.errors import InputError, OptionError

TINY = CorpusOptions(seed=7, identities=2, size=240, rates=(25,), scene=SceneOptions(seconds=(1.4, 1.4)))


@pytest.fixture(scope="module")
def face():
    return default_face()


@pytest.fixture(scope="module")
def corpus(face, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    make_corpus(folder, 4, TINY, [face])
    return folder


def _digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.*")}


def _rows(folder):
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_clip_is_listed_with_what_is_true_of_it(corpus):
    """The index has the columns of every data folder first, and each row fits the clip and the JSON beside it."""
    rows = _rows(corpus)
    assert tuple(rows[0]) == INDEX_COLUMNS
    assert INDEX_COLUMNS[:4] == ("path", "dataset", "subject", "label")
    for row in rows:
        truth = json.loads((corpus / row["path"]).with_suffix(".json").read_text(encoding="utf-8"))
        with av.open(str(corpus / row["path"])) as container:
            assert container.streams.video[0].frames == int(row["frames"]) == truth["frames"]
            assert container.streams.video[0].average_rate == int(row["fps"])
        assert row["subject"] == truth["identity"]["name"]
        assert row["label"] in ({event["label"] for event in truth["events"]} or {"none"})


def test_processes_do_not_change_a_clip(corpus, face, tmp_path):
    """Two processes write the same bytes as one."""
    make_corpus(tmp_path, 4, TINY, [face], processes=2)
    assert _digests(tmp_path) == _digests(corpus)


def test_a_second_run_keeps_what_is_there_and_makes_the_rest(corpus, face, tmp_path):
    """A clip with its ground truth is kept, one without is made again, and more may be asked for."""
    make_corpus(tmp_path, 2, TINY, [face])
    first, second = (tmp_path / row["path"] for row in _rows(tmp_path))
    first.write_bytes(b"mine")
    second.with_suffix(".json").unlink()
    seen = []
    make_corpus(tmp_path, 3, TINY, [face], on_progress=lambda done, total: seen.append((done, total)))
    assert first.read_bytes() == b"mine"
    assert second.with_suffix(".json").is_file()
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert len(_rows(tmp_path)) == 3


def test_other_options_need_another_folder(corpus, face):
    """Clips made otherwise are not mixed in."""
    with pytest.raises(InputError, match="other options"):
        make_corpus(corpus, 4, CorpusOptions(seed=8), [face])


def test_a_folder_with_other_things_is_left_alone(face, tmp_path):
    """Nothing is written beside files of somebody else."""
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="something else"):
        make_corpus(tmp_path, 1, TINY, [face])


def test_classes_are_equally_many_for_everybody(face):
    """Each identity shows each class, and some clips show nothing."""
    options = CorpusOptions(seed=1, identities=3)
    plans = [plan_clip(number, options, [face]) for number in range(90)]
    labels = Counter(
        (plan.identity, plan.performance.expressions[0].label) for plan in plans if plan.performance.expressions
    )
    assert len(labels) == 9
    assert max(labels.values()) <= 10
    assert sum(labels.values()) < 90


@pytest.mark.parametrize(
    "changes",
    [
        {"size": 250},
        {"rates": ()},
        {"rates": (1000,)},
        {"identities": 0},
        {"scene": SceneOptions(seconds=(1.0, 1.0), expressions=(2, 2))},
        {"scene": SceneOptions(sources=())},
        {"scene": SceneOptions(peak_iod=(0.5, 0.6))},
    ],
)
def test_options_that_cannot_be_are_refused(changes):
    """An option error, before anything is written."""
    with pytest.raises(OptionError):
        CorpusOptions(**changes).check()
