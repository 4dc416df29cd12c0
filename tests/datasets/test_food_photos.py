"""What the bundled photos promise."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sklearn_cdul.datasets import load_food_photos

POSITIVES = (
    "bread 52, cake 28, cheese 52, coffee 16, egg 28, fruit 68, meat 74, pasta 15, person 21, "
    "pizza 13, salad 18, sandwich 23, soup 14, vegetable 116, bowl 61, cup 50, fork 36, spoon 36, "
    "knife 23, bottle 15"
)


@pytest.fixture(scope="module")
def photos():
    return load_food_photos()


def test_there_are_242_photos_of_20_classes(photos):
    assert len(photos.data) == len(set(photos.data)) == len(photos.attributions) == 242
    assert photos.target.shape == (242, 20)
    assert photos.target.dtype == np.int64
    assert photos.split.shape == (242,)


def test_each_class_has_the_stated_number_of_positives(photos):
    counts = zip(photos.target_names, photos.target.sum(axis=0), strict=True)
    assert ", ".join(f"{name} {count}" for name, count in counts) == POSITIVES
    assert set(np.unique(photos.target)) == {0, 1}


def test_the_description_states_the_same_numbers(photos):
    description = " ".join(photos.DESCR.split())
    assert all(each in description for each in POSITIVES.split(", "))
    assert f"{photos.target.sum(axis=1).mean():.2f} on average" in description
    assert "An AI model made all labels" in description


def test_every_photo_is_a_readable_rgb_image_of_the_stated_size(photos):
    for path in photos.data:
        assert isinstance(path, str)
        with Image.open(path) as image:
            image.load()
            assert image.mode == "RGB"
            assert max(image.size) == 384


def test_subsets_are_the_two_parts_of_the_split(photos):
    parts = {name: load_food_photos(subset=name) for name in ("train", "test")}
    assert (len(parts["train"].data), len(parts["test"].data)) == (145, 97)
    for name, part in parts.items():
        chosen = photos.split == name
        assert set(part.split) == {name}
        assert part.data == [path for path, keep in zip(photos.data, chosen, strict=True) if keep]
        np.testing.assert_array_equal(part.target, photos.target[chosen])
        assert [row["filename"] for row in part.attributions] == [Path(p).name for p in part.data]


def test_every_class_has_a_positive_and_a_negative_in_both_parts():
    for name in ("train", "test"):
        target = load_food_photos(subset=name).target
        assert (target.sum(axis=0) > 0).all()
        assert (target.sum(axis=0) < len(target)).all()


def test_every_photo_has_its_source_author_and_licence(photos):
    licences = Counter(row["licence"] for row in photos.attributions)
    assert licences == {"Pexels": 219, "CC BY 2.0": 22, "public domain (CC0 1.0)": 1}
    for row, path in zip(photos.attributions, photos.data, strict=True):
        assert row["filename"] == Path(path).name
        assert row["source_url"].startswith("https://")
        assert row["author"]


def test_an_unknown_subset_is_refused():
    with pytest.raises(ValueError, match="'validation'"):
        load_food_photos(subset="validation")
