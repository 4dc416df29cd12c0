"""Names that an encoder will not understand as they are meant are pointed out."""

import unicodedata
import warnings

import numpy as np
import pytest

from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
from sklearn_cdul.class_names.prompts import resolve_classes
from sklearn_cdul.class_names.wordings import (
    warn_about_equal_classes,
    warn_about_identifiers,
    warn_about_scripts,
)
from sklearn_cdul.encoders.loading import load_encoder


def fit(classes, **settings):
    return CLIPPseudoLabeler(classes, grid_size=1, **settings).fit()


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


def test_long_descriptions_that_differ_only_where_they_are_cut_are_named():
    text = "a very long description of a car that goes on and on and on and on about its"
    with pytest.warns(UserWarning, match="'red' and 'blue'"):
        fit({"red": f"{text} red paint", "blue": f"{text} blue paint"}, prompt_template="{}")


@pytest.mark.parametrize("classes", ["coco", "voc", "nus-wide", ["cat", "kitten", "dog", "puppy"]])
def test_classes_that_differ_give_no_warning(classes, recwarn):
    fit(classes)
    said = [str(each.message) for each in recwarn]
    assert not [text for text in said if "can only guess" not in text]  # sky, dancing


def test_pairs_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr("sklearn_cdul.class_names.wordings._BLOCK", 3)
    vectors = np.random.default_rng(0).normal(size=(10, 8))
    vectors[7] = vectors[1]
    vectors[9] = vectors[8]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with pytest.warns(UserWarning, match=r"same: 'n1' and 'n7', 'n8' and 'n9'\. Their"):
        warn_about_equal_classes([f"n{i}" for i in range(10)], vectors)


def test_many_pairs_are_counted():
    with pytest.warns(UserWarning, match=r"and 4942 more pairs") as caught:
        warn_about_equal_classes([f"n{i}" for i in range(100)], np.ones((100, 1)))
    assert len(str(caught[0].message)) < 600


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["3", "7"], r"'3', '7' say nothing about photos: \{'3': 'its wording'\}"),
        (["n02084071", "dog"], "'n02084071' say nothing"),
        (["Class 3", "class_4", "label-1"], "'Class 3', 'class_4', 'label-1' say nothing"),
        (["AnnualCrop", "SeaLake", "dog"], r"\{'AnnualCrop': 'annual crop'\}"),
        (["great white shark, white shark", "dog"], r"\['great white shark', 'white shark'\]"),
    ],
)
def test_names_that_are_no_words_get_a_hint(names, message):
    with pytest.warns(UserWarning, match=message):
        fit(names)


def test_words_and_given_wordings_get_no_hint(recwarn):
    warn_about_identifiers(["cat", "t-shirt", "iPhone", "McDonald", "hot_dog", "DOG", "7 Up"])
    fit({"AnnualCrop": "corn", "3": "three dogs"})
    assert not [str(each.message) for each in recwarn]


def test_underscores_are_read_as_spaces_and_the_name_is_kept():
    names, prompts = resolve_classes(["hot_dog", "fire__hydrant_", "cat"], "a {}")
    assert names == ["hot_dog", "fire__hydrant_", "cat"]
    assert prompts == [["a hot dog"], ["a fire hydrant"], ["a cat"]]
    assert resolve_classes({"hot_dog": "hot_dog"}, "a {}")[1] == [["a hot_dog"]]


@pytest.mark.parametrize("text", ["猫", "кошка", "γάτα", "قطة", "🐱", "いぬ", "cat 猫"])
def test_words_in_another_script_are_named(text):
    with pytest.warns(UserWarning, match=f"English only: {text!r} mean nothing"):
        fit(["dog", text])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit({text: "cat", "dog": "dog"})


def test_latin_letters_are_no_other_script(recwarn):
    names = ["dog", "café", "naïve", "smörgåsbord", "t-shirt", "7 Up", "20 € note"]
    warn_about_scripts(names, [[f"a photo of a {name}"] for name in names])
    assert not recwarn


def test_encoders_that_do_not_say_so_may_read_any_script(recwarn):
    class Letters(BaseEncoder):
        temperature = 0.1

        def encode_text(self, prompts):
            return np.eye(len(prompts) + 1)[: len(prompts)]

    CLIPPseudoLabeler(["猫", "狗"], model_name=Letters(), input="embeddings").fit()
    assert not recwarn


def test_prompts_that_are_cut_are_counted_and_named():
    text = "one of the things that people put on a plate when they have guests for tea"
    words = text.split()
    with pytest.warns(UserWarning, match=r"1 of 2 classes.*are cut: 'cake'\. Put what tells"):
        fit({"cake": ["cake", text], "tea": "tea"})
    encoder = load_encoder("bundled")
    prompts = [" ".join(words[:count]) for count in range(1, len(words) + 1)]
    fits = np.arange(1, len(words) + 1) < 14  # 16 tokens, two of them mark the ends
    np.testing.assert_array_equal(encoder.are_cut(prompts), ~fits)
