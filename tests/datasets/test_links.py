"""Photos sorted into a folder per class by links."""

import os

import pytest

from sklearn_cdul.datasets import dump_folders, list_photos, load_folders


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / "photos" / name for name in ("a.jpg", "deep/a.jpg", "b.jpg")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(path).encode())
    return paths


def test_each_photo_is_linked_from_the_folders_of_its_classes(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = ["photos/a.jpg", photos[1], photos[2]]
    dump_folders(data, [["bread", "cup"], ["cup"], []], ["bread", "cup", "egg"], "sorted")
    links = [os.path.relpath(path, "sorted") for path in list_photos("sorted")]
    expected = ["bread/a.jpg", "cup/a.jpg", "cup/deep/a.jpg"]
    assert [link.replace(os.sep, "/") for link in links] == expected
    for link, photo in zip(list_photos("sorted"), [0, 0, 1], strict=True):
        assert os.path.samefile(link, photos[photo])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos", "sorted"]


def test_its_reader_gives_back_what_was_written(photos, tmp_path):
    dump_folders(photos, [["cup"], ["egg"], ["cup"]], ["cup", "egg"], tmp_path / "sorted")
    found = load_folders(tmp_path / "sorted")
    assert found.target.tolist() == [[1, 0], [1, 0], [0, 1]]
    assert [os.path.realpath(path) for path in found.data] == [
        os.path.realpath(photos[row]) for row in (0, 2, 1)
    ]


def test_hard_links_where_there_are_no_symbolic_ones(photos, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("not allowed")

    monkeypatch.setattr(os, "symlink", refuse)
    (tmp_path / "sorted").mkdir()  # an empty folder is fine
    dump_folders(photos, [["cup"], [], []], ["cup"], tmp_path / "sorted")
    link = tmp_path / "sorted" / "cup" / "a.jpg"
    assert not link.is_symlink() and link.samefile(photos[0])


def test_a_folder_that_is_there_is_left_alone(photos, tmp_path):
    with pytest.raises(ValueError, match="photos is there already, and is no empty folder"):
        dump_folders(photos, [["cup"], [], []], ["cup"], tmp_path / "photos")
    with pytest.raises(ValueError, match=r"b\.jpg is there already"):
        dump_folders(photos, [["cup"], [], []], ["cup"], photos[2])
    assert len(list_photos(tmp_path)) == 3


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden"])
def test_names_that_are_no_folders_are_refused(photos, tmp_path, name):
    with pytest.raises(ValueError, match="can't be written"):
        dump_folders(photos, [[], [], []], [name], tmp_path / "sorted")


def test_no_photos_make_an_empty_folder(tmp_path):
    dump_folders([], [], ["cup"], tmp_path / "sorted")
    assert list((tmp_path / "sorted").iterdir()) == []
