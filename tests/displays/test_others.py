"""The displays of snippets, label movement, score histograms and average precision."""

import ast
import inspect
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import sklearn_cdul.displays
from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.displays import (
    AveragePrecisionDisplay,
    LabelMovementDisplay,
    PhotosDisplay,
    ScoreHistogramDisplay,
    SimilarityDisplay,
)
from sklearn_cdul.labels import aggregate_snippets, combine_labels
from sklearn_cdul.metrics import average_precision_per_class
from sklearn_cdul.predictions import Predictions
from tests.displays.conftest import NAMES, texts


def test_snippets_drawn_are_those_that_make_the_label(labeler, few):
    photo = few[0][0]
    display = SimilarityDisplay.from_estimator(labeler, photo)
    whole, snippets = display.view_labels[:1], display.view_labels[1:]
    joined = combine_labels(whole, aggregate_snippets(snippets[np.newaxis]))
    np.testing.assert_allclose(joined, labeler.transform([photo]), atol=1e-6)


def test_the_brightest_snippet_is_the_best_one():
    labels = [[0.2, 0.1], [0.0, 0.1], [0.6, 0.3], [0.1, 0.2], [0.3, 0.0]]
    photo = np.zeros((10, 20, 3), np.uint8)
    display = SimilarityDisplay.from_predictions(photo, labels, class_names=["cup", "fork"])
    assert display.drawn_names_ == ["cup", "fork"]
    _, cup, fork = display.axes_
    assert brightest(cup).tolist() == [0.5, 0, 1, 0.5]
    assert (fork.images[1].get_array()[..., 3] > 0).all()  # one scale for both
    assert texts(cup) == ["0.00", "0.60", "0.10", "0.30"]
    assert "whole 0.20, best snippet 0.60" in cup.get_title()


def test_a_classifier_shows_what_its_labeler_saw(model, few):
    display = SimilarityDisplay.from_estimator(model, few[0][:1], classes=["cake"])
    with pytest.raises(ValueError, match="one photo; got a list of 12"):
        SimilarityDisplay.from_estimator(model, few[0])
    assert display.drawn_names_ == ["cake"]
    assert display.view_labels.shape == (10, 3)


def brightest(panel):
    """Where a panel is not dark at all: left, upper, right and lower edge as shares."""
    clear = panel.images[1].get_array()[..., 3] == 0
    (rows, columns), sides = np.nonzero(clear), clear.shape
    edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return np.array(edges) / [sides[1], sides[0], sides[1], sides[0]]


@pytest.mark.parametrize("views", ["grid", "dense", "proposals"])
def test_every_kind_of_part_is_drawn_where_clip_looked(views, few):
    if views == "proposals":
        pytest.importorskip("cv2")
    labeler, photo = CLIPPseudoLabeler(NAMES, grid_size=2, views=views).fit(), few[0][0]
    display = SimilarityDisplay.from_estimator(labeler, photo, n_classes=1)
    panel, name = display.axes_[1], display.drawn_names_[0]
    parts = display.view_labels[1:, NAMES.index(name)]
    box = labeler.view_boxes([photo])[0, 1 + parts.argmax()]
    np.testing.assert_allclose(brightest(panel), box, atol=1 / 240)
    assert f"{parts.max():.2f}" in panel.get_title() and f"{parts.max():.2f}" in texts(panel)


