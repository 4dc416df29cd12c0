"""Labels of every form become one array, matched to the classes by name."""

import io
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import coo_array
from sklearn.base import clone
from sklearn.metrics import average_precision_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.metrics import mean_average_precision_scorer
from sklearn_cdul.targets import read_targets

NAMES = ["dog", "cat", "bird"]
TARGETS = np.array([[0, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]])
FRAME = pd.DataFrame(TARGETS, columns=NAMES)
LISTS = [["cat"], ["dog", "cat"], [], ["bird"]]


@pytest.mark.parametrize(
    "y",
    [
        FRAME,
        FRAME[["bird", "dog", "cat"]],
        FRAME.astype(bool)[NAMES[::-1]],
        FRAME.astype("Int64")[NAMES[::-1]],
        pd.DataFrame(TARGETS),
        pl.DataFrame(TARGETS, schema=NAMES)[["cat", "bird", "dog"]],
        LISTS,
        [set(names) for names in LISTS],
        [tuple(names) for names in LISTS],
        pd.Series(LISTS, index=list("wxyz")),
        np.array([*map(np.array, LISTS)], dtype=object),
        pl.Series(LISTS),
        ["cat", "dog; cat", "", "bird"],
        pd.Series(["cat", "dog;cat", "", "bird"]),
        pl.DataFrame(TARGETS, schema=NAMES).lazy().select("bird", "cat", "dog"),
        TARGETS,
    ],
    ids=lambda y: type(y).__name__,
)
def test_labels_come_out_in_the_order_of_the_classes(y):
    assert_array_equal(read_targets(y, NAMES), TARGETS)


@pytest.mark.parametrize(
    "convert",
    [
        coo_array,
        np.ndarray.tolist,
        lambda targets: targets.astype(bool),
        lambda targets: targets.astype(np.float16),
        torch.tensor,
        lambda targets: torch.tensor(targets, dtype=torch.bfloat16, requires_grad=True),
        lambda targets: list(torch.tensor(targets)),
    ],
)
def test_so_they_do_from_arrays_of_all_kinds(convert):
    found = read_targets(convert(TARGETS), NAMES, X=range(4))
    assert_array_equal(found, TARGETS)
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "convert", [np.array, list, pd.Series, pl.Series, torch.tensor, lambda y: list(torch.tensor(y))]
)
def test_a_vector_holds_the_column_of_each_image_or_the_labels_of_a_single_class(convert):
    found = read_targets(convert([1, 0, 2]), NAMES)
    assert_array_equal(found, np.eye(3)[[1, 0, 2]])
    assert found.dtype == np.float32
    assert_array_equal(read_targets(convert([1, 0, 0]), ["dog"]), [[1], [0], [0]])
    for one in (1.0, np.nan):
        found = read_targets(convert([one, 0.0]), ["dog"])
        assert_array_equal(found, [[one], [0]])
    assert_array_equal(read_targets(convert([np.nan, 0.0]), NAMES), [[np.nan] * 3, [1, 0, 0]])
    with pytest.raises(ValueError, match=r"as a column from 0 to 2; got 3 in row 1\."):
        read_targets(convert([1, 3, 0]), NAMES)
    with pytest.raises(ValueError, match=r"True is none. Give an array of shape \(n, 3\)"):
        read_targets(convert([True, False]), NAMES)
    assert_array_equal(read_targets(convert([True, False]), ["dog"]), [[1], [0]])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, r"give y, an array of shape \(n, k\)"),
        (io.BytesIO(b"a file"), "y must hold 1, 0 or NaN .*got <_io.BytesIO"),
        ((row for row in LISTS), "y must hold 1, 0 or NaN .*got <generator"),
        ([[1, 0], [1]], r"y must hold 1, 0 or NaN .*got \[\[1, 0\], \[1\]\]"),
        (1, r"y must have shape \(4, 3\)"),
        (TARGETS[:3], r"y must have shape \(4, 3\).*got \(3, 3\)"),
        (TARGETS[:, :2], r"y must have shape \(4, 3\).*got \(4, 2\)"),
        (TARGETS[..., np.newaxis], r"y must have shape \(4, 3\).*got \(4, 3, 1\)"),
    ],
)
def test_what_is_no_array_of_labels_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        read_targets(y, NAMES, X=range(4))


