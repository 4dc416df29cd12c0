"""A file is replaced whole, or not at all."""

import os
import re
import threading
from functools import partial
from pathlib import Path

import pytest

from sklearn_cdul._utils.atomic_write import atomic_write
from sklearn_cdul.datasets import (
    dump_coco,
    dump_csv,
    dump_fiftyone,
    dump_label_studio,
    load_food_photos,
)
from sklearn_cdul.review import LabelReport
from sklearn_cdul.review.answers import Answers


def test_a_file_appears_when_it_is_written_whole(tmp_path):
    path = tmp_path / "new.txt"
    with atomic_write(path) as part:
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_stops_the_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "old.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as part:
        part.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_link_stays_and_the_file_behind_it_is_replaced(tmp_path):
    (tmp_path / "other").mkdir()
    path, link = tmp_path / "other" / "old.txt", tmp_path / "link.txt"
    path.write_text("old")
    link.symlink_to(path)
    with atomic_write(link) as part:
        part.write_text("new")
    assert link.is_symlink() and path.read_text() == "new"
    assert list((tmp_path / "other").iterdir()) == [path]


def test_an_error_names_the_file_and_not_its_part(tmp_path):
    path = tmp_path / "no" / "labels.csv"
    with pytest.raises(FileNotFoundError) as caught, atomic_write(path):
        pass
    assert caught.value.filename == str(path)


def test_a_name_that_ends_in_a_slash_is_that_of_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos, labels, names = ["a.jpg"], [[1]], ["cup"]
    page = LabelReport.from_predictions([load_food_photos().data[0]], labels, class_names=names)
    for write in (
        page.save,
        partial(Answers, photos=photos, names=names),
        *(partial(dump, photos, labels, names) for dump in (dump_csv, dump_coco, dump_fiftyone)),
        partial(dump_label_studio, ["a/a.jpg"], labels, names),
    ):
        with pytest.raises(IsADirectoryError, match=r"Name a file: .*new\.csv/"):
            write("new.csv/")
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_to_and_a_folder_is_an_error(tmp_path):
    with atomic_write(os.devnull) as part:
        part.write_text("nothing")
    assert not os.path.isfile(os.devnull)
    with pytest.raises(OSError), atomic_write(tmp_path) as part:
        part.write_text("nothing")


@pytest.mark.skipif(os.name == "nt", reason="paths are shorter on Windows")
def test_the_name_of_a_part_cant_be_foreseen_and_may_be_that_of_a_long_file(tmp_path):
    path, names = tmp_path / (250 * "n"), set()
    for _ in range(3):
        with atomic_write(path) as part:
            assert re.fullmatch(r"n{40}\.[0-9a-f]{16}\.part", part.name)
            assert part.exists()  # nobody else can make it now
            names.add(part.name)
            part.write_text("new")
    assert len(names) == 3 and list(tmp_path.iterdir()) == [path]


def test_threads_may_write_the_same_file(tmp_path):
    path, failed = tmp_path / "labels.csv", []

    def write(text):
        for _ in range(20):
            try:
                with atomic_write(path) as part:
                    part.write_text(text)
                assert len(path.read_text()) == 1000
            except PermissionError:  # Windows, where another thread has it open
                pass
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=write, args=(1000 * sign,)) for sign in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert list(tmp_path.iterdir()) == [path]


def test_parts_that_killed_runs_left_behind_are_deleted(tmp_path):
    old = tmp_path / f"labels.csv.{16 * '0'}.part"
    new = tmp_path / f"labels.csv.{16 * '1'}.part"
    other = tmp_path / "labels.csv.old.part"
    for path in (old, new, other):
        path.write_text("")
    for path in (old, other):
        os.utime(path, (0, 0))
    with atomic_write(tmp_path / "labels.csv") as part:
        part.write_text("x")
    assert {path.name for path in tmp_path.iterdir()} == {new.name, other.name, "labels.csv"}


def test_the_home_folder_may_be_written_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    with atomic_write("~/a.txt") as part:
        part.write_text("x")
    assert (tmp_path / "a.txt").read_text() == "x"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk to write to")
def test_an_error_names_the_file_on_a_full_disk():
    message = "No space left on device: '/dev/full'"
    with pytest.raises(OSError, match=message), atomic_write("/dev/full") as part:
        part.write_text("x")
