"""The labeler that a classifier is given, or makes for itself."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from tests.classifier.common import NAMES, QUICK


def test_classes_may_come_with_the_labeler(photos):
    classifier = CDULClassifier(**QUICK).fit(photos[:4])
    assert classifier.class_names_ == NAMES
    assert not hasattr(classifier.pseudo_labeler, "class_names_")
    classifier = CDULClassifier(["egg", "tea"], **QUICK)
    assert classifier.fit(photos[:4]).class_names_ == ["egg", "tea"]


def test_without_a_labeler_the_bundled_clip_labels_whole_and_snippets(photos):
    classifier = CDULClassifier(NAMES, image_size=64, random_state=0).fit(photos[:3])
    assert classifier.pseudo_labeler_.grid_size == 3
    assert_array_equal(
        classifier.initial_pseudo_labels_, CLIPPseudoLabeler(NAMES).fit_transform(photos[:3])
    )


def test_a_labeler_that_labels_in_its_own_way_is_used_by_fit(photos, monkeypatch):
    class Sharpened(CLIPPseudoLabeler):
        def aggregate(self, embeddings):
            return super().aggregate(embeddings) ** 2

    views = []
    encode_views = CLIPEncoder.encode_views
    monkeypatch.setattr(
        CLIPEncoder,
        "encode_views",
        lambda encoder, batch: views.append(len(batch)) or encode_views(encoder, batch),
    )
    usual = CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(photos)
    views.clear()
    settings = QUICK | {"pseudo_labeler": Sharpened(NAMES, grid_size=1)}
    classifier = CDULClassifier(**settings).fit(photos)
    np.testing.assert_allclose(classifier.initial_pseudo_labels_, usual**2, atol=1e-6)
    assert sum(views) == len(photos)  # nothing was encoded twice


def test_a_labeler_that_gives_data_frames_is_fine(photos):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1).set_output(transform="pandas")
    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": labeler}).fit(photos[:4])
    assert isinstance(classifier.initial_pseudo_labels_, np.ndarray)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            lambda given: np.where(np.arange(3) == 1, np.nan, given),
            r"gave nan in column 1",
        ),
        (lambda given: given * 7, r"in \[0, 1\]; it gave"),
        (lambda given: given[:, :2], r"shape \(4, 3\); it gave \(4, 2\)"),
    ],
)
def test_a_labeler_of_ones_own_must_give_labels(labels, message, photos):
    class Own(CLIPPseudoLabeler):
        def aggregate(self, embeddings):
            return labels(super().aggregate(embeddings))

    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": Own(NAMES, grid_size=1)})
    with pytest.raises(ValueError, match=message):
        classifier.fit(photos[:4])


def test_verbose_shows_the_bars_of_the_labeler_too(photos, capsys):
    CDULClassifier(**QUICK | {"verbose": True}).fit(photos[:4])
    shown = capsys.readouterr().err
    assert "Encoding" in shown
    assert "Training" in shown
