"""Folders of several machines become one."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.memory import merge_memory
from sklearn_cdul.memory.store import EmbeddingStore
from tests.memory.common import SETTINGS, database, rows_in


def keys(numbers):
    return {number.to_bytes(16, "big"): bytes([number] * 40_000) for number in numbers}


def fill(folder, numbers):
    with EmbeddingStore(folder) as store:
        store.put(keys(numbers))


def test_what_each_machine_encoded_is_encoded_no_more(photos, expected, tmp_path, encoded):
    parts = {"a": photos[:6], "b": photos[4:]}
    for name, part in parts.items():
        CLIPPseudoLabeler(**SETTINGS, memory=tmp_path / name).embed(part)
    before = sum(encoded)
    assert merge_memory(tmp_path / "all", [tmp_path / name for name in parts]) == len(photos)
    merged = CLIPPseudoLabeler(**SETTINGS, memory=tmp_path / "all")
    assert_array_equal(merged.embed(photos), expected)
    assert sum(encoded) == before
    assert merge_memory(tmp_path / "all", [str(tmp_path / "a")]) == 0
    assert (rows_in(tmp_path / "a"), rows_in(tmp_path / "all")) == (6, len(photos))


def test_a_damaged_folder_gives_what_can_be_read_of_it(tmp_path):
    fill(tmp_path / "damaged", range(60))
    file = database(tmp_path / "damaged")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50_000] = np.random.default_rng(0).bytes(50_000)
    file.write_bytes(content)
    copied = merge_memory(tmp_path / "all", [tmp_path / "damaged"])
    assert 40 < copied < 60
    with EmbeddingStore(tmp_path / "all") as store:
        found = {key: e for key, e in keys(range(60)).items() if store.get(key) is not None}
        assert all(store.get(key) == embedding for key, embedding in found.items())
    assert len(found) == copied


def test_a_folder_without_embeddings_is_refused_before_anything_is_copied(tmp_path):
    fill(tmp_path / "a", [1])
    (tmp_path / "empty").mkdir()
    with pytest.raises(OSError, match=r"no embeddings in the folder '.*empty'"):
        merge_memory(tmp_path / "all", [tmp_path / "a", tmp_path / "empty"])
    assert not (tmp_path / "all").exists()
    with pytest.raises(TypeError, match=r"list of folders.*\['.*a'\]"):
        merge_memory(tmp_path / "all", tmp_path / "a")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    fill(tmp_path / "a", [1])
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"can't be stored in the folder memory='.*file'"):
        merge_memory(tmp_path / "file", [tmp_path / "a"])
