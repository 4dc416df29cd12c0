"""Which class lists and templates are understood, and which are refused with a reason."""

import os

import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_cdul.class_names.prompts import resolve_background, resolve_classes
from sklearn_cdul.class_names.vocabularies import VOCABULARIES

NAMES = ["cat", "traffic light"]


@pytest.mark.parametrize(
    "container",
    [list, tuple, np.array, lambda x: np.array(x, dtype=object), pd.Series, pd.Index, pl.Series],
)
def test_any_ordered_collection_of_names_is_read(container):
    names, prompts = resolve_classes(container(NAMES))
    assert names == NAMES
    assert prompts == [["a photo of a cat"], ["a photo of a traffic light"]]
    assert all(type(name) is str for name in names)


def test_a_series_with_an_index_of_its_own_is_read_in_order():
    assert resolve_classes(pd.Series(NAMES, index=[7, 3]))[0] == NAMES


def test_spaces_around_names_are_dropped():
    assert resolve_classes([" cat", "traffic light\n"])[0] == NAMES


def test_braces_in_a_name_are_only_text():
    assert resolve_classes(["{}", "{0}"], "a {}") == (["{}", "{0}"], [["a {}"], ["a {0}"]])


def test_underscores_are_read_as_spaces_and_the_name_is_kept():
    names, prompts = resolve_classes(["hot_dog", "fire__hydrant_", "cat"], "a {}")
    assert names == ["hot_dog", "fire__hydrant_", "cat"]
    assert prompts == [["a hot dog"], ["a fire hydrant"], ["a cat"]]
    assert resolve_classes({"hot_dog": "hot_dog"}, "a {}")[1] == [["a hot_dog"]]


def test_several_templates_make_several_prompts():
    _, prompts = resolve_classes(NAMES, ["a photo of a {}", "a blurry {}"])
    assert prompts[0] == ["a photo of a cat", "a blurry cat"]


def test_a_mapping_puts_every_wording_into_every_template():
    classes = {"sofa": ["sofa", "couch"], "cat": "kitten"}
    names, prompts = resolve_classes(classes, ["a {}", "one {}"])
    assert names == ["sofa", "cat"]
    assert prompts == [["a sofa", "one sofa", "a couch", "one couch"], ["a kitten", "one kitten"]]


def test_whole_prompts_are_kept_with_the_bare_template():
    classes = {"scratch": ["a scratched surface", "metal with a scratch"]}
    assert resolve_classes(classes, "{}")[1] == [["a scratched surface", "metal with a scratch"]]


def test_doubled_braces_in_a_template_are_text():
    assert resolve_classes(["cat"], "{{}} {}")[1] == [["{} cat"]]


@pytest.mark.parametrize(
    ("name", "size", "some"),
    [
        ("coco", 80, {0: "person", 9: "traffic light", 62: "tv", 79: "toothbrush"}),
        ("voc", 20, {0: "aeroplane", 10: "dining table", 15: "potted plant", 19: "tv monitor"}),
        ("nus-wide", 81, {0: "airport", 40: "nighttime", 61: "sun", 62: "sunset", 80: "zebra"}),
    ],
)
def test_vocabularies_have_the_order_of_their_data_set(name, size, some):
    names, _ = resolve_classes(name)
    assert len(names) == len(set(names)) == size
    assert {i: names[i] for i in some} == some


@pytest.mark.parametrize("name", ["voc", "nus-wide"])
def test_voc_and_nus_wide_are_in_alphabetical_order(name):
    assert list(VOCABULARIES[name]) == sorted(VOCABULARIES[name])


@pytest.mark.parametrize("classes", [[], (), {}, np.array([], dtype=str), pd.Series([], dtype=str)])
def test_no_classes_is_an_error(classes):
    with pytest.raises(ValueError, match="classes is empty"):
        resolve_classes(classes)


@pytest.mark.parametrize("classes", [["cat", "dog", " cat ", "dog"], {"cat": "a", "cat ": "b"}])
def test_repeated_names_are_listed(classes):
    with pytest.raises(ValueError, match=r"these repeat: \['cat'"):
        resolve_classes(classes)


