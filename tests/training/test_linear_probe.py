"""The output layer fitted in closed form."""

import sys
import tracemalloc

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV

from sklearn_cdul.training.linear_probe import linear_probe
from sklearn_cdul.training.regions import mix_views


def draw(n, *, noise=0.0, seed=0):
    """Features, and the soft labels of three classes that depend on them."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, 40)) + 3
    logits = (features[:, :3] - 3) * 1.5 - 2
    return features, expit(logits + noise * random.normal(size=logits.shape)), logits


def test_the_logits_are_those_of_the_labels():
    features, labels, _ = draw(500)
    weight, bias, _ = linear_probe(features, labels)
    assert weight.shape == (3, 40)
    assert bias.shape == (3,)
    predicted = expit(features @ weight.T + bias)
    np.testing.assert_allclose(predicted.mean(axis=0), labels.mean(axis=0), atol=0.02)
    assert np.abs(predicted - labels).mean() < 0.05


def test_new_photos_get_calibrated_probabilities():
    features, labels, _ = draw(1000, noise=2)
    weight, bias, _ = linear_probe(features, labels)
    new, _, true_logits = draw(2000, seed=1)
    predicted = expit(new @ weight.T + bias)
    truth = expit(true_logits)
    assert np.abs(predicted.mean(axis=0) - truth.mean(axis=0)).max() < 0.1
    for column in range(3):
        assert np.corrcoef(predicted[:, column], truth[:, column])[0, 1] > 0.9


def test_more_features_than_photos_is_the_usual_case():
    random = np.random.default_rng(0)
    causes = random.normal(size=(80, 5))
    mixing = random.normal(size=(5, 300))
    features = causes @ mixing + 0.3 * random.normal(size=(80, 300))
    labels = expit(2 * causes[:, :1])
    weight, bias, _ = linear_probe(features[:60], labels[:60])
    new = expit(features[60:] @ weight.T + bias)
    assert np.corrcoef(new[:, 0], labels[60:, 0])[0, 1] > 0.9


def test_noise_is_not_learnt_by_heart():
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(30, 300)), random.uniform(size=(30, 2))
    weight, bias, _ = linear_probe(features, labels)
    assert expit(features @ weight.T + bias).std(axis=0).max() < 0.1


def test_hard_labels_rank_as_a_logistic_regression_does():
    features, _, logits = draw(600)
    labels = (np.random.default_rng(2).uniform(size=logits.shape) < expit(logits)).astype(float)
    weight, bias, _ = linear_probe(features, labels)
    new, _, _ = draw(500, seed=1)
    for column in range(3):
        reference = LogisticRegression(C=0.1).fit(features, labels[:, column])
        ours = new @ weight[column] + bias[column]
        assert np.corrcoef(ours, reference.decision_function(new))[0, 1] > 0.95


def test_features_that_tell_nothing_give_the_mean_label():
    random = np.random.default_rng(0)
    labels = random.uniform(0.1, 0.3, size=(100, 2))
    weight, bias, _ = linear_probe(np.full((100, 5), 7.0), labels)
    assert not weight.any()
    np.testing.assert_allclose(expit(bias), labels.mean(axis=0))
    weight, bias, _ = linear_probe(random.normal(size=(100, 5)), labels)
    predicted = expit(random.normal(size=(100, 5)) @ weight.T + bias)
    np.testing.assert_allclose(predicted, labels.mean(axis=0) * np.ones((100, 1)), atol=0.03)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_few_photos_give_finite_weights(n):
    features, labels, _ = draw(n)
    weight, bias, _ = linear_probe(features, labels)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_label_that_all_photos_have_or_none_stays_finite(value):
    features, labels, _ = draw(50)
    labels[:, 1] = value
    weight, bias, _ = linear_probe(features, labels)
    assert np.isfinite(bias).all()
    predicted = expit(features @ weight.T + bias)
    np.testing.assert_allclose(predicted[:, 1], value, atol=0.01)


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="inconsistent"):
        linear_probe(np.zeros((3, 2)), np.zeros((4, 1)))
    with pytest.raises(ValueError, match="labels"):
        linear_probe(np.zeros((3, 2)), np.full((3, 1), np.nan))


@pytest.mark.parametrize(("n", "d"), [(150, 20), (40, 90)])
def test_it_is_what_ridge_and_logistic_regression_of_scikit_learn_give(n, d):
    random = np.random.default_rng(0)
    x = random.normal(size=(n, d)) + 3
    y = expit(x @ random.normal(size=(d, 4)) / np.sqrt(d) + random.normal(size=(n, 4)) - 2)
    weight, bias, _ = linear_probe(x, y)
    penalties = n * x.var(axis=0).mean() * np.logspace(-2, 2, 9)
    ridge = RidgeCV(penalties, scoring="neg_mean_squared_error", store_cv_results=True).fit(x, y)
    leave_one_out = ridge.cv_results_[:, :, penalties == ridge.alpha_][..., 0]
    for column in range(4):
        guesses, labels = leave_one_out[:, column], y[:, column].clip(1e-4, 1 - 1e-4)
        twice = np.tile((guesses - guesses.mean()) / guesses.std(), 2)[:, np.newaxis]
        calibration = LogisticRegression(tol=1e-8).fit(
            twice,
            np.repeat([1, 0], n),
            sample_weight=np.concatenate([labels, 1 - labels]),
        )
        fitted = (ridge.predict(x)[:, column] - guesses.mean()) / guesses.std()
        expected = calibration.decision_function(fitted[:, np.newaxis])
        np.testing.assert_allclose(x @ weight[column] + bias[column], expected, atol=1e-4)


def test_with_regions_leave_one_out_logits_are_what_regressions_without_the_row_give():
    random = np.random.default_rng(0)
    views = random.normal(size=(30, 5, 6)) + 2  # the whole and four regions
    y = expit(views[:, 0, :2] + views[:, 1:, :2].max(axis=1) - 5)
    weight, bias, leave_one_out = linear_probe(views, y)
    penalties = 30 * views[:, 0].var(axis=0).mean() * np.logspace(-2, 2, 9)
    alpha = RidgeCV(penalties, scoring="neg_mean_squared_error").fit(views[:, 0], y).alpha_
    guesses = []
    for row in range(30):
        others = np.arange(30) != row
        ridge = Ridge(alpha).fit(views[others, 0], y[others])
        guesses.append(mix_views(ridge.predict(views[row])[np.newaxis])[0])
    # Calibrated, they are what the layer gives of the same guesses: a line, of positive slope.
    ridge = Ridge(alpha).fit(views[:, 0], y)
    for column in range(2):
        fitted = mix_views(views @ ridge.coef_.T + ridge.intercept_)[:, column]
        ours = mix_views(views @ weight.T + bias)[:, column]
        slope, offset = np.polyfit(fitted, ours, 1)
        assert slope > 0
        np.testing.assert_allclose(slope * fitted + offset, ours, atol=1e-6)
        guessed = slope * np.array(guesses)[:, column] + offset
        np.testing.assert_allclose(leave_one_out[:, column], guessed, atol=1e-5)


def test_leave_one_out_logits_are_as_sure_as_those_of_new_photos_and_seen_ones_too_sure():
    random = np.random.default_rng(0)

    def draw_hard(n):
        x = random.normal(size=(n, 100))
        return x, (x[:, :5].sum(axis=1, keepdims=True) > 0).astype(float)

    x, y = draw_hard(150)
    weight, bias, leave_one_out = linear_probe(x, y)
    new, truth = draw_hard(2000)
    error = np.abs(expit(new @ weight.T + bias) - truth).mean()
    assert np.abs(expit(leave_one_out) - y).mean() == pytest.approx(error, abs=0.05)
    assert np.abs(expit(x @ weight.T + bias) - y).mean() < error - 0.05


def test_classes_in_blocks_give_the_same(monkeypatch):
    features, labels, _ = draw(80)
    expected = linear_probe(features, labels)
    module = sys.modules["sklearn_cdul.training.linear_probe"]  # its function hides it
    monkeypatch.setattr(module, "_BLOCK_VALUES", 2 * 80)
    for array, other in zip(linear_probe(features, labels), expected, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-9, atol=1e-12)
    monkeypatch.setattr(module, "_MOST_JUDGES", 1)  # the first class chooses the penalty for all
    first, *_ = linear_probe(features, labels[:, :1])
    np.testing.assert_allclose(linear_probe(features, labels)[0][:1], first, rtol=1e-9)


def test_memory_does_not_grow_with_classes_times_penalties():
    x = np.random.default_rng(0).normal(size=(2000, 8))
    y = np.random.default_rng(1).random((2000, 3000), dtype=np.float32)
    tracemalloc.start()
    linear_probe(x, y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 300e6  # the labels of all classes at all penalties would be 430 MB of float64