def test_snippets_and_windows_have_panels_of_their_own_on_one_scale(few):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=2, views="grid+dense").fit()
    display = SimilarityDisplay.from_estimator(labeler, few[0][0], classes=["cake", "pizza"])
    heads = [axis.get_title().split("\n")[0] for axis in display.axes_]
    assert heads == ["snippets", "cake", "pizza", "windows", "cake", "pizza"]
    assert [len(axis.texts) for axis in display.axes_] == [0, 4, 4, 0, 9, 9]
    darkness = [axis.images[1].get_array()[..., 3].min() for axis in display.axes_ if axis.texts]
    assert sorted(darkness)[0] == 0 < sorted(darkness)[1]
    whole, (snippets, windows) = display.view_labels[:1], np.split(display.view_labels[1:], [4])
    joined = (snippets.max(axis=0) + windows.max(axis=0)) / 2
    np.testing.assert_allclose(
        combine_labels(whole, joined[np.newaxis]), labeler.transform(few[0][:1]), atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"grid_size": 1}, "grid_size=1 looks at no parts"),
        ({"input": "embeddings"}, "input='embeddings'"),
    ],
)
def test_where_there_are_no_parts_of_a_photo_none_are_drawn(options, match, few):
    labeler = CLIPPseudoLabeler(NAMES, **options).fit()
    with pytest.raises(ValueError, match=match):
        SimilarityDisplay.from_estimator(labeler, few[0][0])


@pytest.mark.parametrize(
    ("rows", "options", "match"),
    [
        (6, {}, "a square grid"),
        (5, {"views": "grid+dense"}, "a square grid"),
        (5, {"views": "proposals"}, "needs boxes"),
        (5, {"boxes": np.zeros((4, 4))}, r"shape \(5, 4\)"),
        (5, {"boxes": np.full((5, 4), 7)}, "shares of the photo's width.* got 7.0 in row 0"),
        (5, {"boxes": np.full((5, 4), np.nan)}, "shares of the photo's width.* got nan"),
    ],
)
def test_labels_that_do_not_say_where_they_belong_are_refused(rows, options, match):
    with pytest.raises(ValueError, match=match):
        SimilarityDisplay.from_predictions(
            np.zeros((9, 9, 3), np.uint8), [[0.5]] * rows, class_names=["cup"], **options
        )


@pytest.mark.parametrize("value", [-0.5, 3.0, np.nan])
def test_views_without_soft_labels_are_refused(value):
    labels = [[0.5]] * 4 + [[value]]
    with pytest.raises(ValueError, match=rf"soft labels in \[0, 1\]; got {value} in row 4"):
        SimilarityDisplay.from_predictions(np.zeros((9, 9, 3)), labels, class_names=["cup"])


BEFORE = np.array([[0.9, 0.1], [0.1, 0.8], [0.1, 0.1], [0.8, 0.1]])
AFTER = np.array([[0.9, 0.1], [0.1, 0.1], [0.7, 0.1], [0.1, 0.9]])


def movement(y=None, **options):
    photos = [np.full((6, 9, 3), 50 * row, np.uint8) for row in range(4)]
    return LabelMovementDisplay.from_predictions(
        BEFORE, AFTER, y, class_names=["cup", "fork"], photos=photos, **options
    )


def test_labels_that_cross_their_threshold_are_names_gained_or_lost():
    display = movement()
    assert display.rows_.tolist() == [3, 2, 1]  # 3 gains fork, and is not drawn again as a loss
    assert set(texts(display.axes_[0])) == {"+ fork 0.10 → 0.90", "- cup 0.80 → 0.10"}
    assert texts(display.axes_[2]) == ["- fork 0.80 → 0.10"]


def test_with_labels_the_corrected_come_before_the_spoilt():
    y = [[1, 0], [0, 1], [1, 0], [0, 0]]
    display = movement(y, class_name="fork")
    heads = [axis.get_title(loc="left") for axis in display.figure_.axes]
    assert "Corrected: no photo" in heads  # fork was rightly there in 1, and wrongly comes in 3
    assert sorted(display.rows_.tolist()) == [1, 3]


def test_the_scatter_counts_what_was_gained_and_lost():
    display = movement([[1, 0], [0, 1], [1, 0], [0, 0]], kind="scatter")
    counts = {text.split()[0]: text for text in texts(display.axes_[0])}
    assert counts["gained"] == "gained 2\n50% in the labels"
    assert counts["lost"] == "lost 2\n50% in the labels"
    assert counts["kept"].startswith("kept 1")


