"""Files and folders of annotations."""

import pytest

from server.annotation import read
from server.annotation.read import read_annotation
from server.annotation.types import AnnotationError

ROW = "Filename,OnsetFrame,ApexFrame,OffsetFrame\n{},1,2,3\n"


def test_a_folder_is_all_that_is_in_it(tmp_path):
    """Files that are no annotation are passed over, the others read in the order of their names."""
    for name in ("b.csv", "a.CSV"):
        (tmp_path / name).write_text(ROW.format(name))
    (tmp_path / "clip.mp4").write_bytes(b"film")
    assert [clip.name for clip in read_annotation(tmp_path).clips] == ["a.CSV", "b.csv"]


def test_what_cannot_be_read_is_named(tmp_path, monkeypatch):
    """A file that is not there, one of another kind, one too large, and a folder with nothing in it."""
    (tmp_path / "notes.docx").write_bytes(b"")
    (tmp_path / "large.csv").write_text(ROW)
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(read, "MOST_BYTES", 10)
    for path, message in (
        (tmp_path / "none.eaf", "No such file"),
        (tmp_path / "notes.docx", "the suffix is none of .eaf"),
        (tmp_path / "large.csv", "larger than 10 bytes"),
        (empty, "the folder holds no file"),
    ):
        with pytest.raises(AnnotationError, match=message) as raised:
            read_annotation(path)
        assert str(path) in raised.value.message
