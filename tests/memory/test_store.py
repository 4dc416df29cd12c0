"""What was put under a key is found there, by every store of the folder."""

import os
import threading

import pytest

from sklearn_cdul.memory import store as module
from sklearn_cdul.memory.store import Store
from tests.memory.entries import entries, fill, forget, key, right_numbers, value


def n_files(folder):
    return len(list(folder.iterdir()))


def test_what_was_put_is_found_now_and_later(tmp_path):
    with Store(tmp_path) as store:
        store.put(entries(range(10)))
        assert right_numbers(store, range(11)) == list(range(10))
    assert right_numbers(tmp_path, range(11)) == list(range(10))
    forget()
    assert right_numbers(tmp_path, range(11)) == list(range(10))


@pytest.mark.parametrize("content", [b"", b"\0", bytes(500_000)], ids=len)
def test_values_of_any_length_come_back(content, tmp_path):
    Store(tmp_path).put({key(1): content})
    assert Store(tmp_path).get(key(1)) == content


def test_keys_of_different_lengths_are_different_keys(tmp_path):
    keys = [bytes(length) for length in range(16, 25)]
    with Store(tmp_path) as store:
        store.put({key: bytes([len(key)]) for key in keys[::2]})
        found = [store.get(key) for key in keys]
        assert found == [bytes([len(k)]) if len(k) % 2 == 0 else None for k in keys]
        assert sorted(store) == keys[::2]
        with pytest.raises(ValueError, match="at most 24 bytes, this one has 25"):
            store.put({bytes(25): b""})


def test_refresh_takes_in_what_others_have_stored_since(tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    for number in range(5):  # new files at first, longer ones later
        (first, second)[number % 2].put(entries([number]))
        second.refresh()
        assert right_numbers(second, range(5)) == list(range(number + 1))
    first.refresh()
    assert right_numbers(first, range(5)) == list(range(5))


def test_half_a_record_is_not_read_until_it_is_whole(tmp_path):
    fill(tmp_path, range(3))
    forget()
    (index,) = tmp_path.glob("*.index")
    records = index.read_bytes()
    index.write_bytes(records[:-20])
    store = Store(tmp_path)
    assert right_numbers(store, range(3)) == [0, 1]
    index.write_bytes(records)
    store.refresh()
    assert right_numbers(store, range(3)) == [0, 1, 2]


def test_putting_a_key_again_is_no_harm(tmp_path):
    for _ in range(3):
        fill(tmp_path, range(3))
    store = Store(tmp_path)
    assert right_numbers(store, range(3)) == [0, 1, 2]
    assert len(list(store)) == 3


def test_nothing_is_written_where_nothing_is_put(tmp_path):
    with Store(tmp_path / "new") as store:
        store.put({})
        assert store.get(key(1)) is None
    assert n_files(tmp_path / "new") == 0


def test_one_process_that_comes_again_and_again_makes_one_pair_of_files(tmp_path):
    for number in range(20):
        fill(tmp_path, [number])
    assert n_files(tmp_path) == 2
    assert right_numbers(tmp_path, range(20)) == list(range(20))


def test_what_others_store_between_two_uses_is_found(tmp_path, in_a_fork):
    fill(tmp_path, [1])
    assert in_a_fork(lambda: fill(tmp_path, [2])) == 0
    assert right_numbers(tmp_path, range(4)) == [1, 2]


def test_a_closed_store_does_not_meddle_with_the_next_one(tmp_path):
    store = Store(tmp_path)
    store.put(entries([1]))
    store.close()
    store.close()
    with Store(tmp_path) as first, Store(tmp_path) as second:
        store.put(entries([2]))
        first.put(entries([3]))
        second.put(entries([4]))
    assert n_files(tmp_path) == 4
    assert right_numbers(tmp_path, range(5)) == [1, 3, 4]


def test_stores_that_are_open_together_write_to_files_of_their_own(tmp_path):
    with Store(tmp_path) as first, Store(tmp_path) as second:
        for number in range(10):
            (first, second)[number % 2].put(entries([number]))
    assert n_files(tmp_path) == 4
    assert right_numbers(tmp_path, range(10)) == list(range(10))


def test_files_stay_small_enough_for_any_file_system(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_MAX_DATA", 20_000)
    with Store(tmp_path) as store:
        for number in range(40):
            store.put(entries([number]))
    sizes = [path.stat().st_size for path in tmp_path.glob("*.data")]
    assert len(sizes) > 4
    assert max(sizes) < 20_000 + 10_000
    assert right_numbers(tmp_path, range(40)) == list(range(40))


def test_a_relative_folder_stays_the_one_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Store("cache") as store:
        store.put(entries([1]))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        store.put(entries([2]))
        assert right_numbers(store, [1, 2]) == [1, 2]
    assert n_files(tmp_path / "elsewhere") == 0


def test_files_copied_into_another_folder_are_found_there(tmp_path):
    fill(tmp_path / "a", range(3))
    fill(tmp_path / "b", range(3, 6))
    for path in (tmp_path / "a").iterdir():
        path.rename(tmp_path / "b" / path.name)
    assert right_numbers(tmp_path / "b", range(6)) == list(range(6))


def test_nothing_is_said_where_nothing_is_wrong(tmp_path, recwarn):
    for number in range(3):
        with Store(tmp_path) as store:
            store.put(entries([number]))
            store.refresh()
            right_numbers(store, range(5))
    assert not [str(each.message) for each in recwarn]


# threads and forks


def test_threads_share_a_store(tmp_path):
    store, wrong = Store(tmp_path), []

    def work(first):
        for start in range(first, first + 50, 5):
            store.put(entries(range(start, start + 5)))
            store.refresh()
            if right_numbers(store, range(first, start + 5)) != list(range(first, start + 5)):
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert n_files(tmp_path) == 2
    assert right_numbers(tmp_path, range(400)) == list(range(400))


def test_a_fork_writes_to_files_of_its_own(tmp_path, in_a_fork):
    with Store(tmp_path) as store:
        store.put(entries([1]))
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        assert in_a_fork(lambda: (store.put(entries([2])), store.close())) == 0
        assert in_a_fork(lambda: fill(tmp_path, [3])) == 0
        assert {path: path.read_bytes() for path in before} == before
        assert n_files(tmp_path) == 6
        store.put(entries([4]))
    assert right_numbers(tmp_path, range(5)) == [1, 2, 3, 4]


def test_a_fork_does_not_wait_for_a_thread_it_does_not_have(tmp_path, in_a_fork):
    store, stop = Store(tmp_path), threading.Event()

    def write():
        while not stop.is_set():
            store.put({key(0): os.urandom(3_000_000)})

    def put_and_read():
        store.put(entries([1]))
        store.refresh()
        assert store.get(key(1)) == value(key(1))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert [in_a_fork(put_and_read) for _ in range(5)] == [0] * 5
    finally:
        stop.set()
        thread.join()
