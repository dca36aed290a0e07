"""From what a command line names to the files of a corpus."""

import io
import os
import sys
from pathlib import Path

import pytest

from server.bulk.examine import read
from server.bulk.inputs import find, name_of
from server.bulk.outcomes import NO_STAMP
from server.errors import OptionError


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Files, folders, links and what is hidden; the working directory is above."""
    names = ("b/2.mp4", "b/10.MP4", "a.mov", "c.webm", "notes.txt", ".hidden.mp4", ".cache/x.mp4", "b/.h/y.mp4")
    for name in names:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "tree" / "link.mp4").symlink_to("a.mov")
    (tmp_path / "tree" / "round").symlink_to(tmp_path / "tree", target_is_directory=True)
    (tmp_path / "tree" / "dangling.mp4").symlink_to("nowhere")
    os.mkfifo(tmp_path / "tree" / "pipe.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["tree"], ["a.mov", "b/10.MP4", "b/2.mp4", "c.webm", "dangling.mp4", "link.mp4"]),
        (["tree/round"], ["round/a.mov", "round/b/10.MP4", "round/b/2.mp4", "round/c.webm", "round/dangling.mp4"]),
        (["tree/**/*.mp4"], ["b/2.mp4", "dangling.mp4", "link.mp4"]),
        (["tree/*"], ["a.mov", "c.webm", "dangling.mp4", "link.mp4", "notes.txt"]),
        (["tree/.*"], [".hidden.mp4"]),
        (["tree/notes.txt", "tree/a.mov", "tree/missing.mp4"], ["notes.txt", "a.mov", "missing.mp4"]),
    ],
)
def test_what_is_found_and_in_which_order(tree, named, expected):
    """Folders are searched for videos, in the order of names, without what is hidden and without links to folders;
    patterns take what they match; what is named is taken as it is.
    """
    found = [str(path.relative_to("tree")) for path in find(named)]
    assert found[: len(expected)] == expected
    assert len(found) == len(expected) + (named == ["tree/round"])


def test_lists_name_files_one_a_line(tree, monkeypatch):
    """In a file or on stdin, in their order, whatever the names are."""
    listed = b"tree/c.webm\r\n\ntree/a.mov\n" + b"tree/\xff.mp4\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(listed)))
    Path("list").write_bytes(listed)
    wanted = [b"tree/c.webm", b"tree/a.mov", b"tree/\xff.mp4"]
    assert [os.fsencode(path) for path in find(["-"])] == wanted
    assert [os.fsencode(path) for path in find([], ["list"])] == wanted


@pytest.mark.parametrize(("inputs", "lists"), [(["tree/*.avi"], []), (["tree/**x/*"], []), ([], ["no list"])])
def test_what_names_nothing_is_refused(tree, inputs, lists):
    """A pattern without a match is a mistake, as is a list that is not there."""
    with pytest.raises(OptionError):
        list(find(inputs, lists))


def test_names_are_relative_to_the_root(tmp_path):
    """Below it; others are absolute. A name that is no UTF-8 is told in a way that is."""
    assert name_of(tmp_path / "a" / ".." / "b.mp4", tmp_path) == "b.mp4"
    assert name_of(tmp_path / "b.mp4", tmp_path / "a") == str(tmp_path / "b.mp4")
    assert name_of(Path(os.fsdecode(bytes(tmp_path) + b"/\xff\xc3\xa9.mp4")), tmp_path) == "\\xffé.mp4"


def test_only_regular_files_of_a_size_are_read(tree):
    """A pipe is not waited for, a folder and a device are no clips, and a limit is told with its setting."""
    for path in (tree / "pipe.mp4", tree, Path("/dev/zero"), tree / "dangling.mp4"):
        stamp, failure = read(os.fsencode(path), 100)
        assert (stamp, failure.code, failure.stage) == (NO_STAMP, "unreadable-file", "read")
    (tree / "a.mov").write_bytes(bytes(101))
    stamp, failure = read(os.fsencode(tree / "a.mov"), 100)
    assert (stamp.size, failure.code) == (101, "limit-exceeded")
    assert failure.details == {"setting": "GLIMPSE_LIMITS__UPLOAD_BYTES", "limit": 100}
    stamp, content = read(os.fsencode(tree / "a.mov"), 101)
    assert content == bytes(101)
    assert len(stamp.sha256) == 64