def test_movement_of_a_classifier_needs_no_photos_for_the_scatter(model, few):
    display = LabelMovementDisplay.from_estimator(model)
    np.testing.assert_allclose(display.initial_labels, model.initial_pseudo_labels_)
    np.testing.assert_allclose(display.labels, model.pseudo_labels_)
    with pytest.raises(ValueError, match="needs the photos"):
        display.plot(kind="photos")
    with pytest.raises(ValueError, match="got 'bars'"):
        display.plot(kind="bars")
    with pytest.raises(ValueError, match="12 photos, but 4 rows"):
        LabelMovementDisplay.from_predictions(BEFORE, AFTER, class_names=list("ab"), photos=few[0])
    with pytest.raises(ValueError, match=r"one shape; got \(3, 2\) and \(4, 2\)"):
        LabelMovementDisplay.from_predictions(BEFORE[:3], AFTER, class_names=list("ab"))


def test_movement_is_drawn_over_the_photos_of_the_training_alone(model, few):
    paths = few[0]
    assert LabelMovementDisplay.from_estimator(model, list(map(Path, paths))).photos is not None
    for others in (paths[:3], paths[::-1], [*paths[:-1], paths[0]]):
        with pytest.raises(ValueError, match="the photos that the classifier was fitted on"):
            LabelMovementDisplay.from_estimator(make_pipeline(FunctionTransformer(), model), others)
    X = np.random.default_rng(0).normal(size=(12, 256)).astype(np.float32)
    of_vectors = CDULClassifier(pseudo_labeler=CLIPPseudoLabeler(NAMES, input="embeddings")).fit(X)
    LabelMovementDisplay.from_estimator(of_vectors, paths)  # these can't be told from others


def test_labels_of_a_labeler_do_not_move(labeler):
    with pytest.raises(TypeError, match="CLIPPseudoLabeler"):
        LabelMovementDisplay.from_estimator(labeler)


def test_histograms_hold_each_photo_once_and_show_the_threshold():
    scores = np.array([[0.1, 0.9], [0.2, 0.8], [np.nan, np.nan], [0.7, 0.1]])
    y = [[0, 1], [0, 1], [0, 0], [1, 0]]
    display = ScoreHistogramDisplay.from_predictions(
        scores, y, class_names=["cup", "fork"], thresholds=[0.5, 0.6]
    )
    for axis, threshold in zip(display.axes_, (0.5, 0.6), strict=True):
        assert sum(bar.get_height() for bar in axis.patches) == 3
        assert axis.lines[0].get_xdata()[0] == threshold
    assert display.axes_[1].get_title(loc="right") == "2 of 3"


def test_labels_that_nobody_knows_count_nowhere():
    scores, y = [[0.9], [0.8], [0.1]], [[1], [np.nan], [0]]
    histogram = ScoreHistogramDisplay.from_predictions(scores, y, class_names=["cup"])
    assert len(histogram.figure_.legends[0].get_texts()) == 4
    assert sum(bar.get_height() for bar in histogram.axes_[0].patches) == 3
    precision = AveragePrecisionDisplay.from_predictions(y, scores, class_names=["cup"])
    assert precision.prevalence.tolist() == [0.5]
    moved = movement([[1, 0], [0, 1], [np.nan, 0], [np.nan, np.nan]], kind="scatter")
    counts = {text.split()[0]: text for text in texts(moved.axes_[0])}
    assert counts["gained"] == "gained 2"
    assert counts["lost"] == "lost 2\n100% in the labels"
    assert moved.plot(kind="photos").rows_.tolist() == [1]


