"""Processes share a folder: none loses the work of another, however it ends."""

import os
import random
import signal
import time
import warnings

import pytest

from sklearn_cdul.memory import clear_memory
from sklearn_cdul.memory.store import Store
from tests.memory.entries import entries, right_numbers

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")


class Process:
    """A fork that runs a function, which reports bytes to its parent as it gets on."""

    def __init__(self, function):
        self._pipe, end = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                function(lambda: os.write(end, b"."))
                status = 0
            finally:
                os._exit(status)
        os.close(end)
        self._reports = b""

    def wait_until_it_works(self):
        self._reports += os.read(self._pipe, 1)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)

    def wait(self):
        """Exit status, or minus the signal, and the number of reports."""
        reports = self._reports
        while more := os.read(self._pipe, 65536):
            reports += more
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), len(reports)


def batch(round_, number, size=20):
    start = (round_ * 1000 + number) * size
    return range(start, start + size)


def test_kill_9_at_any_time_loses_no_more_than_the_batch_at_work(tmp_path):
    rng, done, n_cut = random.Random(0), {}, 0
    for round_ in range(40):
        folder = tmp_path / str(round_ // 8)  # each is used again by seven more that are killed

        def work(report, folder=folder, round_=round_):
            with Store(folder) as store:
                for number in range(1000):
                    store.put(entries(batch(round_, number)))
                    report()

        process = Process(work)
        if round_ % 4:  # the others are killed as they begin
            process.wait_until_it_works()
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        status, n_done = process.wait()
        assert status == -signal.SIGKILL
        if not folder.exists():
            continue
        done.setdefault(folder, []).extend(k for n in range(n_done) for k in batch(round_, n))
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what was cut off is no damage
            store = Store(folder)
            assert right_numbers(store, done[folder]) == done[folder]
            last = right_numbers(store, batch(round_, n_done))
            # The batch that was not reported yet, and nothing else.
            assert len(list(store)) == len(done[folder]) + len(last)
        done[folder] += last
        n_bytes = sum(path.stat().st_size for path in folder.glob("*.data"))
        n_cut += n_bytes > sum(map(len, entries(done[folder]).values()))
    assert sum(map(len, done.values())) > 500
    assert n_cut > 0, "none was killed in the middle of a batch"


def test_eight_processes_fill_and_read_one_folder(tmp_path):
    numbers = range(400)

    def work(seed):
        def run(report):
            own = random.Random(seed)
            todo = own.sample(numbers, len(numbers))
            with Store(tmp_path) as store:
                while todo:
                    store.refresh()
                    found = set(right_numbers(store, todo))
                    todo = [number for number in todo if number not in found]
                    store.put(entries(todo[:10]))
                    for _ in todo[:10]:
                        report()
                    time.sleep(0.01)
                assert right_numbers(store, numbers) == list(numbers)

        return run

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        processes = [Process(work(seed)) for seed in range(8)]
        results = [process.wait() for process in processes]
        assert [status for status, _ in results] == [0] * 8
        assert right_numbers(tmp_path, numbers) == list(numbers)
    n_made = sum(n for _, n in results)
    assert len(numbers) <= n_made < 3 * len(numbers)  # each alone would make 8 times as many


def test_processes_go_on_while_the_folder_is_emptied_and_others_are_killed(tmp_path):
    def work(seed):
        def run(report):
            own = random.Random(seed)
            while True:
                with Store(tmp_path) as store:
                    for _ in range(5):
                        some = own.sample(range(300), 10)
                        right_numbers(store, some)
                        store.put(entries(some))
                        store.refresh()
                report()

        return run

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that were deleted
        processes = [Process(work(seed)) for seed in range(6)]
        for process in processes:
            time.sleep(0.2)
            clear_memory(tmp_path)
            process.kill()
        results = [process.wait() for process in processes]
    assert all(status == -signal.SIGKILL and n_done > 0 for status, n_done in results)
    right_numbers(tmp_path, range(300))
    with Store(tmp_path) as store:
        store.put(entries(range(300)))
    assert right_numbers(tmp_path, range(300)) == list(range(300))
