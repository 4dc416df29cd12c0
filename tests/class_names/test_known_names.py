"""A name that the bundled encoder can only guess is told from those that it knows."""

import numpy as np
import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.class_names.known_names import guessed_classes
from sklearn_cdul.encoders.loading import BUNDLED_FOLDER, load_encoder
from sklearn_cdul.encoders.texts import encode_classes


def embed(*names):
    return encode_classes(load_encoder(device="cpu"), [[f"a photo of a {name}"] for name in names])


@pytest.mark.parametrize("vocabulary", ["coco", "voc"])
def test_no_name_of_a_vocabulary_of_objects_is_a_guess(vocabulary, recwarn):
    CLIPPseudoLabeler(vocabulary).fit()
    assert not [str(each.message) for each in recwarn]


def test_the_stored_places_are_where_the_text_tower_puts_the_names():
    with np.load(BUNDLED_FOLDER / "names.npz") as stored:
        names, places = str(stored["names"]).split("\n"), stored["places"].astype(float)
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    assert (embed(*names[::8]) * places[::8]).sum(axis=1).mean() > 0.98


def test_spellings_and_phrases_of_known_names_are_no_guesses():
    assert not guessed_classes(
        embed("Cats", "HOT DOG", "hot_dog", "HotDog", "diningtable", "women", "red car")
    )


def test_words_without_relatives_are_guesses_with_three_neighbours():
    guessed = guessed_classes(embed("cat", "asdfgh", "dog", "moon", "sky"))
    assert sorted(guessed) == [1, 3, 4]
    assert all(len(nearest) == 3 for nearest in guessed.values())


def test_the_labeler_names_guesses_and_their_neighbours():
    with pytest.warns(UserWarning, match=r"only guess what 'asdfgh' \(nearest names"):
        CLIPPseudoLabeler(["cat", "asdfgh"]).fit()


def test_the_labeler_counts_guesses_that_it_does_not_show(monkeypatch):
    monkeypatch.setattr("sklearn_cdul.class_names.known_names.NEAR", 1.1)
    with pytest.warns(UserWarning, match="and 2 more looks like"):
        CLIPPseudoLabeler(["cat", "dog", "cow", "horse", "sheep", "bus", "car"]).fit()


def test_known_synonyms_make_it_quiet(recwarn):
    CLIPPseudoLabeler({"asdfgh": ["cat"], "b": ["dog"]}).fit()
    assert not [str(each.message) for each in recwarn]


def test_other_encoders_are_not_judged_by_the_names_of_this_one(recwarn):
    CLIPPseudoLabeler(["cat", "asdfgh"], model_name=load_encoder(device="cpu")).fit()
    assert not [str(each.message) for each in recwarn]