@pytest.mark.parametrize("X", ["a.jpg", Path("a.jpg"), b"\xff\xd8", (path for path in "ab")])
def test_images_that_are_none_are_named_before_their_labels(X):
    with pytest.raises(TypeError, match="X must be a list of images"):
        read_targets(TARGETS, NAMES, X)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_photo_that_nobody_looked_at_has_no_labels(missing):
    assert_array_equal(read_targets([["cat"], missing], NAMES), [[0, 1, 0], [np.nan] * 3])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"labels": LISTS}),
        pd.DataFrame({"label": ["cat", "dog;cat", "", " bird "], "split": "train"}),
        pl.DataFrame({"labels": LISTS}),
    ],
)
def test_names_may_be_in_a_column(frame):
    assert_array_equal(read_targets(frame, NAMES), TARGETS)


def test_a_class_without_a_column_is_not_known():
    frame = FRAME[["bird", "dog"]].astype(object)
    frame.iloc[0, 0] = None
    expected = TARGETS.astype(float)
    expected[:, 1] = expected[0, 2] = np.nan
    for one in (frame, pl.DataFrame(frame.to_dict("list"))):
        assert_array_equal(read_targets(one, NAMES), expected)


def test_what_is_neither_one_nor_zero_is_refused_with_its_place():
    with pytest.raises(ValueError, match=r"got 'no' in row 0, column 'dog'"):
        read_targets(FRAME.replace({0: "no", 1: "yes"}), NAMES)
    with pytest.raises(ValueError, match=r"must hold 1, 0, or NaN.*got 0.5 in row 0.*\(cat\)"):
        read_targets(FRAME / 2, NAMES)
    both = FRAME.assign(labels=LISTS)
    with pytest.raises(ValueError, match=r"column 'labels', with names, and columns of its own"):
        read_targets(both, NAMES)


@pytest.mark.parametrize("y", [["cat", "dog"], np.array(["cat", "dog"]), pd.Series(["cat", "dog"])])
def test_one_name_a_photo_is_one_class_a_photo(y):
    assert_array_equal(read_targets(y, NAMES), [[0, 1, 0], [1, 0, 0]])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["dog", "cat", "fish"], r"Unknown: 'fish'\."),
        (["dog", "Cat ", "birds", "fish"], r"did you mean 'cat' for 'Cat ', 'bird' for 'birds'\?"),
        (["dog", "cat", "bird", "cat"], "more than once: 'cat'"),
        ([1, 2, 3], "Unknown: 1, 2, 3"),
        (["path"], "must be names of classes"),
    ],
)
@pytest.mark.parametrize("name", ["y", "observed"])
def test_wrong_columns_are_listed(name, columns, message):
    frame = pd.DataFrame(np.zeros((4, len(columns))), columns=columns)
    with pytest.raises(ValueError, match=f"{name} .*{message}"):
        read_targets(frame, NAMES, name=name)


def test_a_message_stays_short_whatever_was_passed():
    frame = pd.DataFrame(np.zeros((2, 5000)), columns=[f"column {i}" for i in range(5000)])
    with pytest.raises(ValueError, match="and 4990 more") as caught:
        read_targets(frame, NAMES)
    assert len(str(caught.value)) < 500


def test_unknown_names_are_listed():
    with pytest.raises(ValueError, match=r"'cats', 'fish' \(did you mean 'cat'.*The classes"):
        read_targets([["cats"], [], ["dog", "fish"]], NAMES)


# the same, through the estimators


@pytest.fixture(scope="module")
def vectors():
    names = ["pizza", "cake", "coffee"]
    labeler = CLIPPseudoLabeler(names, input="embeddings")
    X = np.random.default_rng(0).normal(size=(40, 256)).astype(np.float32)
    y = pd.DataFrame(np.random.default_rng(1).integers(0, 2, (40, 3)), columns=names)
    return CDULClassifier(pseudo_labeler=labeler, random_state=0), X, y


def test_the_order_of_columns_does_not_change_a_score(vectors):
    classifier, X, y = vectors
    other = y[y.columns[::-1]]
    lists = [list(y.columns[row.astype(bool)]) for row in y.to_numpy()]
    classifier.fit(X, X_val=X, y_val=other)
    expected = classifier.score(X, y.to_numpy())
    assert expected != pytest.approx(classifier.score(X, other.to_numpy()))
    for labels in (y, other, lists):
        assert classifier.score(X, labels) == expected
        assert mean_average_precision_scorer(classifier, X, labels) == expected
    assert classifier.history_[-1]["validation_map"] == pytest.approx(expected)
    labeler = classifier.pseudo_labeler_
    assert labeler.score(X, other) == labeler.score(X, lists) == labeler.score(X, y.to_numpy())


