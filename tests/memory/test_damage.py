"""Damage to the files of a folder is found, said once, and made good; it is never believed."""

import shutil
import warnings

import numpy as np
import pytest

from sklearn_cdul.memory import clear_memory
from sklearn_cdul.memory.store import Store
from tests.memory.entries import entries, fill, forget, right_numbers

N = 40


@pytest.fixture
def folder(tmp_path):
    """A folder with N entries, by two stores."""
    with Store(tmp_path) as first, Store(tmp_path) as second:
        first.put(entries(range(N // 2)))
        second.put(entries(range(N // 2, N)))
    forget()
    return tmp_path


def path_of(folder, kind):
    return sorted(folder.glob(f"*.{kind}"))[0]


def make_good(folder):
    """What an encoder does with a folder: get all, and put what is missing."""
    with Store(folder) as store:
        found = right_numbers(store, range(N))
        store.put(entries(set(range(N)) - set(found)))
        assert right_numbers(store, range(N)) == list(range(N))
    return len(found)


def assert_good(folder):
    """All entries are there, and nothing is said."""
    forget()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert right_numbers(folder, range(N)) == list(range(N))


def flip(content, seed, n_bits):
    content = bytearray(content)
    rng = np.random.default_rng(seed)
    for position in rng.integers(len(content), size=n_bits):
        content[position] ^= 1 << rng.integers(8)
    return bytes(content)


@pytest.mark.parametrize("kind", ["data", "index"])
@pytest.mark.parametrize("n_bits", [1, 100])
@pytest.mark.parametrize("seed", range(25))
def test_flipped_bits_anywhere_are_said_and_cost_their_entries(folder, kind, n_bits, seed):
    path = path_of(folder, kind)
    path.write_bytes(flip(path.read_bytes(), seed, n_bits))
    with pytest.warns(UserWarning, match=f"{path.name} is damaged.*computed again") as caught:
        n_found = make_good(folder)
    assert len(caught) == 1
    assert N - n_bits <= n_found < N
    if kind == "data":
        assert_good(folder)  # damage that is made good is not met again


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("kind", ["data", "index"])
def test_a_truncated_file_costs_what_is_cut_off(folder, kind, share):
    path = path_of(folder, kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        n_found = make_good(folder)
    # An index that is cut off is like one that is not written yet.
    assert [str(path) in str(w.message) for w in caught] == ([True] if kind == "data" else [])
    assert N // 2 <= n_found < N
    assert_good(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: bytes(len(content)),
        lambda content: b"\xff" * len(content),
        lambda content: bytes(1000) + content[1000:],
        lambda content: content[:1000] + bytes(len(content) - 1000),
        lambda content: b"something else" * 500,
        lambda content: content[1:],
    ],
    ids=["zeros", "ones", "zeros first", "zeros last", "something else", "shifted"],
)
@pytest.mark.parametrize("kind", ["data", "index"])
def test_a_file_with_other_content_is_said_and_the_rest_is_used(folder, kind, change):
    path = path_of(folder, kind)
    path.write_bytes(change(path.read_bytes()))
    with pytest.warns(UserWarning, match=f"{path.name} is damaged") as caught:
        assert N // 2 <= make_good(folder) < N
    assert len(caught) == 1


def test_values_of_other_keys_are_not_believed(folder):
    first, second = sorted(folder.glob("*.data"))
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
    with pytest.warns(UserWarning, match="is damaged"):
        assert make_good(folder) == 0


def test_a_missing_index_is_made_again_without_a_word(folder):
    path_of(folder, "index").unlink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_good(folder) == N // 2


def test_missing_data_are_said(folder):
    path = path_of(folder, "data")
    path.unlink()
    with pytest.warns(UserWarning, match=f"{path.name} can't be read.*No such file"):
        assert make_good(folder) == N // 2
    assert_good(folder)


def test_a_folder_in_the_way_of_a_file_is_said(folder):
    for kind in ("data", "index"):
        path = path_of(folder, kind)
        path.unlink()
        path.mkdir()
        with pytest.warns(UserWarning, match=f"{path.name} can't be read"):
            assert N // 2 <= len(right_numbers(folder, range(N))) < N


# while a store is open


@pytest.mark.parametrize("kind", ["data", "index"])
@pytest.mark.parametrize("share", [0, 0.3, 0.55, 0.85])
@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_a_store_goes_on_after_its_own_file_is_truncated(tmp_path, kind, share):
    with Store(tmp_path) as store:
        store.put(entries(range(10)))
        path = path_of(tmp_path, kind)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        store.put(entries(range(10, 15)))
        assert right_numbers(store, range(10, 15)) == list(range(10, 15))
        store.refresh()
        store.put(entries(set(range(15)) - set(right_numbers(store, range(15)))))
        assert right_numbers(store, range(15)) == list(range(15))
    with Store(tmp_path) as store:  # of the same process: goes on in the same files
        store.put(entries(range(15, 20)))
    assert set(right_numbers(tmp_path, range(20))) >= set(range(10, 20))


@pytest.mark.parametrize("delete", [clear_memory, shutil.rmtree])
def test_a_folder_that_is_emptied_meanwhile_is_filled_again(tmp_path, delete):
    folder = tmp_path / "cache"
    fill(folder, range(5))
    with Store(folder) as store, Store(folder) as other:
        other.put(entries(range(5, 8)))
        store.put(entries(range(8, 10)))
        delete(folder)
        with pytest.warns(UserWarning, match="can't be read") as caught:
            assert right_numbers(store, range(10)) == []
        assert len(caught) == 1
        store.put(entries(range(6)))
        other.refresh()
        assert right_numbers(other, range(6)) == list(range(6))
    with Store(folder) as store:
        store.put(entries(range(6, 10)))
    assert right_numbers(folder, range(10)) == list(range(10))


def test_files_of_closed_stores_that_were_deleted_are_not_missed(tmp_path):
    stores = [Store(tmp_path) for _ in range(3)]
    for number, store in enumerate(stores):
        store.put(entries([number]))
    for store in stores:
        store.close()
    clear_memory(tmp_path)
    fill(tmp_path, range(5))
    assert len(list(tmp_path.iterdir())) == 2
    assert right_numbers(tmp_path, range(5)) == list(range(5))
