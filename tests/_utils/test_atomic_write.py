"""A file is replaced whole, or not at all."""

import os

import pytest

from sklearn_cdul._utils.atomic_write import atomic_write


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


def test_a_device_is_written_to_and_a_folder_is_an_error(tmp_path):
    with atomic_write(os.devnull) as part:
        part.write_text("nothing")
    assert not os.path.isfile(os.devnull)
    with pytest.raises(OSError), atomic_write(tmp_path) as part:
        part.write_text("nothing")
