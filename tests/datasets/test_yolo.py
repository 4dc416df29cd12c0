"""Files of YOLO, in layouts that tools export."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from sklearn_cdul.datasets import load_yolo
from tests.datasets.common import NAMES, check_own, write_photos


def write_yolo(root, photos, labels, entry, names="[cup, tea pot]", path=None):
    write_photos(root / photos)
    (root / labels).mkdir(parents=True, exist_ok=True)
    (root / labels / "a.txt").write_text("0 .5 .5 .1 .1\n1 .1 .1 .2 .2 .3 .3\n\n")
    (root / labels / "c.txt").write_text("0.0 0.5 0.5 0.1 0.1\n0 0.2 0.2 0.1 0.1")
    (root / "data.yaml").write_text(
        (f"path: {path}\n" if path else "") + f"train: {entry}\nnc: 2\nnames: {names}\n"
    )


@pytest.mark.parametrize(
    "parameters",
    [
        {"photos": "images/train", "labels": "labels/train", "entry": "images/train"},
        {"photos": "train/images", "labels": "train/labels", "entry": "../train/images"},
        {"photos": "images", "labels": "labels", "entry": "images", "path": "../data/coco8"},
        {"photos": "photos", "labels": "photos", "entry": "[photos]"},
        {
            "photos": "images",
            "labels": "labels",
            "entry": "images",
            "names": "\n  1: tea pot\n  0: cup",
        },
    ],
)
def test_yolo_finds_photos_and_labels_where_tools_put_them(tmp_path, parameters):
    write_yolo(tmp_path, **parameters)
    check_own(load_yolo(tmp_path), "train")
    check_own(load_yolo(tmp_path / "data.yaml"), "train")


def test_yolo_reads_lists_of_photos_in_their_order(tmp_path):
    write_yolo(tmp_path, "images", "labels", "train.txt")
    (tmp_path / "train.txt").write_text("./images/c.jpg\n./images/a.jpg\n./images/gone.jpg\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 3 photos are missing.*gone\.jpg"):
        load_yolo(tmp_path)
    with pytest.warns(UserWarning, match="1 of 3 photos"):
        photos = load_yolo(tmp_path, missing="skip")
    assert [Path(path).name for path in photos.data] == ["c.jpg", "a.jpg"]


def test_yolo_reads_paths_that_were_written_on_windows(tmp_path):
    write_yolo(tmp_path, "images", "labels", "lists\\train.txt", path=".\\")
    (tmp_path / "lists").mkdir()
    lines = "".join(f"..\\images\\{name}\n" for name in NAMES)
    (tmp_path / "lists" / "train.txt").write_text(lines)
    check_own(load_yolo(tmp_path), "train")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 .5 .5 .1 .1", r"Line 2 of .*a\.txt is '2 .* 0 to 1"),
        ("cup .5 .5 .1 .1", r"Line 2 of .*a\.txt is 'cup"),
        ("0", r"Line 2 of .*a\.txt is '0'"),
        ("0.5 .5 .5 .1 .1", r"Line 2 of .*a\.txt is '0\.5"),
    ],
)
def test_yolo_names_the_line_that_is_wrong(tmp_path, line, message):
    write_yolo(tmp_path, "images", "labels", "images")
    (tmp_path / "labels" / "a.txt").write_text(f"1 .5 .5 .1 .1\n{line}\n")
    with pytest.raises(ValueError, match=message):
        load_yolo(tmp_path)


@pytest.mark.parametrize(
    ("yaml", "error", "message"),
    [
        ("train: [", ValueError, r"data\.yaml is not YAML"),
        ("cup", ValueError, r"data\.yaml has no keys"),
        ("train: images", ValueError, r'data\.yaml has no list "names"'),
        ("train: images\nnames: {0: cup, 2: pot}", ValueError, r"Expected 0 to 1"),
        ("train: images\nnames: [yes, no]", ValueError, r"Name 0 of names in .* is True"),
        ("train: images\nnames: [cup]\nnc: 2", ValueError, r'has 1 names, but "nc" is 2'),
        ("val: images\nnames: [cup, pot]", ValueError, r"photos for 'train'.*'val'"),
        (
            f"a: &a [{'x, ' * 9}x]\nb: &b [{'*a, ' * 9}*a]\nnames: [*b]",
            ValueError,
            "Name 0 of names",
        ),
        ("train: nowhere\nnames: [cup, pot]", FileNotFoundError, r"no .*nowhere, which .*'train'"),
    ],
)
def test_yolo_names_what_is_wrong_in_the_yaml_file(tmp_path, yaml, error, message):
    write_yolo(tmp_path, "images", "labels", "images")
    (tmp_path / "data.yaml").write_text(yaml)
    with pytest.raises(error, match=message):
        load_yolo(tmp_path)


def test_yolo_without_any_labels_says_where_they_should_be(tmp_path):
    write_yolo(tmp_path, "images", "labels", "images")
    shutil.rmtree(tmp_path / "labels")
    with pytest.raises(FileNotFoundError, match=r"The first would be .*labels.a\.txt"):
        load_yolo(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no file .*data\.yaml"):
        load_yolo(tmp_path / "images")


@pytest.mark.parametrize(("photos", "labels"), [("images", "labels"), (".", ".")])
def test_yolo_with_names_in_a_text_file_alone_is_read(tmp_path, photos, labels):
    write_yolo(tmp_path, photos, labels, "images")
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "classes.txt").write_text("cup\ntea pot\n")
    check_own(load_yolo(tmp_path), "train")
    with pytest.raises(ValueError, match=r"classes\.txt has no folder .* for 'val'"):
        load_yolo(tmp_path, split="val")


@pytest.mark.parametrize(
    "yaml",
    ["names: " + 5000 * "[", "nc: " + 5000 * "7", "day: 2026-99-99", "path: [a]", "names: [jar]"],
    ids=["deep", "long number", "no date", "list as path", "key twice"],
)
def test_yolo_whatever_yaml_holds_is_an_error_that_names_the_file(tmp_path, yaml):
    write_yolo(tmp_path, "images", "labels", "images")
    with open(tmp_path / "data.yaml", "a") as file:
        file.write(f"{yaml}\n")
    with pytest.raises(ValueError, match=r"data\.yaml (is not YAML|has the \"path\")") as caught:
        load_yolo(tmp_path)
    assert len(str(caught.value)) < 2000


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_yolo_messages_stay_short_whatever_yaml_holds(tmp_path):
    (tmp_path / "data.yaml").write_text("names: *" + "a" * 100_000)
    with pytest.raises(
        ValueError, match=r"data\.yaml is not YAML: found undefined alias"
    ) as caught:
        load_yolo(tmp_path)
    assert len(str(caught.value)) < 1000


def test_yolo_lists_may_name_photos_in_any_encoding(tmp_path):
    write_yolo(tmp_path, "images", "labels", "list.txt")
    for folder, name in (("images", b"caf\xe9.jpg"), ("labels", b"caf\xe9.txt")):
        source = tmp_path / folder / ("a" + name[-4:].decode())
        shutil.copy(source, tmp_path / folder / os.fsdecode(name))
    (tmp_path / "list.txt").write_bytes(b"images/caf\xe9.jpg\r\nimages/c.jpg")
    assert load_yolo(tmp_path).target.tolist() == [[1, 1], [1, 0]]
