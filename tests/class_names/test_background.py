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
    wordings = resolve_classes(classes, "{}")[1]
    places, sources, _ = background_of(wordings, labeler.text_embeddings_)
    known, all_places = known_names()
    left = {row.tobytes() for row in np.delete(places, sources - len(wordings), axis=0)}
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
    places, sources, _ = background_of([["dog"]], dog, encoded)
    left = {row.tobytes() for row in np.delete(places, sources - 1, axis=0)}
    names = {name for name, row in zip(known, encoded, strict=True) if row.tobytes() in left}
    assert len(names) > 2000
    assert not names & {"dog", "beagle", "puppy", "animal"}
    assert {"cat", "pizza", "airplane", "chair"} <= names


def test_a_word_that_means_nothing_competes_with_nearly_all():
    known, places = known_names()
    nobody = np.ones((1, places.shape[1])) / 16
    others, sources, owners = background_of([["xkcdqq"]], nobody)
    assert len(others) == len(known)
    assert len(sources) == len(owners) == 0


def competing(*names):
    """Names of the columns, classes first, and those of the kinds of each class."""
    labeler = CLIPPseudoLabeler(list(names), background_classes="general").fit()
    wordings = [[name] for name in names]
    places, sources, owners = background_of(wordings, labeler.text_embeddings_)
    known, all_places = known_names()
    at = {row.tobytes(): name for name, row in zip(known, all_places, strict=True)}
    columns = [*names, *(at[row.tobytes()] for row in places)]
    of = [[columns[at] for at in sources[owners == j]] for j in range(len(names))]
    assert all(len(set(own)) == len(own) for own in of)
    return columns, [set(own) for own in of]


def kinds(*names):
    """Names of the kinds of some classes, by class."""
    return competing(*names)[1]


def test_kinds_are_what_a_class_stands_above_and_looks_like():
    (dog,) = kinds("dog")
    assert {"beagle", "pug", "shepherd dog"} <= dog
    assert not dog & {"dog", "animal", "carnivore", "cat", "hot dog"}


def test_what_has_the_name_of_a_kind_in_another_meaning_is_none():
    (person,) = kinds("person")
    assert {"girl", "man"} <= person
    assert not person & {"bear", "crab", "butter", "calculator"}


def test_a_kind_that_is_a_class_or_a_kind_of_two_stands_once():
    columns, (dog, beagle, pet) = competing("dog", "beagle", "puppy")
    assert {"beagle", "puppy", "pug"} <= dog and not beagle | pet
    assert len(set(columns)) == len(columns)
    columns, (tree, plant) = competing("tree", "plant")
    assert "palm tree" in tree & plant and "maple" in tree - plant
    assert len(set(columns)) == len(columns)
    columns, (car, vehicle, minivan) = competing("car", "vehicle", "minivan")
    assert "minivan" in car & vehicle and "convertible" in car and not minivan
    assert len(set(columns)) == len(columns)
    spelled, (dog, beagles) = competing("dog", "Beagles")
    assert "Beagles" in dog and "beagle" not in spelled and not beagles


def test_a_kind_that_the_user_calls_background_counts_as_no_class():
    labeler = CLIPPseudoLabeler(["dog"], background_classes=["beagle", "cat"]).fit()
    places, sources, owners = labeler._other_names(None)
    assert not (places @ labeler.background_embeddings_.T > 0.9).any()
    assert len(sources) > 5 and (sources > 2).all() and (owners == 0).all()
