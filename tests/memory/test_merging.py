"""Folders of several machines become one."""

import pytest

from sklearn_cdul.memory import memory_size, merge_memory
from tests.memory.entries import fill, right_numbers


def test_what_several_machines_stored_is_in_one_folder_once(tmp_path):
    folders = {"a": range(400), "b": range(300, 600), "c": [600]}
    for name, numbers in folders.items():
        fill(tmp_path / name, numbers)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert merge_memory(tmp_path / "all", [tmp_path / name for name in folders]) == 601
    assert right_numbers(tmp_path / "all", range(601)) == list(range(601))
    assert {path: path.read_bytes() for path in before} == before
    assert merge_memory(tmp_path / "all", [str(tmp_path / "a")]) == 0


def test_what_the_folder_has_stays(tmp_path):
    fill(tmp_path / "a", [1, 2])
    fill(tmp_path / "b", [2, 3])
    assert merge_memory(tmp_path / "a", [tmp_path / "b"]) == 1
    assert right_numbers(tmp_path / "a", range(5)) == [1, 2, 3]


def test_many_files_become_few_and_equal_entries_one(tmp_path, in_a_fork):
    for _ in range(5):
        assert in_a_fork(lambda: fill(tmp_path / "many", range(10))) == 0
    assert len(list((tmp_path / "many").iterdir())) == 10
    assert merge_memory(tmp_path / "few", [tmp_path / "many"]) == 10
    assert len(list((tmp_path / "few").iterdir())) == 2
    assert memory_size(tmp_path / "few") == memory_size(tmp_path / "many") / 5


def test_a_damaged_folder_gives_what_can_be_read_of_it(tmp_path):
    fill(tmp_path / "damaged", range(60))
    (data,) = (tmp_path / "damaged").glob("*.data")
    content = bytearray(data.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20_000] = bytes(20_000)
    data.write_bytes(content)
    with pytest.warns(UserWarning, match=f"{data.name} is damaged"):
        copied = merge_memory(tmp_path / "all", [tmp_path / "damaged"])
    assert 40 < copied < 60
    assert len(right_numbers(tmp_path / "all", range(60))) == copied


def test_damage_in_the_folder_is_mended_from_the_others(tmp_path):
    fill(tmp_path / "a", range(10))
    fill(tmp_path / "b", range(10))
    (data,) = (tmp_path / "a").glob("*.data")
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="is damaged"):
        assert merge_memory(tmp_path / "a", [tmp_path / "b"]) == 1
    assert right_numbers(tmp_path / "a", range(10)) == list(range(10))


def test_a_folder_without_embeddings_is_refused_before_anything_is_copied(tmp_path):
    fill(tmp_path / "a", [1])
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        with pytest.raises(OSError, match=f"no embeddings in the folder '.*{name}'"):
            merge_memory(tmp_path / "all", [tmp_path / "a", tmp_path / name])
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "empty"]
    with pytest.raises(TypeError, match=r"list of folders.*\['.*a'\]"):
        merge_memory(tmp_path / "all", tmp_path / "a")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    fill(tmp_path / "a", [1])
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"can't be stored in the folder memory='.*file'"):
        merge_memory(tmp_path / "file", [tmp_path / "a"])
