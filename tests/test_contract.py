"""What scikit-learn asks of any estimator, shown with photos of every kind as input.

scikit-learn's own checks know tables of numbers alone; `test_sklearn_checks.py` runs them.
"""

import copy
import pickle
import warnings
from collections import OrderedDict

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler

NAMES = ["pizza", "cake", "coffee"]
# float32, because bfloat16 rounds differently in batches that are composed differently.
LABELER = CLIPPseudoLabeler(NAMES, grid_size=1, precision="float32")
CLASSIFIER = CDULClassifier(
    pseudo_labeler=LABELER, image_size=32, random_state=0, precision="float32"
)
METHODS = {
    CLIPPseudoLabeler: ["transform", "score"],
    CDULClassifier: ["decision_function", "predict_proba", "predict", "predict_names", "score"],
}


def pictures(paths):
    return [Image.open(path).convert("RGB").resize((96, 64)) for path in paths]


INPUTS = {
    "paths": list,
    "PIL images": lambda paths: [Image.open(path) for path in paths],
    "one array": lambda paths: np.stack([np.asarray(picture) for picture in pictures(paths)]),
    "arrays of mixed size": lambda paths: [
        np.array(picture)[index:, : 96 - index] for index, picture in enumerate(pictures(paths))
    ],
    "Series": lambda paths: pd.Series(paths, index=range(30, 30 - len(paths), -1)),
}

both_estimators = pytest.mark.parametrize(
    "estimator", [LABELER, CLASSIFIER], ids=["labeler", "classifier"]
)


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:4]


@pytest.fixture(scope="module")
def embeddings(paths):
    return LABELER.embed(paths)[:, 0]


@pytest.fixture(scope="module", params=INPUTS)
def X(request, paths):
    return INPUTS[request.param](paths)


@pytest.fixture(scope="module", params=[LABELER, CLASSIFIER], ids=["labeler", "classifier"])
def fitted(request, X):
    """An estimator fitted on X; not to be changed."""
    return clone(request.param).fit(X)


@pytest.fixture(scope="module")
def expected(fitted, X):
    return output(fitted, X)


def output(estimator, X):
    return estimator.transform(X) if hasattr(estimator, "transform") else estimator.predict_proba(X)


def input_parameter(estimator):
    return "input" if isinstance(estimator, CLIPPseudoLabeler) else "pseudo_labeler__input"


def on_embeddings(estimator):
    return clone(estimator).set_params(**{input_parameter(estimator): "embeddings"})


def take(X, indices):
    if isinstance(X, list):
        return [X[index] for index in indices]
    return X.iloc[indices] if isinstance(X, pd.Series) else X[indices]


# Fitted estimators, for every kind of input


def test_fitting_again_gives_the_same_result(fitted, X, expected):
    assert_array_equal(output(clone(fitted).fit(X).fit(X), X), expected)


def test_a_row_depends_on_its_own_photo_alone(fitted, X, expected):
    for indices in ([3, 0, 2, 1], [2, 2], [1]):
        assert_allclose(output(fitted, take(X, indices)), expected[indices], atol=1e-5)


def test_a_copy_from_a_file_gives_the_same_output(fitted, X, expected, tmp_path):
    joblib.dump(pickle.loads(pickle.dumps(fitted)), tmp_path / "estimator.joblib")
    assert_array_equal(output(joblib.load(tmp_path / "estimator.joblib"), X), expected)


def test_the_input_is_left_as_it_was(fitted, X):
    before = copy.deepcopy(X)
    pixels = [np.asarray(x).tobytes() for x in X if not isinstance(x, str)]
    output(clone(fitted).fit(X), X)
    assert type(X) is type(before)
    assert [np.asarray(x).tobytes() for x in X if not isinstance(x, str)] == pixels
    if isinstance(X, pd.Series):
        pd.testing.assert_series_equal(X, before)
    elif isinstance(X, np.ndarray):
        assert_array_equal(X, before)
    else:
        assert len(X) == len(before)
        assert all(type(x) is type(y) for x, y in zip(X, before, strict=True))