@pytest.mark.parametrize(
    ("classes", "where"),
    [
        (["cat", " "], r"classes\[1\]"),
        ({"": "cat"}, "A key of classes"),
        ({"cat": ["kitten", ""]}, r"classes\['cat'\]\[1\]"),
    ],
)
def test_an_empty_name_or_wording_is_located(classes, where):
    with pytest.raises(ValueError, match=f"{where} is an empty string"):
        resolve_classes(classes)


def test_a_name_that_is_no_text_in_unicode_is_located():
    for classes in (["cat", os.fsdecode(b"caf\xe9")], {"cat": ["kitten", "caf\udce9"]}):
        with pytest.raises(ValueError, match=r"\[1\] is 'caf\\udce9', which is not text"):
            resolve_classes(classes)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["cat", 3], r"classes\[1\] must be a string, got 3 \(int\)"),
        (["cat", None], r"classes\[1\] must be a string, got None"),
        (["cat", ["dog"]], r"classes\[1\] must be a string"),
        ({1: "cat"}, "A key of classes must be a string, got 1"),
        ({"cat": 5}, r"classes\['cat'\] must be a string or a list of strings, got 5"),
        ({"cat": ["kitten", 5]}, r"classes\['cat'\]\[1\] must be a string, got 5"),
        ({"cat", "dog"}, "got set"),
        ((name for name in NAMES), "got generator"),
        (None, "got NoneType"),
        (20, "got int"),
        (np.array("cat"), "got ndarray"),
        (np.array([NAMES]), "got ndarray"),
        (pd.DataFrame({"name": NAMES}), "got DataFrame"),
    ],
)
def test_wrong_types_are_named(classes, message):
    with pytest.raises(TypeError, match=message):
        resolve_classes(classes)


def test_a_mapping_without_wordings_names_the_class():
    with pytest.raises(ValueError, match=r"classes\['cat'\] is empty"):
        resolve_classes({"dog": "dog", "cat": []})


def test_an_unknown_vocabulary_names_the_known_ones_and_the_way_to_give_one_class():
    known = r"\"coco\", \"voc\", \"nus-wide\", \"general\""
    message = rf"'cat' is not a known vocabulary \({known}\).*\['cat'\]"
    with pytest.raises(ValueError, match=message):
        resolve_classes("cat")
    with pytest.raises(ValueError, match=r"these classes write classes=\['dog', 'red fox'\]"):
        resolve_classes("dog, red fox")


@pytest.mark.parametrize(
    "template",
    ["a photo", "", "{} and {}", "a {name}", "a {0}", "a {!r}", "a {:>5}", "a {", "{{}}", "} {}"],
)
def test_a_template_needs_exactly_one_plain_field(template):
    with pytest.raises(ValueError, match=r"exactly one \{\}"):
        resolve_classes(NAMES, template)
    with pytest.raises(ValueError, match=r"exactly one \{\}"):
        resolve_classes(NAMES, ["a {}", template])


def test_templates_of_a_wrong_kind_are_refused():
    with pytest.raises(ValueError, match="prompt_template is empty"):
        resolve_classes(NAMES, [])
    for template in (None, 3, ["a {}", None]):
        with pytest.raises(TypeError, match="prompt_template must be a string"):
            resolve_classes(NAMES, template)


def test_background_classes_are_resolved_like_classes_without_those_that_are_classes():
    names, prompts = resolve_background(["Cat", "sky", "tall_tree"], ["cat", "dog"], "a {}")
    assert names == ["sky", "tall_tree"]
    assert prompts == [["a sky"], ["a tall tree"]]
    names, _ = resolve_background("general", ["tree", "dog"], "a {}")
    assert "tree" not in names
    assert "sky" in names
    assert resolve_background(None, ["cat"], "a {}") == ([], [])
    with pytest.raises(ValueError, match="repeat"):
        resolve_background(["sky", "sky"], ["cat"], "a {}")