def test_of_many_classes_those_that_most_photos_get_are_drawn():
    scores = np.tile(np.linspace(0, 1, 25), (3, 1))
    names = [f"class {i}" for i in range(25)]
    display = ScoreHistogramDisplay.from_predictions(scores, class_names=names, thresholds=0.5)
    assert len(display.drawn_names_) == 20
    assert set(names[13:]) <= set(display.drawn_names_)
    assert display.plot(classes=["class 0"]).drawn_names_ == ["class 0"]
    assert display.plot(classes="class 0").drawn_names_ == ["class 0"]
    with pytest.raises(ValueError, match="no class 'cup'"):
        display.plot(classes=["cup"])
    with pytest.raises(ValueError, match="empty"):
        display.plot(classes=[])


def test_a_histogram_asks_a_classifier(model, few):
    display = ScoreHistogramDisplay.from_estimator(model, few[0], few[1])
    assert display.drawn_names_ == NAMES
    np.testing.assert_array_equal(display.thresholds, model.thresholds_)


def test_precisions_are_those_of_the_metric(model, few):
    paths, y = few
    display = AveragePrecisionDisplay.from_estimator(model, paths, y)
    expected = average_precision_per_class(y, model.decision_function(paths))
    np.testing.assert_allclose(display.average_precision, expected)
    label = display.ax_.get_legend_handles_labels()[1][1]
    assert label == f"CDULClassifier, mean {expected.mean():.3f}"


def test_a_second_model_keeps_the_rows_of_the_first():
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    names = ["$cup$", "fork"]
    good, bad = y + 0.0, 1.0 - y
    first = AveragePrecisionDisplay.from_predictions(
        y, np.c_[good[:, 0], bad[:, 1]], class_names=names, name="first"
    )
    rows = [label.get_text() for label in first.ax_.get_yticklabels()]
    second = AveragePrecisionDisplay.from_predictions(
        y, np.c_[bad[:, 0], good[:, 1]], class_names=names, name="second", ax=first.ax_
    )
    assert second.ax_ is first.ax_
    assert [label.get_text() for label in first.ax_.get_yticklabels()] == rows
    assert rows == ["fork (2)", "$cup$ (2)"]  # the best on top
    _, of_first, of_second = (dots.get_offsets() for dots in first.ax_.collections)
    assert of_first[1].tolist() == [1, 1]  # cup, by the first: precision 1 in row 1
    assert of_second[of_second[:, 1] == 0, 0] == [1]  # fork, by the second, in the row of fork
    legend = [text.get_text() for text in first.ax_.get_legend().get_texts()]
    assert legend[0] == "random order" and len(legend) == 3
    first.figure_.canvas.draw()


def test_labels_by_path_find_their_scores_or_are_refused():
    scores = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.7]]
    by_path = {"c.jpg": ["a", "b"], "b.jpg": ["b"], "a.jpg": ["a"]}
    with pytest.raises(ValueError, match="y_true says by path of which image a row is"):
        AveragePrecisionDisplay.from_predictions(by_path, scores, class_names=["a", "b"])
    with pytest.raises(ValueError, match="y says by path of which image a row is"):
        ScoreHistogramDisplay.from_predictions(scores, by_path, class_names=["a", "b"])
    frame = pd.DataFrame(scores, index=["a.jpg", "b.jpg", "c.jpg"])
    display = AveragePrecisionDisplay.from_predictions(by_path, frame, class_names=["a", "b"])
    assert display.average_precision.tolist() == [1, 1]
    histogram = ScoreHistogramDisplay.from_predictions(frame, by_path, class_names=["a", "b"])
    assert histogram.targets.tolist() == [[1, 0], [0, 1], [1, 1]]


def test_labels_by_path_are_matched_to_the_photos_whose_labels_moved():
    photos = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"]
    y = {"d.jpg": ["fork"], "c.jpg": [], "b.jpg": [], "a.jpg": ["cup"]}
    display = LabelMovementDisplay.from_predictions(
        BEFORE, AFTER, y, class_names=["cup", "fork"], photos=photos, kind="scatter"
    )
    assert display.targets.tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]