def test_a_single_photo_is_enough_to_fit(fitted, X):
    one = take(X, [2])
    alone = output(clone(fitted).fit(one), one)
    assert alone.shape == (1, 3)
    assert np.isfinite(alone).all()


# Both estimators


@both_estimators
@pytest.mark.parametrize(
    "X",
    [
        [],
        (),
        np.array([]),
        np.empty((0, 1), dtype=object),
        np.empty((0, 8, 8, 3), dtype=np.uint8),
        pd.Series([], dtype=object),
        pd.DataFrame({"photo": []}),
        pl.Series([], dtype=pl.String),
        pl.DataFrame({"photo": []}),
    ],
    ids=lambda X: f"{type(X).__module__.split('.')[0]} {type(X).__name__} {np.shape(X)}",
)
def test_no_photos_are_refused(estimator, X, paths):
    with pytest.raises(ValueError, match="X is empty"):
        clone(estimator).fit(X)


@both_estimators
def test_no_embeddings_are_refused(estimator, embeddings):
    estimator = on_embeddings(estimator)
    with pytest.raises(ValueError, match="0 sample"):
        clone(estimator).fit(embeddings[:0])
    with pytest.raises(ValueError, match="0 sample"):
        output(estimator.fit(embeddings), embeddings[:0])


@both_estimators
def test_embeddings_are_left_as_they_were_and_may_be_read_only(estimator, embeddings):
    before = embeddings.tobytes()
    estimator = on_embeddings(estimator)
    expected = output(estimator.fit(embeddings), embeddings)
    assert embeddings.tobytes() == before
    frozen = embeddings.copy()
    frozen.flags.writeable = False
    assert_array_equal(output(estimator.fit(frozen), frozen), expected)


@both_estimators
def test_init_does_nothing_and_clone_keeps_every_parameter(estimator):
    settings = {
        name: f"no check of {name} here" for name in type(estimator)().get_params(deep=False)
    }
    unchecked = type(estimator)(**settings)
    assert vars(unchecked) == settings
    assert clone(unchecked).get_params() == settings
    assert vars(clone(estimator)).keys() == estimator.get_params(deep=False).keys()


def test_nested_parameters_reach_the_labeler_and_survive_cloning():
    classifier = clone(CLASSIFIER)
    assert classifier.get_params()["pseudo_labeler__grid_size"] == 1
    assert "pseudo_labeler__grid_size" not in classifier.get_params(deep=False)
    classifier.set_params(pseudo_labeler__global_weight=0.25)
    copied = clone(classifier)
    assert copied.pseudo_labeler is not classifier.pseudo_labeler
    assert copied.pseudo_labeler.global_weight == 0.25
    assert CLASSIFIER.pseudo_labeler.global_weight == 0.5
    with pytest.raises(ValueError, match="local_weight"):
        classifier.set_params(pseudo_labeler__local_weight=1)


def test_fit_changes_no_parameter(embeddings):
    classifier = on_embeddings(CLASSIFIER).set_params(classes=["egg", "tea"])
    before = {name: repr(value) for name, value in classifier.get_params().items()}
    classifier.fit(embeddings)
    assert {name: repr(value) for name, value in classifier.get_params().items()} == before
    assert not hasattr(classifier.pseudo_labeler, "class_names_")


@both_estimators
def test_unfitted_estimators_say_so(estimator, paths):
    estimator = clone(estimator)
    with pytest.raises(NotFittedError):
        check_is_fitted(estimator)
    for method in METHODS[type(estimator)]:
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(estimator, method)(paths)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        LABELER.get_feature_names_out()


@both_estimators
def test_the_number_of_features_is_known_only_of_embeddings(estimator, paths, embeddings):
    estimator = on_embeddings(estimator).fit(embeddings)
    assert estimator.n_features_in_ == 256
    with pytest.raises(ValueError, match="100 features"):
        output(estimator, embeddings[:, :100])
    frame = pd.DataFrame(embeddings).add_prefix("e")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of data without names
        warnings.filterwarnings("ignore", ".*are too few to learn from")
        output(estimator.fit(frame), frame)
    assert estimator.feature_names_in_.tolist() == list(frame.columns)

    estimator.set_params(**{input_parameter(estimator): "images"}).fit(paths[:2])
    assert not hasattr(estimator, "n_features_in_")
    assert not hasattr(estimator, "feature_names_in_")


