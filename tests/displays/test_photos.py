"""PhotosDisplay: which photos are drawn, and what is written beneath them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.displays import PhotosDisplay
from sklearn_cdul.displays.drawing import AMBER, GREEN, RED
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.labels import find_thresholds
from tests.displays.conftest import NAMES, texts

GREY_PHOTOS = [Image.new("RGB", (30, 20), (value,) * 3) for value in (0, 80, 160, 240)]


def draw(scores, y=None, *, class_names=("cake", "cup"), **options):
    photos = GREY_PHOTOS[: len(scores)]
    options = {"thresholds": 0.5, "order": "given", **options}
    return PhotosDisplay.from_predictions(photos, scores, y, class_names=class_names, **options)


def test_names_are_marked_as_found_wrong_or_missed():
    display = draw([[0.9, 0.6], [0.2, 0.1]], [[1, 0], [0, 1]])
    first, second = display.axes_
    assert texts(first) == ["✓ cake 0.90", "✗ cup 0.60"]
    assert [text.get_color() for text in first.texts] == [GREEN, RED]
    assert texts(second) == ["○ cup 0.10"]
    assert second.texts[0].get_color() == AMBER
    explained = [text.get_text() for text in display.figure_.legends[0].get_texts()]
    assert [text[0] for text in explained[:3]] == ["✓", "✗", "○"]


def test_without_labels_the_names_found_are_written_and_nothing_is_judged():
    display = draw([[0.9, 0.6], [0.2, 0.1]])
    assert [texts(axis) for axis in display.axes_] == [
        ["cake 0.90", "cup 0.60"],
        ["no class found"],
    ]
    assert not display.figure_.legends


def test_where_nobody_knows_a_label_nothing_is_judged():
    display = draw([[0.9, 0.6], [0.2, 0.9]], [[np.nan, 0], [np.nan, np.nan]], order=["wrong"])
    assert display.rows_.tolist() == [0]  # the second can't be wrong
    assert texts(display.axes_[0]) == ["cake 0.90", "✗ cup 0.60"]


def test_labels_are_matched_to_photos_by_path(model, few):
    paths, y = few
    frame = pd.DataFrame(y, columns=NAMES, index=paths)[::-1]
    display = PhotosDisplay.from_estimator(model, paths, frame[["cake", "pizza"]])
    np.testing.assert_array_equal(display.targets[:, [0, 2]], y[:, [0, 2]])
    assert np.isnan(display.targets[:, 1]).all()


def test_labels_given_by_path_are_matched_whatever_their_order(model, few):
    paths, y = few
    names = [[NAMES[column] for column in np.flatnonzero(row)] for row in y]
    by_path = dict(reversed(list(zip(map(str, paths), names, strict=True))))
    asked = PhotosDisplay.from_estimator(model, paths, by_path)
    given = PhotosDisplay.from_predictions(paths, asked.scores, by_path, class_names=NAMES)
    np.testing.assert_array_equal(asked.targets, y)
    np.testing.assert_array_equal(given.targets, y)


def test_one_class_is_captioned_and_ranked_alone():
    display = draw([[0.9, 0.3], [0.9, 0.8], [0.9, 0.45]], class_name="cup", order="surest")
    assert display.rows_.tolist() == [1, 2, 0]
    assert texts(display.axes_[0]) == ["cup 0.80"]
    assert texts(display.axes_[1]) == ["cup 0.45, not found"]
    assert "found in 1 of 3 photos" in display.figure_.get_suptitle()


def test_each_order_begins_a_row_and_no_photo_is_drawn_twice():
    scores = [[0.9], [0.55], [0.45], [0.05]]
    display = draw(
        scores, class_names=["cup"], class_name="cup", order=["surest", "doubtful"], n_photos=2
    )
    assert display.rows_.tolist() == [0, 1, 2, 3]
    heads = [axis.get_title(loc="left") for axis in display.axes_]
    assert heads == ["Surest (highest score)", "", "Most doubtful (closest to the threshold)", ""]


def test_where_nothing_is_wrong_the_picture_says_so():
    display = draw([[0.9, 0.1]], [[1, 0]], order=["surest", "wrong"])
    assert display.rows_.tolist() == [0]
    heads = [axis.get_title(loc="left") for axis in display.figure_.axes]
    assert "Most wrong (largest log loss): no photo" in heads


def test_photos_without_scores_are_left_out():
    assert draw([[0.9, 0.1], [np.nan, np.nan], [0.2, 0.1]]).rows_.tolist() == [0, 2]


def test_photos_are_drawn_whole_and_only_as_large_as_needed():
    photo = Image.new("RGB", (2000, 500))
    display = PhotosDisplay.from_predictions(
        [photo], [[0.9]], class_names=["cup"], thresholds=0.5, order="given"
    )
    (drawn,) = display.axes_[0].images
    assert drawn.get_array().shape == (120, 480, 3)
    assert photo.size == (2000, 500)


def test_a_dollar_in_a_name_starts_no_formula():
    display = draw([[0.9]], class_names=["$5 and \\$10$ bill"], class_name="$5 and \\$10$ bill")
    display.figure_.canvas.draw()
    assert texts(display.axes_[0]) == ["$5 and \\$10$ bill 0.90"]


def test_long_captions_are_shortened():
    names = [f"a class whose name is far too long to be written, number {i}" for i in range(9)]
    lines = texts(draw([[0.9] * 9], class_names=names).axes_[0])
    assert lines[0].endswith("…")
    assert lines[-1] == "and 4 more"


def test_a_classifier_is_asked_for_its_probabilities_and_thresholds(model, few):
    paths, y = few
    display = PhotosDisplay.from_estimator(model, paths, y)
    np.testing.assert_allclose(display.scores, model.predict_proba(paths), atol=1e-6)
    np.testing.assert_array_equal(display.thresholds, model.thresholds_)
    assert display.class_names == NAMES
    assert display.plot(n_photos=2, order="given").rows_.tolist() == [0, 1]


def test_a_labeler_has_the_thresholds_found_in_its_labels(labeler, few):
    paths = few[0][:4]
    display = PhotosDisplay.from_estimator(labeler, paths, order="given")
    np.testing.assert_allclose(display.scores, labeler.transform(paths), atol=1e-6)
    np.testing.assert_allclose(display.thresholds, find_thresholds(display.scores))


def test_pipelines_and_searches_are_asked_for_their_last_step(model, few):
    paths, y = few
    pipeline = Pipeline([("classifier", model)])
    assert PhotosDisplay.from_estimator(pipeline, paths[:2]).class_names == NAMES
    search = GridSearchCV(model, {"n_neighbors": [5]})
    search.best_estimator_ = model
    assert PhotosDisplay.from_estimator(search, paths[:2], y[:2]).targets.tolist() == y[:2].tolist()


def test_photos_of_embeddings_are_given_beside_them(labeler, few):
    paths, _ = few
    embeddings = labeler.embed(paths)
    model = CDULClassifier(
        pseudo_labeler=CLIPPseudoLabeler(NAMES, input="embeddings"), random_state=0
    ).fit(embeddings)
    by_path = {str(path): "cake" for path in paths[::-1][:5]}
    display = PhotosDisplay.from_estimator(model, embeddings, by_path, photos=paths, order="given")
    assert len(display.axes_) == 4
    assert np.flatnonzero(display.targets[:, NAMES.index("cake")] == 1).tolist() == [
        7,
        8,
        9,
        10,
        11,
    ]


def test_one_axes_is_divided_and_too_few_are_refused():
    figure, ax = plt.subplots()
    display = draw([[0.9, 0.1]] * 4, ax=ax)
    assert display.figure_ is figure
    assert len(display.axes_) == 4
    with pytest.raises(ValueError, match="2 Axes, but 4 panels"):
        display.plot(order="given", ax=plt.subplots(1, 2)[1])
    with pytest.raises(ValueError, match="it is no subplot"):
        display.plot(order="given", ax=figure.add_axes((0, 0, 1, 1)))


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"class_name": "tree"}, "no class 'tree'. The classes are cake, cup"),
        ({"order": "best"}, "'best'"),
        ({"n_columns": 0}, "n_columns must be at least 1"),
        ({"n_photos": 0}, "n_photos must be at least 1"),
        ({"class_names": ["cake"]}, "one column for each of the 1 class_names"),
        ({"thresholds": [0.5]}, "one for each of the 2 classes"),
        ({"y": [[1, 0], [1, 0]]}, "shape"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, match):
    with pytest.raises(ValueError, match=match):
        draw([[0.9, 0.1]], **wrong)


def test_logits_and_other_numbers_of_photos_are_refused():
    with pytest.raises(ValueError, match="not logits"):
        draw([[3.0, -1.0]])
    with pytest.raises(ValueError, match="2 photos, but 1 rows of scores"):
        PhotosDisplay.from_predictions(GREY_PHOTOS[:2], [[0.5]], class_names=["cup"])


def test_what_plot_does_not_take_is_refused_before_the_model_is_asked(model, monkeypatch):
    monkeypatch.setattr(type(model), "predict_proba", lambda *_: pytest.fail("asked"))
    with pytest.raises(TypeError, match="'clas_name'"):
        PhotosDisplay.from_estimator(model, GREY_PHOTOS, clas_name="cake")


def test_a_photo_that_is_gone_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"gone\.jpg"):
        PhotosDisplay.from_predictions([tmp_path / "gone.jpg"], [[0.5]], class_names=["cup"])


def test_estimators_without_classes_are_refused():
    from sklearn.dummy import DummyClassifier

    with pytest.raises(TypeError, match="DummyClassifier"):
        PhotosDisplay.from_estimator(DummyClassifier().fit([[0]], [0]), GREY_PHOTOS)
