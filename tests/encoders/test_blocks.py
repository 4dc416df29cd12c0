"""Many images: labels are made block by block, so that the views of all are never held."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.encoders import embedding

NAMES = ["bread", "cup", "cake"]


@pytest.fixture
def photos():
    paths = load_food_photos().data[:7]
    return [*paths, paths[2], paths[0]]


@pytest.fixture
def sizes(monkeypatch):
    """Lets three images make a block, and tells how many each call of `aggregate` got."""
    labeler, sizes = CLIPPseudoLabeler(NAMES, grid_size=1), []
    aggregate = CLIPPseudoLabeler.aggregate
    monkeypatch.setattr(
        CLIPPseudoLabeler,
        "aggregate",
        lambda self, embeddings: sizes.append(len(embeddings)) or aggregate(self, embeddings),
    )
    dimension = labeler._encoder().embedding_dim
    monkeypatch.setattr(embedding, "_HELD_BYTES", 3 * 4 * dimension)
    return sizes


@pytest.mark.parametrize("stored", [False, True])
def test_labels_do_not_depend_on_the_blocks(photos, sizes, tmp_path, monkeypatch, stored):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path if stored else None).fit()
    found = [labeler.transform(photos) for _ in range(2)]  # the second time from memory
    assert max(sizes) == 3
    assert sum(sizes) == 2 * (7 if stored else 9)  # with contents, equal photos are one
    monkeypatch.undo()
    expected = labeler.transform(photos)
    for labels in found:
        assert_allclose(labels, expected, atol=1e-5)


def test_a_fit_in_blocks_gives_the_same_classifier(photos, sizes, monkeypatch):
    bad = [*photos[:4], "no.jpg", *photos[4:]]
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1)
    model = CDULClassifier(pseudo_labeler=labeler, on_error="nan", image_size=64, random_state=0)
    with pytest.warns(UserWarning, match="1 of 10 images"):
        inner = model.fit(bad)
    assert sizes == [3, 3, 3]
    proba, labels = inner.predict_proba(photos), inner.initial_pseudo_labels_
    monkeypatch.undo()
    with pytest.warns(UserWarning, match="1 of 10 images"):
        model.fit(bad)
    assert np.isnan(labels).all(axis=1).tolist() == [row == 4 for row in range(10)]
    assert_allclose(labels, model.initial_pseudo_labels_, atol=1e-5)
    assert_allclose(proba, model.predict_proba(photos), atol=1e-4)


def test_without_any_readable_image_all_rows_are_nan(sizes):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, on_error="nan").fit()
    with pytest.warns(UserWarning, match="4 of 4 images"):
        labels = labeler.transform(["no.jpg"] * 4)
    assert labels.shape == (4, 3)
    assert np.isnan(labels).all()