@both_estimators
def test_the_page_in_a_notebook_tells_fitted_from_not(estimator, embeddings):
    estimator = on_embeddings(estimator)
    assert "<span>Not fitted</span>" in estimator._repr_html_()
    page = estimator.fit(embeddings)._repr_html_()
    assert "<span>Fitted</span>" in page
    assert type(estimator).__name__ in page
    assert "pizza" in page


# Output containers of the transformer


def test_the_columns_are_named_after_the_classes(paths):
    labeler = clone(LABELER).fit()
    assert labeler.get_feature_names_out().tolist() == NAMES
    assert labeler.get_feature_names_out(["ignored"]).dtype == object


def test_the_output_may_be_a_frame_of_pandas_with_the_index_of_the_input(paths):
    expected = clone(LABELER).fit_transform(paths)
    labeler = clone(LABELER).set_output(transform="pandas").fit()
    frame = labeler.transform(pd.DataFrame({"photo": paths}, index=list("wxyz")))
    assert frame.index.tolist() == list("wxyz")
    assert frame.columns.tolist() == NAMES
    assert_array_equal(frame, expected)
    assert (frame.dtypes == np.float32).all()


def test_the_output_may_be_a_frame_of_polars(paths):
    frame = clone(LABELER).set_output(transform="polars").fit_transform(pl.Series(paths))
    assert isinstance(frame, pl.DataFrame)
    assert frame.columns == NAMES
    assert_array_equal(frame.to_numpy(), clone(LABELER).fit_transform(paths))


@pytest.mark.parametrize("container", ["pandas", "polars"])
@both_estimators
def test_scores_and_training_are_the_same_whatever_the_container(estimator, container, embeddings):
    y = np.eye(3, dtype=int)[[0, 1, 2, 0]]
    estimator = on_embeddings(estimator)
    expected = estimator.fit(embeddings).score(embeddings, y)
    with sklearn.config_context(transform_output=container):
        assert estimator.fit(embeddings).score(embeddings, y) == expected
    getattr(estimator, "pseudo_labeler", estimator).set_output(transform=container)
    assert estimator.fit(embeddings).score(embeddings, y) == expected


# Settings of scikit-learn


@both_estimators
@pytest.mark.parametrize(
    "setting",
    [
        {"assume_finite": True},
        {"enable_metadata_routing": True},
        {"skip_parameter_validation": True},
        {"working_memory": 1},
        {"display": "text"},
        {"print_changed_only": False},
    ],
    ids=lambda setting: next(iter(setting)),
)
def test_settings_of_scikit_learn_do_not_change_the_result(estimator, setting, embeddings):
    estimator = on_embeddings(estimator)
    expected = output(estimator.fit(embeddings), embeddings)
    with sklearn.config_context(**setting):
        assert_array_equal(output(clone(estimator).fit(embeddings), embeddings), expected)
        assert type(estimator).__name__ in repr(estimator)


@both_estimators
def test_the_text_form_shows_the_parameters_that_differ(estimator):
    assert "grid_size=1" in repr(estimator)
    assert "temperature" not in repr(estimator)
    with sklearn.config_context(print_changed_only=False):
        assert "temperature=None" in repr(estimator)
    with sklearn.config_context(display="text"):
        assert list(estimator._repr_mimebundle_()) == ["text/plain"]


# The rest of the process


def test_loading_an_encoder_leaves_torchs_random_state_alone(monkeypatch):
    monkeypatch.setattr("sklearn_cdul.encoders.loading._loaded", OrderedDict())
    state = torch.get_rng_state()
    clone(LABELER).fit()
    assert torch.equal(torch.get_rng_state(), state)