def test_the_order_of_columns_does_not_change_a_search(vectors):
    classifier, X, y = vectors
    pipeline = make_pipeline(FunctionTransformer(), classifier)
    grid = {"cdulclassifier__n_neighbors": [1, 2]}
    results = []
    for labels in (y, y[y.columns[::-1]]):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # on scikit-learn's own scorers
            for scoring in (None, mean_average_precision_scorer):
                search = GridSearchCV(pipeline, grid, cv=2, scoring=scoring).fit(X, labels)
                results.append(search.cv_results_["mean_test_score"])
            nested = cross_val_score(search, X, labels, cv=2, scoring=mean_average_precision_scorer)
        results.append(nested)
    for one, other in zip(results[:3], results[3:], strict=True):
        assert_array_equal(one, other)


def test_columns_in_another_order_warn_of_scorers_that_count_them(vectors):
    classifier, X, y = vectors
    with pytest.warns(UserWarning, match="scorers of scikit-learn take them by position"):
        classifier.fit(X, y[y.columns[::-1]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier.fit(X, y)


@pytest.mark.parametrize("unknown", [np.nan, -1.0, -1])
def test_labels_that_nobody_gave_belong_into_observed(unknown, vectors):
    classifier, X, y = vectors
    partial = y.to_numpy().astype(type(unknown))
    partial[::2] = unknown
    with pytest.warns(UserWarning, match="go into observed="):
        classifier.fit(X, partial)
    if np.isnan(unknown):
        return
    with pytest.raises(ValueError, match=r"NaN where a label is not known; got -1.0 in row 0, "):
        classifier.fit(X, observed=partial)


def test_fit_takes_a_y_that_it_does_not_use_whatever_is_in_it(vectors, recwarn):
    classifier, X, y = vectors
    expected = classifier.fit(X).pseudo_labels_
    for unused in (y.replace({0: "no", 1: "yes"}), [["cake"]] * len(X)):
        assert_array_equal(classifier.fit(X, unused).pseudo_labels_, expected)
    assert not [str(each.message) for each in recwarn]


def test_scores_leave_out_what_nobody_knows(vectors):
    classifier, X, y = vectors
    classifier.fit(X)
    table = y.astype(float)
    table.iloc[::2, 0] = table.iloc[5:, 1] = np.nan
    logits = classifier.decision_function(X)
    expected = [
        average_precision_score(table[name][known], logits[known, column])
        for column, name in enumerate(y)
        for known in [table[name].notna().to_numpy()]
    ]
    assert classifier.score(X, table) == pytest.approx(np.mean(expected))
    assert classifier.score(X, table[["coffee"]]) == pytest.approx(expected[2])
    for labels in (table.to_numpy(), torch.tensor(table.to_numpy())):
        assert classifier.score(X, labels) == pytest.approx(np.mean(expected))
    assert mean_average_precision_scorer(classifier, X, table) == classifier.score(X, table)


def test_the_rows_of_photos_with_an_index_are_matched_by_it(vectors):
    classifier, X, y = vectors
    table = pd.DataFrame(X, index=[f"photos/{row}.jpg" for row in range(len(X))])
    few = y.set_axis(table.index).iloc[[7, 3, 5]]
    model = clone(classifier).fit(table, observed=few)
    assert_array_equal(model.initial_pseudo_labels_[[7, 3, 5]], few)
    by_array = np.full(y.shape, np.nan)
    by_array[[7, 3, 5]] = few
    by_position = classifier.fit(X, observed=by_array)
    assert_allclose(model.pseudo_labels_, by_position.pseudo_labels_, rtol=1e-4)
    assert model.score(table, few) == model.score(X[[7, 3, 5]], few.to_numpy())


def test_tables_of_pyarrow_are_read():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"path": list("ba"), "dog": [1, None], "cat": [False, True]})
    expected = [[1, np.nan], [0, 1]]
    assert_array_equal(read_targets(table, ["cat", "dog"], X=["a", "b"]), expected)


def test_what_is_masked_is_not_known():
    y = np.ma.masked_array([[1, 0], [1, 1]], mask=[[0, 1], [0, 0]])
    np.testing.assert_array_equal(read_targets(y, ["cat", "dog"]), [[1, np.nan], [1, 1]])
    names = np.ma.masked_array(["cat", "dog"], mask=[0, 1])
    np.testing.assert_array_equal(read_targets(names, ["cat", "dog"]), [[1, 0], [np.nan, np.nan]])
