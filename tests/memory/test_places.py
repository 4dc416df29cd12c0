"""Folders in which embeddings can't be stored or read: an error beforehand, a warning later."""

import sys

import pytest
from numpy.testing import assert_allclose
from PIL import Image

from tests.memory.common import N_PHOTOS, rows_in


def test_a_file_in_the_way_is_an_error_before_anything_is_encoded(labeler, photos, encoded):
    labeler.memory.write_text("a file")
    message = r"can't be stored in the folder memory='.*cache'.*Remove what has that name"
    with pytest.raises(OSError, match=message):
        labeler.embed(photos)
    assert encoded == []


def test_what_can_be_no_path_is_an_error(labeler, photos):
    with pytest.raises(ValueError, match=r"memory='a\\x00b' has a null character"):
        labeler.set_params(memory="a\0b").embed(photos)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no users by ~name")
def test_the_home_of_nobody_is_an_error(labeler, photos):
    with pytest.raises(OSError, match="memory='~no-such-user/cache' is unknown"):
        labeler.set_params(memory="~no-such-user/cache").embed(photos)


def test_a_read_only_folder_is_read_and_new_embeddings_are_used(
    labeler, photos, expected, encoded, as_nobody
):
    folder, read_only = as_nobody
    labeler.set_params(memory=folder)
    pictures = [Image.open(path).convert("RGB") for path in photos]
    labeler.embed(pictures[:10])
    with read_only(), pytest.warns(UserWarning, match="can't be written") as caught:
        assert_allclose(labeler.embed(pictures), expected, atol=1e-5)
    assert len(caught) == 1
    assert sum(encoded) == N_PHOTOS
    assert rows_in(folder) == 10


def test_a_folder_that_can_never_be_written_is_an_error_before_anything_is_encoded(
    labeler, photos, encoded, as_nobody
):
    folder, read_only = as_nobody
    labeler.set_params(memory=folder / "cache")
    pictures = [Image.open(path).convert("RGB") for path in photos[:2]]
    with read_only(), pytest.raises(OSError, match="folder that you may write to"):
        labeler.embed(pictures)
    assert encoded == []


def test_a_full_disk_is_one_warning_and_costs_no_result(labeler, photos, expected, encoded):
    resource = pytest.importorskip("resource")
    labeler.set_params(batch_size=1).fit().embed(photos[:2])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # no file may grow beyond this
    try:
        with pytest.warns(UserWarning, match="not stored") as caught:
            result = labeler.embed(photos)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(caught) == 1
    assert_allclose(result, expected, atol=1e-5)
    assert sum(encoded) == N_PHOTOS
    assert_allclose(labeler.embed(photos), expected, atol=1e-5)


def test_nothing_is_said_where_nothing_is_wrong(labeler, photos, recwarn):
    first, again = (labeler.fit().embed(photos[:2]) for _ in range(2))
    assert_allclose(first, again)
    assert not [str(each.message) for each in recwarn]
