"""Names that photos have taught count more, as do other words for them."""

import numpy as np

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.class_names.gains import gains_of


def test_people_and_water_have_gains_and_things_have_none():
    names = ["person", "people", "man", "woman", "water", "dog", "cup", "pizza", "chair"]
    gains = gains_of(CLIPPseudoLabeler(names).fit().text_embeddings_)
    assert (gains[:5] > 1.5).all()
    assert (gains[5:] == 1).all()
    assert np.ptp(gains[:4]) == 0  # they lie where "person" lies


def test_a_class_with_a_gain_has_higher_labels_and_the_others_the_same(food_photos):
    names, photos = ["person", "pizza", "bowl"], food_photos.data[:8]
    labeler = CLIPPseudoLabeler(names, grid_size=1).fit()
    labels = labeler.transform(photos)
    labeler._gains = lambda embeddings: np.ones(len(embeddings))
    without = labeler.transform(photos)
    assert (labels[:, 1:] == without[:, 1:]).all()
    similar = labeler.embed(photos)[:, 0] @ labeler.text_embeddings_[0] > 0
    assert ((labels[:, 0] > without[:, 0]) == similar).all()
