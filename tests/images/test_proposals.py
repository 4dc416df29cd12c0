"""Object proposals beside the grid: the same boxes always, inside the image, and kept apart."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.images import proposals
from sklearn_cdul.images.proposals import proposal_boxes
from sklearn_cdul.images.views import Preprocessing, make_views

NAMES = ["pizza", "cake", "coffee"]
PREPROCESSING = Preprocessing((32, 32), "squash")
LABELER = CLIPPseudoLabeler(NAMES, grid_size=2, views="proposals", precision="float32")
WITHOUT_CONTRIB = type(sys)("cv2")


def read(path):
    with Image.open(path) as photo:
        return photo.convert("RGB")


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:8]


@pytest.fixture(scope="module")
def photos(paths):
    return [read(path) for path in paths]


@pytest.fixture(scope="module")
def boxes(photos):
    return [proposal_boxes(photo, 9) for photo in photos]


# the boxes


def test_photos_have_as_many_boxes_as_asked_for_and_all_lie_inside(photos, boxes):
    for photo, nine in zip(photos, boxes, strict=True):
        assert len(set(nine)) == 9
        for left, upper, right, lower in nine:
            assert 0 <= left < right <= photo.width
            assert 0 <= upper < lower <= photo.height


def test_boxes_are_the_largest_that_overlap_little(photos, boxes):
    for photo, nine in zip(photos, boxes, strict=True):
        masks = np.zeros((9, photo.height, photo.width), dtype=bool)
        for mask, (left, upper, right, lower) in zip(masks, nine, strict=True):
            mask[upper:lower, left:right] = True
        shares = masks.mean(axis=(1, 2))
        # The edges were moved outwards to whole pixels of the photo.
        assert (np.diff(shares) <= 0.03).all()
        assert 0.02 <= shares.min() <= shares.max() <= 0.83
        for index, mask in enumerate(masks[1:], 1):
            both = (masks[:index] & mask).sum(axis=(1, 2))
            either = (masks[:index] | mask).sum(axis=(1, 2))
            assert (both / either < 0.53).all()


def test_fewer_boxes_are_the_first_of_more(photos, boxes):
    assert [proposal_boxes(photo, 4) for photo in photos] == [nine[:4] for nine in boxes]


def test_boxes_are_the_same_in_any_thread_and_order(photos, boxes):
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(proposal_boxes, photos[::-1] * 2, [9] * 16))
    assert again == boxes[::-1] * 2


def test_boxes_are_the_same_in_another_process(paths, boxes):
    # The module alone: importing the package takes seconds.
    code = (
        "import json, runpy, sys; from PIL import Image; "
        "proposal_boxes = runpy.run_path(sys.argv[1])['proposal_boxes']; "
        "photos = [Image.open(path).convert('RGB') for path in sys.argv[2:]]; "
        "print(json.dumps([proposal_boxes(photo, 9) for photo in photos]))"
    )
    command = [sys.executable, "-c", code, proposals.__file__, *paths[5:2:-1]]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [[tuple(box) for box in nine] for nine in json.loads(output)]
    assert found == boxes[5:2:-1]


def test_an_object_on_plain_ground_is_found():
    picture = Image.new("RGB", (300, 200), "white")
    picture.paste((200, 30, 30), (60, 50, 180, 150))
    (found,) = proposal_boxes(picture, 9)
    assert np.abs(np.subtract(found, (60, 50, 180, 150))).max() <= 9


# the views


def test_proposals_stand_in_for_the_snippets(photos, boxes):
    grid = make_views(photos[0], 3, PREPROCESSING)
    views = make_views(photos[0], 3, PREPROCESSING, views="proposals")
    assert views.shape == grid.shape
    assert_array_equal(views[0], grid[0])
    crop = photos[0].crop(boxes[0][4]).resize((32, 32), Image.Resampling.BICUBIC)
    assert_array_equal(views[5], np.asarray(crop))


def test_snippets_make_up_for_proposals_that_are_missing():
    picture = Image.new("RGB", (300, 200), "white")
    picture.paste((200, 30, 30), (60, 50, 180, 150))
    n_found = len(proposal_boxes(picture, 9))
    views = make_views(picture, 3, PREPROCESSING, views="proposals")
    snippets = make_views(picture, 3, PREPROCESSING)[1:]
    assert_array_equal(views[1 + n_found :], snippets[: 9 - n_found])


@pytest.mark.parametrize("size", [(1, 1), (2, 5), (1, 300), (20_000, 1), (3, 3), (640, 480)])
@pytest.mark.parametrize("flat", [True, False])
def test_flat_and_tiny_images_have_all_their_views(size, flat):
    width, height = size
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(np.full_like(noise, 77) if flat else noise)
    found = proposal_boxes(image, 9)
    assert not (flat and found)
    for left, upper, right, lower in found:
        assert 0 <= left < right <= width
        assert 0 <= upper < lower <= height
    assert make_views(image, 3, PREPROCESSING, views="proposals").shape == (10, 32, 32, 3)


def test_a_grid_size_of_1_is_the_whole_image_alone(photos):
    views = make_views(photos[0], 1, PREPROCESSING, views="proposals")
    assert_array_equal(views, make_views(photos[0], 1, PREPROCESSING))


# the labeler and the classifier


def test_only_the_whole_photo_has_the_grids_embedding(paths):
    boxes = LABELER.embed(paths[:2])
    grid = clone(LABELER).set_params(views="grid").embed(paths[:2])
    assert boxes.shape == grid.shape == (2, 5, 256)
    assert_allclose(boxes[:, 0], grid[:, 0], atol=1e-5)
    assert ((boxes[:, 1:] * grid[:, 1:]).sum(axis=2) < 0.999).all()


def test_a_folder_keeps_grid_and_proposals_apart(paths, tmp_path, monkeypatch):
    labeler = clone(LABELER).set_params(memory=tmp_path)
    of_views = {}
    for views in ("grid", "proposals"):
        expected = clone(LABELER).set_params(views=views).embed(paths[:2])
        of_views[views] = labeler.set_params(views=views).embed(paths[:2])
        assert_array_equal(of_views[views], expected)
    monkeypatch.setattr(CLIPEncoder, "encode_views", lambda *_: pytest.fail("encoded again"))
    for views, embeddings in of_views.items():
        assert_array_equal(labeler.set_params(views=views).embed(paths[:2]), embeddings)
    labeler.set_params(views=np.array(["proposals"])[0])  # as a search may hand it over
    assert_array_equal(labeler.embed(paths[:2]), of_views["proposals"])
    monkeypatch.setattr(cv2, "__version__", "6.0.0")
    assert_array_equal(labeler.set_params(views="grid").embed(paths[:2]), of_views["grid"])
    with pytest.raises(pytest.fail.Exception, match="encoded again"):  # other boxes, perhaps
        labeler.set_params(views="proposals").embed(paths[:2])


def test_a_search_over_views_trains_a_classifier(paths):
    classifier = CDULClassifier(
        pseudo_labeler=LABELER, image_size=32, epochs=1, n_neighbors=0, random_state=0
    )
    search = GridSearchCV(
        classifier, {"pseudo_labeler__views": ["proposals"]}, cv=2, error_score="raise"
    ).fit(paths[:4], np.eye(3, dtype=int)[[0, 1, 2, 0]])
    assert search.best_estimator_.pseudo_labeler_.views == "proposals"
    assert search.predict(paths[:2]).shape == (2, 3)


# what goes wrong


@pytest.mark.parametrize("module", [None, WITHOUT_CONTRIB], ids=["none", "without contrib"])
def test_a_missing_opencv_is_said_before_an_image_is_read(module, monkeypatch, tmp_path):
    fitted = clone(LABELER).fit()
    monkeypatch.setitem(sys.modules, "cv2", module)
    message = r'pip install\s+"sklearn-cdul\[proposals\]"'
    with pytest.raises(ImportError, match=message):
        clone(LABELER).fit()
    missing = [tmp_path / "no.jpg"]
    with pytest.raises(ImportError, match=message):
        fitted.transform(missing)
    with pytest.raises(ImportError, match=message):
        fitted.set_params(memory=tmp_path / "memory").transform(missing)


def test_without_opencv_everything_else_works(paths, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    grid = clone(LABELER).set_params(views="grid")
    assert np.isfinite(grid.fit_transform(paths[:1])).all()
    # Embeddings that are there need no boxes.
    made = clone(LABELER).set_params(input="embeddings")
    assert np.isfinite(made.fit_transform(grid.embed(paths[:1]))).all()


def test_other_values_of_views_are_refused(paths):
    with pytest.raises(ValueError, match="views"):
        CLIPPseudoLabeler(NAMES, views="boxes").fit()
    encoder = load_encoder("bundled", None, device="cpu", precision="float32")
    with pytest.raises(ValueError, match=r"one of .*\"grid\+dense\".*got 'boxes'"):
        embed_photos(encoder, paths[:1], views="boxes")
