"""The folder's size can be seen, and the folder emptied."""

import numpy as np
import pytest

from sklearn_cdul.memory import clear_memory, memory_size
from sklearn_cdul.memory.store import EmbeddingStore
from tests.memory.common import rows_in


def test_the_size_is_that_of_the_files(labeler, photos):
    assert memory_size(labeler.memory) == 0
    labeler.embed(photos)
    size = memory_size(str(labeler.memory))
    assert size == sum(path.stat().st_size for path in labeler.memory.iterdir())
    assert size > len(photos) * 256 * 4


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

    monkeypatch.setitem(vars(encoder), "encode_views", clear)  # the shared encoder stays whole
    labeler.embed(photos[:4])
    assert sizes[2] > 0
    assert rows_in(labeler.memory) == 4


@pytest.mark.parametrize(
    ("n_views", "d", "kilobytes"),
    [
        (10, 256, 16),
        (1, 256, 1.2),
        (10, 512, 22),
        (1, 512, 2.2),
        (10, 768, 33),
        (1, 768, 3.3),
    ],
)
def test_a_photo_takes_what_the_docs_say(n_views, d, kilobytes, tmp_path):
    rng = np.random.default_rng(0)
    n_photos = 2000
    with EmbeddingStore(tmp_path) as store:
        store.put({rng.bytes(16): rng.bytes(4 * n_views * d) for _ in range(n_photos)})
    assert memory_size(tmp_path) / n_photos == pytest.approx(1000 * kilobytes, rel=0.1)
