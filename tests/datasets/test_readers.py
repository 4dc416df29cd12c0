"""What all readers of labels have in common."""

import os
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import (
    list_photos,
    load_coco,
    load_csv,
    load_nus_wide,
    load_voc,
    load_yolo,
)
from tests.datasets.common import shown
from tests.datasets.trees import write_photo


@pytest.fixture(params=["voc", "coco", "nus"])
def reader(request):
    """(function of `missing` that reads two or more photos, all of them in order)."""
    root = request.getfixturevalue(request.param)
    load, split = {
        "voc": (load_voc, "trainval"),
        "coco": (load_coco, "val2017"),
        "nus": (load_nus_wide, "train"),
    }[request.param]

    def read(**parameters):
        return load(root, **{"split": split, **parameters})

    return read, read()


def test_missing_photos_are_an_error_that_counts_them(reader):
    read, everything = reader
    Path(everything.data[1]).unlink()
    n = len(everything.data)
    name = Path(everything.data[1]).name
    with pytest.raises(FileNotFoundError, match=f'1 of {n} photos .*{name}.*missing="skip"'):
        read()


def test_missing_photos_can_be_left_out_with_one_warning(reader):
    read, everything = reader
    Path(everything.data[1]).unlink()
    kept = [i for i in range(len(everything.data)) if i != 1]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        photos = read(missing="skip")
    assert len(caught) == 1
    assert "1 of" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert photos.data == [everything.data[i] for i in kept]
    np.testing.assert_array_equal(photos.target, everything.target[kept])
    assert len(photos.split) == len(kept)


def test_nothing_is_said_when_no_photo_is_missing(reader):
    read, everything = reader
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(missing="skip").data == everything.data


def test_a_folder_without_any_of_the_photos_is_an_error(reader):
    read, everything = reader
    for path in everything.data:
        Path(path).unlink()
    n = len(everything.data)
    for missing in ("raise", "skip"):
        with pytest.raises(FileNotFoundError, match=f"{n} of {n} photos .*Check that"):
            read(missing=missing)


@pytest.mark.parametrize(
    ("load", "parameters"),
    [
        (load_voc, {"classes": "coco"}),
        (load_voc, {"year": 2012}),
        (load_voc, {"year": "2006"}),
        (load_voc, {"difficult": "ignore"}),
        (load_voc, {"missing": "error"}),
        (load_coco, {"crowd": True}),
        (load_coco, {"missing": None}),
        (load_nus_wide, {"split": "val"}),
        (load_nus_wide, {"missing": ""}),
    ],
)
def test_unknown_values_are_refused(load, parameters, tmp_path):
    ((name, value),) = parameters.items()
    with pytest.raises(ValueError, match=f'^{name} must be ".*, got {value!r}'):
        load(tmp_path, **parameters)


def test_labeler_takes_the_photos_and_their_labels(reader):
    _, photos = reader
    labeler = CLIPPseudoLabeler(photos.target_names, grid_size=1).fit()
    labels = labeler.transform(photos.data[:3])
    assert labels.shape == photos.target[:3].shape
    assert np.isfinite(labels).all()
    assert labeler.get_feature_names_out().tolist() == photos.target_names
    assert 0 <= labeler.score(photos.data, photos.target) <= 1


def test_benchmark_tree_holds_the_labels_of_the_table(tmp_path, monkeypatch):
    script = Path(__file__).parents[2] / "benchmarks" / "voc_tree.py"
    if not script.exists():
        pytest.skip("this test reads a checkout of the source")
    monkeypatch.syspath_prepend(script.parent)
    table = ["filename,labels,split", "b.jpg,dog;tvmonitor,train", "a.jpg,,train", "c.jpg,cat,test"]
    for name in "abc":
        write_photo(tmp_path / "in" / "images" / f"{name}.jpg")
    (tmp_path / "in" / "labels.csv").write_text("\n".join(table) + "\n")
    devkit = runpy.run_path(str(script))["write_tree"](tmp_path / "in", tmp_path / "out")
    assert shown(load_voc(devkit)) == {"a.jpg": [], "b.jpg": ["dog", "tv monitor"]}
    assert shown(load_voc(devkit, split="val")) == {"c.jpg": ["cat"]}
    lists = devkit / "VOC2012" / "ImageSets" / "Main"
    assert (lists / "dog_trainval.txt").read_text() == "a -1\nb  1\nc -1\n"


def test_what_is_read_serves_score(tmp_path, food_photos):
    names = ["fruit", "bread"]
    columns = [food_photos.target_names.index(name) for name in names]
    lines = [
        ",".join([path, *map(str, row)])
        for path, row in zip(food_photos.data[:8], food_photos.target[:8, columns], strict=True)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["path,fruit,bread", *lines]))
    photos = load_csv(tmp_path / "labels.csv")
    labeler = CLIPPseudoLabeler(photos.target_names, grid_size=1).fit()
    assert 0.3 < labeler.score(photos.data, photos.target) <= 1


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path, monkeypatch):
    closed = tmp_path / "photos" / "closed"
    closed.mkdir(parents=True)
    (tmp_path / "photos" / "a.jpg").touch()
    scandir = os.scandir

    def refuse(path):  # root may read all folders, so no permission is taken away
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="closed"):
        list_photos(tmp_path / "photos")


def test_escape_sequences_in_file_names_do_not_reach_the_terminal(tmp_path):
    name = "\x1b[2J.jpg"
    (tmp_path / "labels.csv").write_text(f"path,labels\n{name},cup\n")
    (tmp_path / "list.txt").write_text(f"{name}\n")
    (tmp_path / "data.yaml").write_text("names: [cup]\ntrain: list.txt\n")
    for read in (lambda: load_csv(tmp_path / "labels.csv"), lambda: load_yolo(tmp_path)):
        with pytest.raises(FileNotFoundError, match=r"\\x1b\[2J") as caught:
            read()
        assert "\x1b" not in str(caught.value)
