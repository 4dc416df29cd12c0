"""Search by words, and photos that are nearly the same."""

import io

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.review import find_duplicates, search_photos


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:12]


@pytest.fixture(scope="module")
def labeler(tmp_path_factory):
    return CLIPPseudoLabeler(memory=tmp_path_factory.mktemp("memory"), on_error="nan")


def altered(path):
    """A copy as messengers make it: smaller, and compressed more."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((image.width // 2, image.height // 2))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=60)
    return Image.open(file)


@pytest.mark.parametrize("word", ["pizza", "egg", "salad"])
def test_photos_that_show_the_words_come_before_the_others(labeler, food_photos, word):
    column = food_photos.target[:, food_photos.target_names.index(word)]
    rows = list(dict.fromkeys([*np.flatnonzero(column)[:4].tolist(), *range(12)]))
    found, similarities = search_photos(labeler, [food_photos.data[row] for row in rows], word)
    (places,) = np.nonzero(column[rows][found])
    assert places.mean() < len(rows) / 2 - 2  # by chance in the middle
    assert (np.diff(similarities) <= 0).all()


def test_the_longer_list_begins_like_the_shorter_one_and_ends_with_the_photos(labeler, photos):
    rows, _ = search_photos(labeler, photos, "a red fruit", n=99)
    assert sorted(rows) == list(range(12))
    assert_array_equal(search_photos(labeler, photos, "a red fruit", n=3)[0], rows[:3])


def test_copies_are_found_and_other_photos_are_not(labeler, photos):
    X = [*photos, altered(photos[3]), photos[5], altered(photos[3])]
    groups = find_duplicates(labeler, X)
    assert [group.tolist() for group in groups] == [[3, 12, 14], [5, 13]]
    assert find_duplicates(labeler, photos) == []
    assert find_duplicates(labeler, photos[:1]) == []


def test_photos_that_cannot_be_read_are_in_no_result(labeler, photos, tmp_path):
    (tmp_path / "page.png").write_text("<html>")
    X = [*photos[:3], tmp_path / "page.png", tmp_path / "page.png"]
    with pytest.warns(UserWarning, match="2 of 5 images can't be used"):
        assert find_duplicates(labeler, X) == []
    with pytest.warns(UserWarning, match="2 of 5 images can't be used"):
        assert sorted(search_photos(labeler, X, "cake")[0]) == [0, 1, 2]


def test_many_copies_of_one_photo_are_one_group():
    rng = np.random.default_rng(0)
    X = np.concatenate(
        [np.repeat(rng.normal(size=(1, 256)), 300, axis=0), rng.normal(size=(50, 256))]
    )
    groups = find_duplicates(CLIPPseudoLabeler(input="embeddings"), X)
    assert [group.tolist() for group in groups] == [list(range(300))]


def test_a_classifier_lends_its_labeler():
    X = np.random.default_rng(0).normal(size=(40, 256)).astype(np.float32)
    labeler = CLIPPseudoLabeler(["cat", "dog"], input="embeddings")
    model = CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(X)
    for one in (labeler, model):
        rows, _ = search_photos(one, X, "cow", n=2)
        assert_array_equal(rows, search_photos(labeler, X, "cow", n=2)[0])
        assert find_duplicates(one, [*X, X[1]])[0].tolist() == [1, 40]


@pytest.mark.parametrize("similarity", [0, 1.5, float("nan")])
def test_a_similarity_is_a_cosine_above_0(labeler, photos, similarity):
    with pytest.raises(ValueError, match="similarity must be in"):
        find_duplicates(labeler, photos, similarity)


def test_there_are_words_and_a_number_of_photos(labeler, photos):
    with pytest.raises(ValueError, match="words must be text"):
        search_photos(labeler, photos, " ")
    with pytest.raises(ValueError, match="n must be at least 1"):
        search_photos(labeler, photos, "cake", n=0)
