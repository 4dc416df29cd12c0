"""The folder's size can be seen, and the folder emptied."""

import pytest

from sklearn_cdul.memory import clear_memory, memory_size
from tests.memory.common import rows_in


def test_the_size_is_that_of_the_files(labeler, photos):
    assert memory_size(labeler.memory) == 0
    labeler.embed(photos)
    size = memory_size(str(labeler.memory))
    assert size == sum(path.stat().st_size for path in labeler.memory.iterdir())
    assert size > len(photos) * 192 * 4


def test_emptying_leaves_other_files_alone(labeler, photos, encoded):
    labeler.embed(photos[:3])
    (labeler.memory / "notes.txt").write_text("mine")
    size = memory_size(labeler.memory)
    assert clear_memory(labeler.memory) == size
    assert [path.name for path in labeler.memory.iterdir()] == ["notes.txt"]
    assert clear_memory(labeler.memory) == 0
    labeler.embed(photos[:3])
    assert sum(encoded) == 6


@pytest.mark.filterwarnings("ignore:.*was deleted")
def test_a_fit_that_uses_the_folder_goes_on_and_stores_what_it_has(labeler, photos, monkeypatch):
    encoder = labeler.set_params(batch_size=1)._encoder()
    encode_views = encoder.encode_views
    sizes = []

    def clear(views):
        sizes.append(clear_memory(labeler.memory) if len(sizes) == 2 else 0)
        return encode_views(views)

    monkeypatch.setattr(encoder, "encode_views", clear)
    labeler.embed(photos[:4])
    assert sizes[2] > 0
    assert rows_in(labeler.memory) == 4