def test_photos_without_scores_and_rare_classes_are_left_out():
    y = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]]
    scores = [[0.9, 0.1, 0.2], [0.8, 0.7, 0.1], [0.1, 0.2, 0.3], [np.nan] * 3]
    display = AveragePrecisionDisplay.from_predictions(
        y, scores, class_names=["a", "b", "c"], min_positives=2
    )
    assert display.positives.tolist() == [2, 1, 0]
    assert np.isnan(display.average_precision[2])
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["a (2)"]
    with pytest.raises(ValueError, match="3 or more photos"):
        display.plot(min_positives=3)


@pytest.mark.parametrize("name", sklearn_cdul.displays.__all__)
def test_help_is_complete(name):
    display = getattr(sklearn_cdul.displays, name)
    for documented in (display, display.from_estimator, display.from_predictions, display.plot):
        text = inspect.getdoc(documented)
        assert not re.search(r"^ *\{[\w, ]+\}$|\$class", text, flags=re.MULTILINE)
        for name in inspect.signature(documented).parameters.keys() - {"self"}:
            assert re.search(rf"^(\w+, |\*\*)?{name}(,| :|$)", text, flags=re.MULTILINE), name
        if documented is not display:  # what plot takes may be given at once
            own = inspect.signature(display.plot).parameters.keys() - {"self"}
            assert all(re.search(rf"^(?! ).*\b{name}\b", text, re.MULTILINE) for name in own)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"sklearn-cdul\[plot\]"):
        PhotosDisplay.from_predictions(["a.jpg"], [[0.5]], class_names=["cup"])


def test_matplotlib_is_imported_only_to_draw():
    for path in Path(sklearn_cdul.displays.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "matplotlib" not in ast.unparse(node)


def test_nothing_is_left_behind_by_a_picture_that_is_refused():
    with pytest.raises(ValueError, match="kind"):
        movement(kind="bars")
    assert not plt.get_fignums()


def test_numbers_below_one_are_refused(labeler, few):
    photo, two = np.zeros((10, 20, 3), np.uint8), [[0.2, 0.1]] * 5
    for wrong in ({"n_classes": -1}, {"n_columns": 0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 1"):
            SimilarityDisplay.from_predictions(photo, two, class_names=["cup", "fork"], **wrong)
    with pytest.raises(ValueError, match="n_columns must be at least 1; got 0"):
        ScoreHistogramDisplay.from_predictions(two, class_names=["cup", "fork"], n_columns=0)


def test_scores_of_a_data_frame_are_matched_by_its_names():
    names, photos = ["cake", "cup"], ["a.jpg", "b.jpg"]
    frame = pd.DataFrame({"cup": [0.1, 0.6], "cake": [0.9, 0.4]}, index=photos)
    y = {"b.jpg": ["cup"], "a.jpg": ["cake"]}
    for scores in (frame, frame.iloc[::-1]):
        found = Predictions.of(scores, y, 0.5, names)
        np.testing.assert_array_equal(found.scores >= found.thresholds, found.targets == 1)
        display = AveragePrecisionDisplay.from_predictions(y, scores, class_names=names)
        assert display.average_precision.tolist() == [1, 1]
    np.testing.assert_array_equal(
        Predictions.of(frame, y, 0.5, names, photos).targets, [[1, 0], [0, 1]]
    )
    message = "index of scores has another order than the photos"
    with pytest.raises(ValueError, match=message):
        Predictions.of(frame.iloc[::-1], y, 0.5, names, photos)
    with pytest.raises(ValueError, match=message):
        LabelMovementDisplay.from_predictions(frame, frame.iloc[::-1], class_names=names)
    thresholds = pd.Series([0.2, 0.7], index=names[::-1])
    np.testing.assert_array_equal(
        Predictions.of(frame, y, thresholds, names).thresholds, [0.7, 0.2]
    )
