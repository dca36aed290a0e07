"""The reader of flow image folders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from export.data.flow_images import read_flow_images, read_unlabelled_images, write_flow_images
from server.errors import InputError

HEADER = "path,dataset,subject,label\n"


def _folder(path: Path, index: str = HEADER + "a.png,smic,s01,positive\n", side: int = 28) -> Path:
    image = np.zeros((side, side, 3), np.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 30, 20, 10
    cv2.imwrite(str(path / "a.png"), image)
    (path / "index.csv").write_text(index, encoding="utf-8")
    return path


def test_channels_come_as_u_v_strain(tmp_path: Path) -> None:
    """Red is u, green v and blue strain, whatever order the image library likes."""
    data = read_flow_images(_folder(tmp_path))
    assert data.images.shape == (1, 3, 28, 28)
    assert data.images[0, :, 5, 7].tolist() == [10, 20, 30]
    assert data.labels.tolist() == [1]
    assert (data.datasets, data.subjects, data.paths) == (("smic",), ("s01",), ("a.png",))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (HEADER + "a.png,smic,s01,happy\n", "line 2: label 'happy' is none of negative, positive, surprise"),
        (HEADER + "b.png,smic,s01,positive\n", "b.png is listed in index.csv but does not exist"),
        (HEADER + "../a.png,smic,s01,positive\n", "path '../a.png' leaves the folder"),
        (HEADER + "/a.png,smic,s01,positive\n", "path '/a.png' leaves the folder"),
        (HEADER + "a.png,smic,,positive\n", "line 2: no subject"),
        (HEADER + "a.png,smic,s01,positive\na.png,smic,s02,negative\n", "line 3: a.png is listed twice"),
        ("path,dataset,label\na.png,smic,positive\n", "no column subject"),
        (HEADER, "lists no sample"),
    ],
)
def test_wrong_index_is_refused_by_name(tmp_path: Path, index: str, message: str) -> None:
    """Each fault of an index is reported with its file and line."""
    with pytest.raises(InputError, match=message):
        read_flow_images(_folder(tmp_path, index))


def test_folder_without_index_is_refused(tmp_path: Path) -> None:
    """A folder that is no data set is named, with what it lacks."""
    with pytest.raises(InputError, match=r"index\.csv does not exist"):
        read_flow_images(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_unreadable_image_is_named(tmp_path: Path, content: bytes) -> None:
    """A file that is no picture is reported by its path."""
    _folder(tmp_path)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.png is not a readable image"):
        read_flow_images(tmp_path)


def test_image_of_another_size_is_refused(tmp_path: Path) -> None:
    """Nothing is resized silently."""
    with pytest.raises(InputError, match="32 x 32 pixels, not 28 x 28"):
        read_flow_images(_folder(tmp_path, side=32))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    """Synthetic samples survive the round trip unchanged, and a second write into the folder is refused."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 3, 28, 28)).astype(np.uint8)
    labels = np.array([2, 0, 1, 0])
    write_flow_images(tmp_path, images, labels, "synthetic")
    data = read_flow_images(tmp_path)
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)
    assert len(set(data.subjects)) == 4
    with pytest.raises(InputError, match="exists"):
        write_flow_images(tmp_path, images, labels, "synthetic")


def test_hash_changes_with_a_pixel_and_with_a_label(tmp_path: Path) -> None:
    """The hash of a data set covers what it shows and what it says."""
    first = read_flow_images(_folder(tmp_path)).sha256
    assert read_flow_images(_folder(tmp_path, HEADER + "a.png,smic,s01,negative\n")).sha256 != first
    image = cv2.imread(str(_folder(tmp_path) / "a.png"))
    assert image is not None
    image[0, 0, 0] += 1
    cv2.imwrite(str(tmp_path / "a.png"), image)
    assert read_flow_images(tmp_path).sha256 != first


def test_real_samples_have_the_published_counts(shared: Path) -> None:
    """SMIC and CASME II hold 164 and 145 samples of 40 subjects, 158 negative, 83 positive, 68 surprise."""
    data = read_flow_images(shared / "megc2019_flow")
    assert {name: data.datasets.count(name) for name in set(data.datasets)} == {"smic": 164, "casme2": 145}
    assert np.bincount(data.labels).tolist() == [158, 83, 68]
    assert len(set(zip(data.datasets, data.subjects, strict=True))) == 40
    assert (data.images.min((2, 3)) == 0).all()
    assert (data.images.max((2, 3)) == 255).all()


def test_unlabelled_images_need_no_label(tmp_path: Path) -> None:
    """An index of paths is enough; a label, even an unknown one, is neither read nor part of the hash."""
    bare = read_unlabelled_images(_folder(tmp_path, "path\na.png\n"))
    labelled = read_unlabelled_images(_folder(tmp_path, HEADER + "a.png,smic,,nonsense\n"))
    assert bare.paths == labelled.paths == ("a.png",)
    assert bare.images[0, :, 5, 7].tolist() == [10, 20, 30]
    assert bare.sha256 == labelled.sha256


@pytest.mark.parametrize(
    "index", ["file\na.png\n", "path\n", "path\n../a.png\n", "path\nb.png\n", "path\na.png\na.png\n"]
)
def test_wrong_unlabelled_index_is_refused(tmp_path: Path, index: str) -> None:
    """A missing column, no sample, a path outside, a missing file and a repeated one are faults here as well."""
    with pytest.raises(InputError):
        read_unlabelled_images(_folder(tmp_path, index))
