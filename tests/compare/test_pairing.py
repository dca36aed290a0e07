"""Which clip is which."""

import pytest

from server.annotation.types import Annotation, AnnotationError, CodedClip
from server.compare.pairing import pair_clips
from tests.compare.annotations import annotation, coded


def _names(pairing):
    return [(pair.machine.name, pair.human.name) for pair in pairing.pairs]


def test_folders_and_suffixes_do_not_matter():
    """A path of the machine is the file name that the coder wrote."""
    pairing = pair_clips(
        annotation("m", **{"corpus/one.mp4": [], "corpus/two.mp4": []}), annotation("h", two=[], One=[])
    )
    assert _names(pairing) == [("corpus/one.mp4", "One"), ("corpus/two.mp4", "two")]
    assert pairing.notes == ()


def test_subjects_tell_clips_of_one_name_apart():
    """CASME II has the same file names for several subjects, its folders are sub01, its sheet says 1."""
    pairing = pair_clips(
        annotation("m", **{"c/sub01/EP1.avi": [], "c/sub02/EP1.avi": []}), annotation("h", **{"2/EP1": [], "1/EP1": []})
    )
    assert _names(pairing) == [("c/sub01/EP1.avi", "1/EP1"), ("c/sub02/EP1.avi", "2/EP1")]


def test_a_clip_of_one_alone_is_said():
    """The other has no event there; or the clip is left out, where that is wanted."""
    machine, human = annotation("m", a=[coded(0, 1, 2)], b=[]), annotation("h", b=[], c=[])
    pairing = pair_clips(machine, human)
    assert [(pair.name, len(pair.machine.events), len(pair.human.events)) for pair in pairing.pairs] == [
        ("a", 1, 0),
        ("b", 0, 0),
        ("c", 0, 0),
    ]
    assert pairing.notes == (
        "only m names 1 of the clips (the other has no event there): a",
        "only h names 1 of the clips (the other has no event there): c",
    )
    assert [pair.name for pair in pair_clips(machine, human, common=True).pairs] == ["b"]


def test_one_clip_each_is_the_same_clip():
    """Whatever they are called; that this was assumed is said."""
    pairing = pair_clips(annotation("m", film=[]), annotation("h", coded=[]))
    assert (len(pairing.pairs), pairing.notes) == (1, ("film and coded are taken for one clip",))


def test_frames_become_seconds_by_the_rate_that_is_known():
    """That of the caller, else that of either annotation; without one it is an error that says what to do."""
    frames = Annotation("h", (CodedClip("a", (coded(50, 60, 70),), "frames"),))
    for machine, fps, onset in (
        (CodedClip("a", fps=100.0), None, 0.5),
        (CodedClip("a", fps=100.0), 25.0, 2.0),
    ):
        [pair] = pair_clips(Annotation("m", (machine,)), frames, fps=fps).pairs
        assert (pair.human.events[0].onset, pair.human.unit) == (onset, "seconds")
    with pytest.raises(AnnotationError, match=r"times of a are frames; give the frame rate \(--fps\)"):
        pair_clips(annotation("m", a=[]), frames)


def test_two_clips_of_one_name_are_refused():
    """It cannot be known which one is meant."""
    twice = Annotation("m", (CodedClip("a.mp4"), CodedClip("a.mp4"), CodedClip("b.mp4")))
    with pytest.raises(AnnotationError, match=r"^m: two clips are called 'a.mp4'"):
        pair_clips(twice, annotation("h", a=[]))
