"""Damage to the files of a folder is said, and costs no number and little work."""

import contextlib
import shutil
import sqlite3
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
from sklearn_cdul.images.views import Preprocessing
from sklearn_cdul.memory.files import checksum
from tests.memory.common import N_PHOTOS, database, rows_in


def truncate(content):
    return content[: len(content) // 2]


def scribble(content, start=4096, seed=0):
    """Overwrite a tenth of the file, the first page aside."""
    content = bytearray(content)
    rng = np.random.default_rng(seed)
    for position in rng.integers(start, len(content), len(content) // 10):
        content[position] = rng.integers(256)
    return bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        scribble,
        lambda content: b"no database" * 1000,
        lambda content: bytes(100) + content[100:],
        lambda content: b"",
        lambda content: content[:50],
    ],
    ids=["truncated", "scribbled", "something else", "without its header", "empty", "a rest"],
)
def test_a_damaged_file_is_replaced_and_numbers_stay_right(
    damage, labeler, photos, expected, encoded
):
    labeler.embed(photos)
    file = database(labeler.memory)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=rf"{file.name} is damaged"):
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    encoded.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert encoded == []  # also what was read before the damage was found is in the new file


@pytest.mark.parametrize("seed", range(12))
def test_no_scattered_damage_passes_without_a_warning_or_gives_a_wrong_number(
    seed, labeler, photos, expected, encoded
):
    labeler.embed(photos)
    file = database(labeler.memory)
    before = file.read_bytes()
    file.write_bytes(scribble(before, start=100, seed=seed))
    encoded.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    told = [w for w in caught if "damaged" in str(w.message)]
    assert told or not encoded
    assert all(issubclass(w.category, UserWarning) for w in caught)


def test_keys_that_can_no_longer_be_found_are_damage_too(labeler, photos, expected, encoded):
    labeler.embed(photos)
    file = database(labeler.memory)
    content = bytearray(file.read_bytes())
    with contextlib.closing(sqlite3.connect(file)) as connection:
        key = connection.execute("SELECT key FROM embeddings LIMIT 1").fetchone()[0]
    positions = [i for i in range(len(content)) if content[i : i + 16] == key]
    assert len(positions) == 2  # the table has one, the index the other
    for position in positions[1:]:
        content[position + 3] ^= 1
    file.write_bytes(content)
    encoded.clear()
    with pytest.warns(UserWarning, match=f"{file.name} is damaged"):
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert sum(encoded) == 0  # all rows were still there to be copied


def test_what_can_still_be_read_is_copied(labeler, photos, expected, encoded):
    labeler.embed(photos)
    file = database(labeler.memory)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE others (a)")
    encoded.clear()
    with pytest.warns(UserWarning, match=r"its tables are not as they were made.*is copied to"):
        assert_array_equal(labeler.embed(photos), expected)
    assert encoded == []
    assert rows_in(labeler.memory, 1) == N_PHOTOS


def test_one_damaged_embedding_is_recomputed_alone(labeler, photos, expected, encoded):
    labeler.embed(photos)
    file = database(labeler.memory)
    content = bytearray(file.read_bytes())
    position = content.index(expected[5].tobytes())
    content[position + 100] ^= 1  # the last bits of one float
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged: some embeddings in it are not what was stored"):
        assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS + 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labeler.embed(photos)
    assert sum(encoded) == N_PHOTOS + 1


def test_a_folder_that_is_deleted_meanwhile_is_noticed_and_made_anew(
    labeler, photos, expected, encoded
):
    labeler.set_params(batch_size=1)
    encoder = labeler._encoder()
    encode_views = encoder.encode_views

    def delete_once(views):
        if len(encoded) == 6:
            shutil.rmtree(labeler.memory)
        return encode_views(views)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(encoder), "encode_views", delete_once)
        with pytest.warns(UserWarning, match="was deleted while it was in use") as caught:
            assert_allclose(labeler.embed(photos), expected, atol=1e-5)
    assert len(caught) == 1
    assert rows_in(labeler.memory) == N_PHOTOS
    assert sum(encoded) == N_PHOTOS


# NaN


class Broken(BaseEncoder):
    """Gives NaN for dark pictures, until it is repaired."""

    temperature = 0.05
    preprocessing = Preprocessing((8, 8), "squash")
    fingerprint = "broken"
    embedding_dim = 3

    def __init__(self):
        self.broken, self.n_views = True, 0

    def encode_text(self, prompts):
        return np.eye(3)[: len(prompts)]

    def encode_views(self, views):
        self.n_views += len(views)
        vectors = views.mean(axis=(1, 2)) / 255
        if self.broken:
            vectors[vectors.max(axis=1) < 0.5] = np.nan
        return vectors


LIGHT, DARK = (np.full((9, 9, 3), value, np.uint8) for value in (200, 50))
PICTURES = [LIGHT, LIGHT + 1, DARK, DARK + 1, DARK]


@pytest.fixture
def broken(tmp_path):
    return CLIPPseudoLabeler(
        ["a", "b"], model_name=Broken(), grid_size=1, memory=tmp_path / "cache"
    )


def test_nan_is_an_error_that_costs_nothing_and_is_never_stored(broken):
    broken.set_params(batch_size=4)
    with pytest.raises(FloatingPointError, match=r"NaN for 2 of 4 images, first X\[2\]"):
        broken.embed(PICTURES)
    assert rows_in(broken.memory) == 2
    broken.model_name.broken = False
    assert np.isfinite(broken.embed(PICTURES)).all()
    assert broken.model_name.n_views == 4 + 2


def test_nan_in_rows_is_counted_with_all_equal_images_and_never_stored(broken):
    broken.set_params(on_error="nan")
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"NaN for 3 of 5 images, first X\[2\]") as caught:
            embeddings = broken.embed(PICTURES)
        assert len(caught) == 1
        assert np.isnan(embeddings).all(axis=(1, 2)).tolist() == [False, False, True, True, True]
    assert rows_in(broken.memory) == 2
    broken.model_name.broken = False
    assert np.isfinite(broken.embed(PICTURES)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 7.0], ids=str)
def test_what_an_older_version_stored_is_not_served_if_it_is_no_embedding(broken, bad):
    broken.model_name.broken = False
    right = broken.embed(PICTURES)
    file = database(broken.memory)
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        for (key,) in connection.execute("SELECT key FROM embeddings").fetchall():
            entry = np.full(3, bad, "<f4").tobytes()
            row = (entry, checksum(key, entry), key)
            connection.execute(
                "UPDATE embeddings SET embedding = ?, checksum = ? WHERE key = ?", row
            )
    for _ in range(2):
        assert_array_equal(broken.embed(PICTURES), right)
    assert broken.model_name.n_views == 8


def test_an_encoder_that_kept_its_fingerprint_but_not_its_length_is_asked_again(broken):
    broken.model_name.broken = False
    broken.embed(PICTURES)
    broken.model_name.embedding_dim = 2
    encode_views = broken.model_name.encode_views
    broken.model_name.encode_views = lambda views: encode_views(views)[:, :2]
    assert broken.embed(PICTURES).shape == (5, 1, 2)
