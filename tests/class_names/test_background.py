"""Names that compete with the classes: other things, never kinds of a class."""

from pathlib import Path

import numpy as np
import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul._utils.vectors import unit_vectors
from sklearn_cdul.class_names.background import background_of
from sklearn_cdul.class_names.checking import known_names
from sklearn_cdul.class_names.prompts import resolve_classes

# Texts of OpenAI's CLIP.
VOCABULARY = Path(__file__).resolve().parents[2] / "tools" / "data" / "clip_vocabulary.npz"


def background(*names, **wordings):
    """Names of the background of some classes."""
    classes = wordings or list(names)
    labeler = CLIPPseudoLabeler(classes, background_classes="general").fit()
    places, *_ = background_of(resolve_classes(classes, "{}")[1], labeler.text_embeddings_)
    known, all_places = known_names()
    left = {row.tobytes() for row in places}
    return {name for name, row in zip(known, all_places, strict=True) if row.tobytes() in left}


def test_kinds_of_a_class_and_what_it_is_a_kind_of_do_not_compete():
    names = background("dog")
    assert not names & {"dog", "beagle", "border collie", "animal", "carnivore"}
    assert {"cat", "pizza", "airplane", "chair"} <= names


@pytest.mark.parametrize("spelling", ["dogs", "Dog", "DOG"])
def test_other_spellings_leave_out_the_same_kinds(spelling):
    assert not background(spelling) & {"dog", "beagle", "animal"}


def test_a_wording_counts_where_the_name_means_nothing():
    assert not background(x7="mammal") & {"dog", "cat", "mammal"}


def test_a_noun_that_the_encoder_was_not_fitted_to_leaves_out_its_kinds():
    known, _ = known_names()
    assert "feline" not in known
    assert not background("feline") & {"cat", "lynx", "lion", "animal"}


def test_each_class_leaves_out_its_own():
    assert background("dog", "car") == background("dog") & background("car")


def test_to_an_encoder_that_finds_all_names_alike_other_things_still_compete():
    if not VOCABULARY.exists():
        pytest.skip("tools/data is only in the source tree")
    with np.load(VOCABULARY) as stored:
        texts = stored["embeddings"].astype(np.float32)
        rows = dict(zip(stored["names"].tolist(), texts, strict=True))
    known, _ = known_names()
    some = texts.mean(axis=0)  # stands for the few names that were added later
    encoded = unit_vectors(np.stack([rows.get(name, some) for name in known]))
    assert np.median(encoded @ encoded.T) > 0.7
    dog = encoded[[known.index("dog")]]
    left = {row.tobytes() for row in background_of([["dog"]], dog, encoded)[0]}
    names = {name for name, row in zip(known, encoded, strict=True) if row.tobytes() in left}
    assert len(names) > 2000
    assert not names & {"dog", "beagle", "puppy", "animal"}
    assert {"cat", "pizza", "airplane", "chair"} <= names


def test_a_word_that_means_nothing_competes_with_nearly_all():
    known, places = known_names()
    nobody = np.ones((1, places.shape[1])) / 16
    others, kinds, owners = background_of([["xkcdqq"]], nobody)
    assert len(others) == len(known)
    assert len(kinds) == len(owners) == 0


def kinds(*names):
    """Names of the kinds of some classes, by class."""
    labeler = CLIPPseudoLabeler(list(names), background_classes="general").fit()
    places, owners = background_of([[name] for name in names], labeler.text_embeddings_)[1:]
    known, all_places = known_names()
    at = {row.tobytes(): name for name, row in zip(known, all_places, strict=True)}
    return [{at[row.tobytes()] for row in places[owners == j]} for j in range(len(names))]


def test_kinds_are_what_a_class_stands_above_and_looks_like():
    (dog,) = kinds("dog")
    assert {"beagle", "pug", "shepherd dog"} <= dog
    assert not dog & {"dog", "animal", "carnivore", "cat", "hot dog"}


def test_what_has_the_name_of_a_kind_in_another_meaning_is_none():
    (person,) = kinds("person")
    assert {"girl", "man"} <= person
    assert not person & {"bear", "crab", "butter", "calculator"}
