"""Names that an encoder will not understand as they are meant are pointed out."""

import unicodedata
import warnings

import numpy as np
import pytest

from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
from sklearn_cdul.class_names.checking import warn_about_classes
from sklearn_cdul.encoders.loading import BUNDLED_FOLDER, load_encoder
from sklearn_cdul.encoders.texts import encode_classes


def fit(classes, **settings):
    return CLIPPseudoLabeler(classes, grid_size=1, **settings).fit()


def warnings_of(classes, **settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(classes, **settings)
    return [str(each.message) for each in caught]


def compare(vectors):
    """Let classes n0, n1, ... with these embeddings be checked."""
    names = [f"n{index}" for index in range(len(vectors))]
    warn_about_classes(
        names,
        [[name] for name in names],
        np.asarray(vectors),
        identifiers=[],
        is_truncated=np.zeros(len(names), dtype=bool),
        english_only=True,
    )


# classes that are one to the encoder


@pytest.mark.parametrize(
    "classes",
    [
        ["猫", "狗", "自行车"],
        ["Cat", "cat", "dog"],
        ["café", unicodedata.normalize("NFD", "café"), "bar"],
        ["t-shirt", "T-Shirt"],
        ["🐱", "🐶"],
        {"one": ["cat", "dog"], "two": ["dog", "cat"], "three": "bird"},
    ],
)
def test_classes_that_are_one_to_the_encoder_are_named(classes):
    first, second, *_ = list(classes)
    with pytest.warns(UserWarning, match=f"are the same: {first!r} and {second!r}.*wordings"):
        fit(classes)


def test_long_descriptions_that_differ_only_where_they_are_truncated_are_named():
    text = "a very long description of a car that goes on and on and on and on about its"
    with pytest.warns(UserWarning, match="'red' and 'blue'"):
        fit({"red": f"{text} red paint", "blue": f"{text} blue paint"}, prompt_template="{}")


@pytest.mark.parametrize("classes", ["coco", "voc", "nus-wide", ["cat", "kitten", "dog", "puppy"]])
def test_classes_that_differ_give_no_warning(classes):
    said = warnings_of(classes)
    assert not [text for text in said if "can only guess" not in text]  # dancing


def test_equal_classes_are_found_wherever_they_stand():
    vectors = np.random.default_rng(0).normal(size=(2500, 64))
    vectors[[1800, 2400]] = vectors[[3, 2399]]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with pytest.warns(UserWarning, match=r"same: 'n3' and 'n1800', 'n2399' and 'n2400'\. Their"):
        compare(vectors)


def test_many_pairs_are_counted():
    with pytest.warns(UserWarning, match=r"and 4945 more pairs") as caught:
        compare(np.ones((100, 1)))
    assert len(str(caught[0].message)) < 600


# names that are no words


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["3", "7"], r"\{'3': 'its wording'\} for codes \('3', '7'\)"),
        (["n02084071", "dog"], r"for codes \('n02084071'\)"),
        (["Class 3", "class_4", "label-1"], r"for codes \('Class 3', 'class_4', 'label-1'\)"),
        (["AnnualCrop", "SeaLake", "dog"], r"\{'AnnualCrop': 'annual crop'\}.*'SeaLake'"),
        (["great white shark, white shark", "dog"], r"\['great white shark', 'white shark'\]"),
    ],
)
def test_names_that_are_no_words_get_a_hint(names, message):
    with pytest.warns(UserWarning, match=message):
        fit(names)


@pytest.mark.parametrize(
    "classes",
    [
        ["cat", "t-shirt", "iPhone", "McDonald", "hot_dog", "DOG", "7 Up"],
        {"AnnualCrop": "corn", "3": "three dogs"},
    ],
)
def test_words_and_given_wordings_get_no_hint(classes):
    assert not [text for text in warnings_of(classes) if "as they stand" in text]


# other scripts


@pytest.mark.parametrize("text", ["猫", "кошка", "γάτα", "قطة", "🐱", "いぬ", "cat 猫"])
def test_words_in_another_script_are_named(text):
    with pytest.warns(UserWarning, match=f"English only, not {text!r}"):
        fit(["dog", text])
    assert not warnings_of({text: "cat", "dog": "dog"})


def test_latin_letters_are_no_other_script():
    said = warnings_of(["dog", "café", "naïve", "smörgåsbord", "t-shirt", "7 Up", "20 € note"])
    assert not [text for text in said if "English" in text]


def test_encoders_that_do_not_say_so_may_read_any_script():
    class Letters(BaseEncoder):
        temperature = 0.1

        def encode_text(self, prompts):
            return np.eye(len(prompts) + 1)[: len(prompts)]

    assert not warnings_of(["猫", "狗"], model_name=Letters(), input="embeddings")


# long prompts


def test_prompts_that_are_truncated_are_counted_and_named():
    text = "one of the things that people put on a plate when they have guests for tea"
    with pytest.warns(UserWarning, match=r"1 of 2 classes.*truncated: 'cake'\. Shorten them"):
        fit({"cake": ["cake", text], "tea": "tea"})


# names that the bundled encoder guesses


@pytest.mark.parametrize("vocabulary", ["coco", "voc"])
def test_no_name_of_a_vocabulary_of_objects_is_a_guess(vocabulary):
    assert not warnings_of(vocabulary)


def test_the_stored_embeddings_are_those_of_the_text_tower():
    with np.load(BUNDLED_FOLDER / "names.npz") as stored:
        names, stored = str(stored["names"]).split("\n"), stored["places"].astype(float)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    prompts = [[f"a photo of a {name}"] for name in names[::8]]
    embeddings = encode_classes(load_encoder(device="cpu"), prompts)
    assert (embeddings * stored[::8]).sum(axis=1).mean() > 0.98


def test_spellings_and_phrases_of_known_names_are_no_guesses():
    names = ["Cats", "HOT DOG", "women", "red car", "diningtable"]
    assert not [text for text in warnings_of(names) if "guess" in text]


def test_words_that_photos_taught_are_no_guesses():
    assert not [text for text in warnings_of(["sky", "water", "child"]) if "guess" in text]


def test_words_without_relatives_are_guesses_with_three_neighbours():
    neighbours = r"\(nearest names that it knows: [^,)]+, [^,)]+, [^,)]+\)"
    words = rf"guess what 'asdfgh' {neighbours}; 'moon' {neighbours}; 'moisture' {neighbours} looks"
    with pytest.warns(UserWarning, match=words):
        fit(["cat", "asdfgh", "dog", "moon", "moisture"])


def test_guesses_that_are_not_shown_are_counted():
    names = ["qwxz", "jvkq", "zzgh", "asdfgh", "wvtp", "moon", "moisture"]
    with pytest.warns(UserWarning, match=r"and 2 more looks like"):
        fit(names)


def test_known_synonyms_make_it_quiet():
    assert not warnings_of({"asdfgh": ["cat"], "b": ["dog"]})


def test_other_encoders_are_not_judged_by_the_names_of_this_one():
    assert not warnings_of(["cat", "asdfgh"], model_name=load_encoder(device="cpu"))
