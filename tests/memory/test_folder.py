"""The folder's size can be seen, the folder emptied, and trouble with it is said in time."""

import contextlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from sklearn_cdul.memory import clear_memory, memory_size
from sklearn_cdul.memory.store import Store, check_folder
from tests.memory.entries import entries, fill, forget, right_numbers

CANT = r"can't be stored in the folder memory='.*cache'"


def test_the_size_is_that_of_the_files(tmp_path):
    assert memory_size(tmp_path / "cache") == 0
    fill(tmp_path / "cache", range(10))
    size = memory_size(str(tmp_path / "cache"))
    assert size == sum(path.stat().st_size for path in (tmp_path / "cache").iterdir())
    assert size > sum(map(len, entries(range(10)).values()))


@pytest.mark.parametrize(
    ("n_views", "d", "kilobytes"),
    [
        (10, 256, 10),
        (1, 256, 1.1),
        (10, 512, 21),
        (1, 512, 2.1),
        (10, 768, 31),
        (1, 768, 3.1),
    ],
)
def test_a_photo_takes_what_the_docs_say(n_views, d, kilobytes, tmp_path):
    rng = np.random.default_rng(0)
    with Store(tmp_path) as store:
        store.put({rng.bytes(16): rng.bytes(4 * n_views * d) for _ in range(100)})
    assert memory_size(tmp_path) / 100 == pytest.approx(1000 * kilobytes, rel=0.05)


def test_emptying_leaves_other_files_alone(tmp_path):
    fill(tmp_path, range(3))
    others = ["notes.txt", "memory-1-mine.data", "memory.index"]
    for name in others:
        (tmp_path / name).write_text("mine")
    size = memory_size(tmp_path)
    assert clear_memory(tmp_path) == size > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
    assert clear_memory(tmp_path) == memory_size(tmp_path) == 0
    fill(tmp_path, range(3))
    assert right_numbers(tmp_path, range(3)) == [0, 1, 2]


def test_files_of_other_versions_are_counted_and_deleted_but_not_read(tmp_path):
    (tmp_path / "memory-2-0123456789abcdef.data").write_bytes(bytes(500))
    fill(tmp_path, [1])
    assert right_numbers(tmp_path, range(3)) == [1]
    assert memory_size(tmp_path) > 500
    clear_memory(tmp_path)
    assert not list(tmp_path.iterdir())


# what no folder can be


def in_the_way(path):
    path.write_text("a file")


def under_a_file(path):
    path.parent.rmdir()
    path.parent.write_text("a file")


@pytest.mark.parametrize("prepare", [in_the_way, under_a_file])
def test_a_file_in_the_way_is_an_error(prepare, tmp_path):
    (tmp_path / "parent").mkdir()
    folder = tmp_path / "parent" / "cache"
    prepare(folder)
    with pytest.raises(OSError, match=CANT + ".*Remove what has that name"):
        Store(folder)


def test_what_can_be_no_path_is_an_error():
    for use in (check_folder, Store, memory_size):
        with pytest.raises(ValueError, match=r"memory='a\\x00b' has a null character"):
            use("a\0b")
        with pytest.raises(ValueError, match="memory='' names no folder"):
            use("")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no users by ~name")
def test_the_home_of_nobody_is_an_error():
    for use in (check_folder, Store, memory_size):
        with pytest.raises(OSError, match="memory='~no-such-user/cache' is unknown"):
            use("~no-such-user/cache")


def test_the_home_folder_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    fill("~/cache", [1])
    assert memory_size("~/cache") == memory_size(tmp_path / "cache") > 0


# permission


def test_a_read_only_folder_is_read_and_one_warning_says_that_nothing_is_stored(as_nobody):
    folder, read_only = as_nobody
    fill(folder, range(10))
    before = sorted(folder.iterdir())
    with read_only():
        with pytest.warns(UserWarning, match=f"memory='{folder}' can't be written") as caught:
            store = Store(folder)
            for start in (10, 12):
                store.put(entries(range(start, start + 2)))
            assert right_numbers(store, range(14)) == list(range(10))
            store.close()
        assert len(caught) == 1
        assert "not stored. Set memory to a folder that you may write to" in str(caught[0].message)
    assert sorted(folder.iterdir()) == before


@pytest.mark.filterwarnings("error")
def test_a_read_only_folder_that_has_all_is_no_trouble(as_nobody):
    folder, read_only = as_nobody
    fill(folder, range(10))
    with read_only(), Store(folder) as store:
        store.refresh()
        assert right_numbers(store, range(10)) == list(range(10))


@pytest.mark.parametrize("mode", [0o555, 0o444, 0o000], ids=oct)
@pytest.mark.parametrize("name", ["", "cache"])
def test_a_folder_that_can_be_neither_read_nor_written_is_an_error(as_nobody, mode, name):
    folder, closed = as_nobody
    with closed(mode), pytest.raises(OSError, match="folder that you may write to") as caught:
        Store(folder / name)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("mode", [0o444, 0o000], ids=oct)
@pytest.mark.filterwarnings("error")
def test_a_folder_that_can_not_be_entered_is_an_error(as_nobody, mode):
    folder, closed = as_nobody
    fill(folder, range(3))
    forget()
    with closed(mode), pytest.raises(OSError, match="folder that you may write to"):
        Store(folder)


@pytest.mark.parametrize("kind", ["index", "data"])
def test_a_file_that_can_not_be_read_is_missing(as_nobody, kind):
    folder, context = as_nobody
    fill(folder, range(3))
    (path,) = folder.glob(f"*.{kind}")
    path.chmod(0)
    forget()
    with context(0o777), pytest.warns(UserWarning, match=f"{path} can't be read.*Permission"):
        assert right_numbers(folder, range(3)) == []


# disks


def put_until_full(folder):
    """Store 200 entries one by one; return how many were there before the one warning."""
    with pytest.warns(UserWarning, match=f"memory='{folder}' can't be written") as caught:
        store = Store(folder)
        for number in range(200):
            store.put(entries([number]))
            store.refresh()
        found = right_numbers(store, range(200))
        store.close()
    assert len(caught) == 1
    assert "not stored. Free some space there" in str(caught[0].message)
    return found


def test_where_files_may_not_grow_others_are_begun(tmp_path, recwarn):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with Store(tmp_path) as store:
            for number in range(200):
                store.put(entries([number]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert right_numbers(tmp_path, range(200)) == list(range(200))
    assert not recwarn


def test_an_entry_that_fits_no_file_is_one_warning(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        assert put_until_full(tmp_path) == []
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    fill(tmp_path, range(3))
    assert right_numbers(tmp_path, range(3)) == [0, 1, 2]


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "none", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("may not mount a disk")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_one_warning_and_what_fits_is_kept(small_disk, tmp_path):
    found = put_until_full(small_disk)
    assert 40 < len(found) < 200
    assert found == right_numbers(small_disk, range(200))
    shutil.copytree(small_disk, tmp_path / "larger")
    fill(tmp_path / "larger", set(range(200)) - set(found))
    assert right_numbers(tmp_path / "larger", range(200)) == list(range(200))


def test_a_disk_that_is_full_from_the_start_is_read(small_disk):
    fill(small_disk, range(5))
    with contextlib.suppress(OSError), open(small_disk / "rest", "wb") as file:
        file.write(bytes(1_000_000))
    with pytest.warns(UserWarning, match="can't be written.*Free some space") as caught:
        fill(small_disk, range(5, 300))
        assert set(right_numbers(small_disk, range(300))) >= set(range(5))
    assert len(caught) == 1
