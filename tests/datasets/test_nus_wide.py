"""Files of NUS-WIDE."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul.datasets import load_nus_wide
from tests.datasets.common import check_bunch, shown
from tests.datasets.trees import NUS


def test_nus_wide_labels_are_the_ground_truth_of_the_part(nus):
    photos = load_nus_wide(nus)
    check_bunch(photos, 3, NUS, "train")
    assert list(shown(photos).items()) == [
        ("0001_2124494179.jpg", ["person", "sky"]),
        ("0002_258761806.jpg", []),
        ("0499_2291103045.jpg", ["animal", "grass", "zebra"]),
    ]
    assert Path(photos.data[0]) == nus / "Flickr" / "actor" / "0001_2124494179.jpg"
    assert photos.attributions == []
    test = load_nus_wide(str(nus), split="test")
    check_bunch(test, 1, NUS, "test")
    assert shown(test) == {"0002_174174086.jpg": ["airport"]}


def test_nus_wide_reads_lists_with_slashes_and_other_line_ends(nus):
    expected = load_nus_wide(nus)
    path = nus / "ImageList" / "TrainImagelist.txt"
    path.write_text(path.read_text().replace("\\", "/").rstrip() + " \n\n")
    for path in (nus / "Groundtruth" / "TrainTestLabels").iterdir():
        path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").rstrip())
    photos = load_nus_wide(nus)
    assert photos.data == expected.data
    np.testing.assert_array_equal(photos.target, expected.target)


def test_nus_wide_wrong_folders_and_missing_files_are_named(nus, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        load_nus_wide(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"TrainImagelist\.txt\. .*holds Flickr"):
        load_nus_wide(nus / "Flickr")
    (nus / "Groundtruth" / "TrainTestLabels" / "Labels_moon_Test.txt").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"Labels_moon_Test\.txt\. Expected 0 or 1 per line"
    ):
        load_nus_wide(nus, split="test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"0\r\n1\r\n", r"Labels_moon_Train\.txt has 2 labels\. .*of the 3 photos"),
        (b"0\r\n1\r\n0\r\n0\r\n", r"Labels_moon_Train\.txt has 4 labels"),
        (b"", r"Labels_moon_Train\.txt has 0 labels"),
        (b"0\r\n-1\r\n1\r\n", r"Label 2 of .*Labels_moon_Train\.txt is '-1'"),
        (b"0\r\n1\r\n\xff\r\n", r"Labels_moon_Train\.txt is not UTF-8"),
    ],
)
def test_nus_wide_damaged_labels_are_named(nus, content, message):
    (nus / "Groundtruth" / "TrainTestLabels" / "Labels_moon_Train.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_nus_wide(nus)


def test_nus_wide_list_with_a_hole_is_refused(nus):
    path = nus / "ImageList" / "TrainImagelist.txt"
    path.write_bytes(b"actor\\0001_2124494179.jpg\r\n\r\nzebra\\0499_2291103045.jpg\r\n")
    with pytest.raises(ValueError, match=r"Line 2 of .*TrainImagelist\.txt is empty"):
        load_nus_wide(nus)
