"""Folders of photos, listed or taken as classes."""

import re
import warnings
from pathlib import Path

import pytest

from sklearn_cdul.datasets import list_photos, load_folders
from tests.datasets.common import check_own
from tests.datasets.trees import write_photo


def test_photos_of_a_folder_are_listed_in_order_without_hidden_and_other_files(tmp_path):
    wanted = ["a.JPG", "b/c.png", "b/d e.webp", "f.heic"]
    for name in [*wanted, ".hidden.jpg", ".cache/x.jpg", "notes.txt", "b/labels.csv"]:
        write_photo(tmp_path / name)
    assert list_photos(tmp_path) == [str(tmp_path / name) for name in wanted]


def test_listed_paths_begin_as_the_folder_was_given(tmp_path, monkeypatch):
    write_photo(tmp_path / "photos" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert list_photos("photos") == [str(Path("photos", "a.jpg"))]


def test_a_folder_without_photos_says_what_is_in_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no photo in .*it has no files"):
        list_photos(tmp_path)
    for name in ("a.txt", "b.txt", "README"):
        (tmp_path / name).write_text("")
    with pytest.raises(FileNotFoundError, match=r"no photo in .*2 \.txt, 1 no ending"):
        list_photos(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        list_photos(tmp_path / "nowhere")


def test_folders_are_classes(tmp_path):
    for name in ("test/cup/a.jpg", "test/tea pot/deep/b.png", "train/cup/c.jpg"):
        write_photo(tmp_path / name)
    test = {"a.jpg": ["cup"], "b.png": ["tea pot"]}
    check_own(load_folders(tmp_path, split="test"), "test", names=test)
    check_own(load_folders(tmp_path / "test"), "all", names=test)
    train = load_folders(tmp_path, split="train", classes=["cup", "tea pot"])
    check_own(train, "train", names={"c.jpg": ["cup"]})


def test_folders_name_what_is_wrong(tmp_path):
    write_photo(tmp_path / "cup" / "a.jpg")
    with pytest.raises(ValueError, match=r"has the class 'cup', which is not among classes: 'jar'"):
        load_folders(tmp_path, classes=["jar"])
    with pytest.raises(ValueError, match=r"a\.jpg lies in no folder of a class"):
        load_folders(tmp_path / "cup")
    with pytest.raises(FileNotFoundError, match=r"no folder .*train"):
        load_folders(tmp_path, split="train")


def test_what_is_left_out_of_a_folder_is_counted_in_one_warning(tmp_path):
    for name in ("@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", "b", "b/@EADIR"):
        write_photo(tmp_path / name / "a.jpg")
    for name in ("x.CR2", "b/y.nef", "b/z.cr2", "b/notes.txt"):
        (tmp_path / name).write_text("")
    listed = "5 folders of the system, 2 .cr2, 1 .nef"
    try:
        (tmp_path / "c").symlink_to(tmp_path / "b")
        listed = f"1 links to folders, {listed}"
    except OSError:  # Windows
        pass
    with pytest.warns(UserWarning, match=re.escape(f"left out: {listed}.")) as caught:
        assert list_photos(tmp_path) == [str(tmp_path / "b" / "a.jpg")]
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list_photos(tmp_path / "b" / "@EADIR")
