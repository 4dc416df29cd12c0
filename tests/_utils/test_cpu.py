"""How many CPUs a process may use."""

import os
import sys

import pytest

from sklearn_cdul._utils import cpu


@pytest.fixture
def eight_cpus(monkeypatch, tmp_path):
    """A machine with eight CPUs, and the folder of its container's limits."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cpu, "_CONTAINER", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 3),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
    ],
)
def test_a_container_gives_its_share(eight_cpus, limits, expected):
    (eight_cpus / "cpu").mkdir()
    for name, text in limits.items():
        (eight_cpus / name).write_text(text)
    assert cpu.cpu_count() == expected


def test_affinity_counts(eight_cpus, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5}, raising=False)
    assert cpu.cpu_count() == 2


@pytest.mark.skipif(sys.platform != "linux", reason="joblib asks psutil elsewhere")
def test_it_is_the_number_that_joblib_counts():
    joblib = pytest.importorskip("joblib")
    assert cpu.cpu_count() == joblib.cpu_count()
