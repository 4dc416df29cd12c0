"""Thresholds without labels: where they fall, and that no odd column breaks them."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.special import expit, logit, rel_entr
from sklearn.metrics import f1_score

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.labels.thresholds import (
    apply_thresholds,
    check_thresholds,
    find_thresholds,
    fit_thresholds,
    place_thresholds,
)


def mixture(n, share, negative, positive, seed=0, scale=1.0):
    """Scores and labels; logits are normal with (mean, standard deviation) in each group."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(n) < share).astype(int)
    logits = np.where(labels == 1, rng.normal(*positive, n), rng.normal(*negative, n))
    return scale * expit(logits), labels


def best_f1(scores, labels):
    """The highest F1 of any threshold, which needs the labels."""
    true_positives = np.cumsum(labels[np.argsort(-scores)])
    return (2 * true_positives / (np.arange(1, len(scores) + 1) + labels.sum())).max()


def found_f1(scores, labels):
    column = scores[:, None]
    return f1_score(labels, apply_thresholds(column, find_thresholds(column))[:, 0])


MIXTURES = {
    "balanced": dict(share=0.5, negative=(-2, 1), positive=(2, 1)),
    "one in five": dict(share=0.2, negative=(-4, 1.5), positive=(1, 1.5)),
    "one in fifty": dict(share=0.02, negative=(-5, 1), positive=(1, 1)),
    "nine in ten": dict(share=0.9, negative=(-1, 1), positive=(3, 1)),
    "faint, as from a softmax": dict(share=0.2, negative=(-4, 1), positive=(1, 1), scale=0.2),
    "very faint": dict(share=0.2, negative=(-4, 1), positive=(1, 1), scale=1e-6),
    "very sharp": dict(share=0.1, negative=(-20, 3), positive=(7, 2)),
    "all near one": dict(share=0.5, negative=(3, 0.5), positive=(8, 0.5)),
}


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("n", [200, 5000])
def test_the_threshold_of_a_mixture_is_nearly_as_good_as_the_best_one(name, n):
    scores, labels = mixture(n, **MIXTURES[name])
    assert found_f1(scores, labels) >= 0.95 * best_f1(scores, labels)


def test_the_threshold_of_a_symmetric_mixture_is_one_half():
    scores, _ = mixture(20_000, share=0.5, negative=(-2, 1), positive=(2, 1))
    assert find_thresholds(scores[:, None])[0] == pytest.approx(0.5, abs=0.02)


def test_faint_scores_that_never_reach_one_half_still_give_positives():
    scores, labels = mixture(1000, **MIXTURES["faint, as from a softmax"])
    assert scores.max() < 0.5
    assert found_f1(scores, labels) > 0.9


@pytest.mark.parametrize("seed", range(5))
def test_the_cut_minimises_the_divergence_to_the_means_of_both_sides(seed):
    scores = np.sort(np.random.default_rng(seed).beta(0.4, 1.5, size=40))

    def divergence(side):
        mean = side.mean()
        return (rel_entr(side, mean) + rel_entr(1 - side, 1 - mean)).sum()

    costs = [divergence(scores[:i]) + divergence(scores[i:]) for i in range(1, 40)]
    cut = 1 + int(np.argmin(costs))
    threshold = find_thresholds(scores[:, None])[0]
    assert scores[cut - 1] < threshold <= scores[cut]

    # At the threshold, the means of both sides are equally far away.
    means = np.array([scores[:cut].mean(), scores[cut:].mean()])
    distance = rel_entr(threshold, means) + rel_entr(1 - threshold, 1 - means)
    assert distance[0] == pytest.approx(distance[1])


def test_present_and_absent_are_treated_alike():
    scores, _ = mixture(500, share=0.3, negative=(-3, 1), positive=(1, 1))
    both = np.column_stack([scores, 1 - scores])
    threshold, mirrored = find_thresholds(both, shrinkage=0)
    assert mirrored == pytest.approx(1 - threshold)


def test_without_shrinkage_each_class_has_its_own_threshold():
    columns = [mixture(300, **kind)[0] for kind in MIXTURES.values()]
    together = find_thresholds(np.column_stack(columns), shrinkage=0)
    alone = [find_thresholds(column[:, None])[0] for column in columns]
    np.testing.assert_array_equal(together, alone)


def test_few_photos_are_drawn_to_the_threshold_of_all_classes():
    columns = np.column_stack([mixture(60, 0.3, (-4, 1), (2, 1), seed=s)[0] for s in range(4)])
    common = find_thresholds(columns.reshape(-1, 1))
    own = find_thresholds(columns, shrinkage=0)
    drawn = find_thresholds(columns, shrinkage=60)
    np.testing.assert_allclose(logit(drawn), (logit(own) + logit(common)) / 2)
    np.testing.assert_allclose(find_thresholds(columns, shrinkage=1e12), common.repeat(4))
    with pytest.raises(ValueError, match="shrinkage"):
        find_thresholds(columns, shrinkage=-1)


def test_shrinkage_makes_thresholds_of_few_photos_decide_better():
    kind = {"share": 0.1, "negative": (-4, 1), "positive": (1, 1)}
    classes = [mixture(2000, **kind, seed=seed) for seed in range(20)]
    scores, labels = (np.column_stack(part) for part in zip(*classes, strict=True))

    def quality(thresholds):
        return f1_score(labels, apply_thresholds(scores, thresholds), average="macro")

    few = scores[:25]
    assert quality(find_thresholds(few)) > quality(find_thresholds(few, shrinkage=0)) + 0.01


def test_a_constant_class_among_others_has_the_common_threshold():
    scores, _ = mixture(300, **MIXTURES["one in five"])
    table = np.column_stack([scores, np.full(300, 0.2), np.full(300, np.nan)])
    common = find_thresholds(table.reshape(-1, 1))[0]
    np.testing.assert_allclose(find_thresholds(table)[1:], common)


def test_the_order_of_photos_does_not_matter():
    scores, _ = mixture(300, **MIXTURES["one in five"])
    shuffled = np.random.default_rng(1).permutation(scores)
    assert find_thresholds(shuffled[:, None]) == find_thresholds(scores[:, None])


COLUMNS = {
    "zeros and ones": [0, 0, 1, 1, 1],
    "two values, one zero": [0, 0, 0.3],
    "two values, one one": [0.7, 1, 1],
    "neighbouring numbers": [0.3, np.nextafter(0.3, 1)],
    "neighbours of zero": [0, 5e-324],
    "neighbours of one": [np.nextafter(1, 0), 1],
    "almost all zero": [0] * 99 + [1e-12],
    "almost all one": [1] * 99 + [1 - 1e-12],
    "tiny": [1e-30, 2e-30, 9e-30, 1e-29],
    "sharp": [1e-9] * 50 + [0.999] * 2,
    "sharp and saturated": [1e-9] * 50 + [1.0] * 2,
    "ties": [0.1] * 5 + [0.2] * 5 + [0.6] * 5,
    "one outlier": [0.5] * 1000 + [0.500001],
    "single precision": np.array([0.3, np.nextafter(0.3, 1, dtype=np.float32)], np.float32),
    "saturated in single precision": np.array([1 - 6e-8] + [1] * 5, np.float32),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_two_different_scores_always_give_positives_and_negatives(name):
    scores = np.array(COLUMNS[name])[:, None]
    threshold = find_thresholds(scores)
    assert 0 < threshold[0] <= 1
    assert set(apply_thresholds(scores, threshold)[:, 0]) == {0, 1}


@pytest.mark.parametrize("value", [0.0, 1e-9, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("n", [1, 30])
def test_a_constant_class_has_the_threshold_one_half(value, n):
    assert find_thresholds(np.full((n, 1), value)) == 0.5


def test_rows_of_nan_are_left_out():
    scores, _ = mixture(200, **MIXTURES["one in five"])
    scores = np.column_stack([scores, scores[::-1]])
    with_nan = np.insert(scores, [0, 100, 200], np.nan, axis=0)
    np.testing.assert_array_equal(find_thresholds(with_nan), find_thresholds(scores))
    np.testing.assert_array_equal(find_thresholds(np.full((3, 2), np.nan)), [0.5, 0.5])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_low_precision_changes_the_threshold_little(dtype):
    scores, _ = mixture(2000, **MIXTURES["one in five"])
    expected = find_thresholds(scores[:, None])
    low = find_thresholds(scores[:, None].astype(dtype))
    assert low.dtype == np.float64
    np.testing.assert_allclose(low, expected, rtol=10 * np.finfo(dtype).eps)


def test_the_scores_are_not_changed():
    scores = mixture(50, **MIXTURES["one in five"])[0][:, None]
    before = scores.copy()
    find_thresholds(scores)
    np.testing.assert_array_equal(scores, before)


def test_rounding_beyond_the_range_is_forgiven_and_logits_are_not():
    scores = np.array([[-1e-7], [0.5], [1 + 1e-7]])
    assert 0 < find_thresholds(scores)[0] < 1
    with pytest.raises(ValueError, match=r"scores\[1, 0\] is -2.5.*not logits"):
        find_thresholds([[0.1], [-2.5]])
    with pytest.raises(ValueError, match=r"\[0, 1\] is inf"):
        find_thresholds([[0.1, np.inf]])


def test_scores_need_two_dimensions():
    with pytest.raises(ValueError, match=r"\(n, k\), got \(3,\)"):
        find_thresholds([0.1, 0.2, 0.3])


def test_scores_at_the_threshold_are_positive_and_nan_is_negative():
    labels = apply_thresholds([[0.5, 0.49], [0.2, np.nan]], [0.5, 0.5])
    assert labels.dtype == np.int64
    assert labels.tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("threshold", [0.3, 0, 1, np.float32(0.5), np.array(0.2)])
def test_one_number_holds_for_all_classes(threshold):
    checked = check_thresholds(threshold, 3)
    assert checked.dtype == np.float64
    np.testing.assert_array_equal(checked, [float(threshold)] * 3)


def test_an_array_has_one_threshold_a_class_and_is_copied():
    given = np.array([0.1, 0.2, 0.3])
    checked = check_thresholds(given, 3)
    np.testing.assert_array_equal(checked, given)
    checked[0] = 0.9
    assert given[0] == 0.1
    np.testing.assert_array_equal(check_thresholds([0.4], 1), [0.4])


@pytest.mark.parametrize("threshold", [[0.1, 0.2], [[0.1, 0.2, 0.3]], []])
def test_a_wrong_number_of_thresholds_is_refused(threshold):
    with pytest.raises(ValueError, match="one for each of the 3 classes, got shape"):
        check_thresholds(threshold, 3)


@pytest.mark.parametrize("bad", [-0.1, 1.5, np.nan, np.inf])
def test_a_threshold_outside_zero_and_one_is_refused(bad):
    for threshold in (bad, [0.5, bad]):
        with pytest.raises(ValueError, match=rf"must lie in \[0, 1\], got {bad}"):
            check_thresholds(threshold, 2)


@pytest.mark.parametrize(
    "bad", ["low", "0.5", None, True, [0.1, "low"], {"cat": 0.1}, [[0.1], [0.1, 0.2]]]
)
def test_a_threshold_that_is_no_number_is_refused(bad):
    with pytest.raises(TypeError, match="must be a number or an array of numbers"):
        check_thresholds(bad, 2)


def test_on_real_photos_the_thresholds_find_far_more_than_one_half_does(memory):
    photos = load_food_photos(subset="test")
    labeler = CLIPPseudoLabeler(photos.target_names, grid_size=1, memory=memory)
    scores = labeler.fit_transform(photos.data)
    found = apply_thresholds(scores, find_thresholds(scores))
    fixed = apply_thresholds(scores, check_thresholds(0.5, 20))
    assert found.any(axis=0).all() and not found.all(axis=0).any()
    macro_f1 = partial(f1_score, photos.target, average="macro", zero_division=0)
    assert macro_f1(found) > macro_f1(fixed) + 0.1


@pytest.mark.parametrize("k", [1, 6, 7])
def test_the_common_threshold_of_very_many_scores_is_that_of_a_part_of_them(k, monkeypatch):
    scores = np.random.default_rng(0).beta(0.5, 3, size=(5000, k)) * np.linspace(0.5, 1, k)
    common, own = (find_thresholds(scores, shrinkage=s) for s in (1e9, 0))
    monkeypatch.setattr("sklearn_cdul.labels.thresholds._MOST_VALUES", 3000)
    np.testing.assert_allclose(find_thresholds(scores, shrinkage=1e9), common, rtol=0.1)
    np.testing.assert_array_equal(find_thresholds(scores, shrinkage=0), own)


# with labels


@pytest.mark.parametrize("start", [0.8, 0.4, 0.05, 1.0, 0.0])
def test_without_shrinkage_the_best_f1_is_taken_wherever_the_start_is(start):
    found = fit_thresholds([[0.1], [0.2], [0.6], [0.7]], [[0], [0], [1], [1]], [start], shrinkage=0)
    assert 0.2 < found[0] < 0.6


@pytest.mark.parametrize("name", MIXTURES)
def test_with_many_labels_the_f1_is_the_best(name):
    scores, labels = mixture(500, seed=2, **MIXTURES[name])
    thresholds = fit_thresholds(scores[:, None], labels[:, None], [0.5], shrinkage=0)
    found = f1_score(labels, apply_thresholds(scores[:, None], thresholds)[:, 0])
    assert found == pytest.approx(best_f1(scores, labels), abs=0.01)


def test_few_labels_are_drawn_to_the_start():
    scores, labels = mixture(400, seed=1, share=0.3, negative=(-4, 1), positive=(2, 1))
    best = fit_thresholds(scores[:, None], labels[:, None], [0.02], shrinkage=0)[0]
    few = [
        fit_thresholds(scores[:n, None], labels[:n, None], [0.02], shrinkage=5)[0]
        for n in (4, 20, 400)
    ]
    distance = np.abs(logit(few) - logit(best))
    assert distance[0] > distance[1] > distance[2]
    start = fit_thresholds(scores[:, None], np.full((400, 1), np.nan), [0.02])
    assert_array_equal(start, [0.02])


def test_a_no_of_a_low_score_says_nothing_of_the_start():
    for n in (1, 99):
        found = fit_thresholds(np.full((n, 1), 0.001), np.zeros((n, 1)), [0.5])
        np.testing.assert_allclose(found, 0.5)


@pytest.mark.parametrize("seed", range(20))
def test_a_class_with_negatives_alone_has_a_threshold_above_them(seed):
    rng = np.random.default_rng(seed)
    scores, labels = rng.beta(0.4, 2, size=(60, 4)), np.full((60, 4), np.nan)
    for j in range(4):
        labels[np.argsort(-scores[:, j])[: rng.integers(1, 20)], j] = 0
    thresholds = fit_thresholds(scores, labels, np.quantile(scores, 0.8, axis=0))
    assert not (scores >= thresholds)[labels == 0].any()


def test_a_threshold_is_raised_above_negatives_that_lie_close_over_it():
    logits = np.array([-3, -0.5, -0.4, 1, 2])[:, None]
    labels = np.array([0, 0, 0, 1, 1])
    start = np.array([-0.6])
    at = place_thresholds(logits, labels[:, None], start, start, shrinkage=1e9)[0]
    assert -0.4 < at < 1
    far = place_thresholds(
        logits + [[0], [0], [1.2], [1.2], [1.2]], labels[:, None], start, start, 1e9
    )[0]
    assert -0.5 < far < 0.8  # the second negative is too far above


def test_a_no_raises_a_threshold_and_teaches_classes_without_answers():
    rng = np.random.default_rng(0)
    scores = rng.beta(0.4, 2, size=(200, 3))
    start, labels = np.quantile(scores, 0.7, axis=0), np.full((200, 3), np.nan)
    for j in (0, 1):
        labels[np.argsort(-scores[:, j])[20:60], j] = 0
    found = fit_thresholds(scores, labels, start)
    assert (found > start).all()
    named = scores >= found
    assert not named[labels == 0].any()
    # Photos like those of the negatives are not named, either: only the few with higher scores.
    assert (named[:, :2].sum(axis=0) <= 20).all()


def test_a_class_with_negatives_alone_is_found_in_no_more_photos_whatever_others_teach():
    scores = np.random.default_rng(0).beta(0.4, 2, size=(200, 2))
    start = np.quantile(scores, 0.9, axis=0)
    labels = np.full((200, 2), np.nan)
    labels[np.argsort(scores[:, 0])[-100:], 0] = 1  # probabilities of all classes are too low
    labels[np.argsort(scores[:, 1])[:10], 1] = 0  # far below the threshold
    found = fit_thresholds(scores, labels, start)
    assert found[0] < start[0]
    assert found[1] >= start[1] * (1 - 1e-9)


def test_a_class_that_seemed_absent_is_found_when_labels_say_so():
    scores, labels = mixture(100, seed=4, **MIXTURES["balanced"])
    found = fit_thresholds(scores[:, None], labels[:, None], [1.0])
    assert f1_score(labels, scores >= found[0]) > 0.9
    both = np.column_stack([scores, scores])
    known = np.column_stack([labels, np.full(100, np.nan)])
    assert not (both >= fit_thresholds(both, known, [0.5, 1.0]))[:, 1].any()


@pytest.mark.parametrize("start", [[0.1], [0.2]])
def test_random_answers_give_nearly_the_best_f1_and_doubtful_ones_do_no_harm(start):
    scores, labels = mixture(4000, seed=5, share=0.2, negative=(-3, 1), positive=(0, 1))
    start = np.array(start)
    doubtful = np.argsort(np.abs(logit(scores) - logit(start)))[:200]
    thresholds = []
    for rows in (doubtful, np.arange(200)):
        known = np.full((4000, 1), np.nan)
        known[rows, 0] = labels[rows]
        thresholds.append(fit_thresholds(scores[:, None], known, start)[0])
    before, doubtful, random = (f1_score(labels, scores >= t) for t in (start[0], *thresholds))
    assert random > 0.97 * best_f1(scores, labels)
    assert doubtful > before - 0.01


def test_what_is_not_known_is_left_out_of_the_fit():
    scores, labels = mixture(60, seed=3, **MIXTURES["balanced"])
    table, truth = scores[:, None].copy(), labels[:, None].astype(float)
    table[::3], truth[1::3] = np.nan, np.nan
    expected = fit_thresholds(scores[2::3, None], labels[2::3, None], [0.5])
    assert fit_thresholds(table, truth, [0.5]) == expected


@pytest.mark.parametrize(
    ("labels", "start", "shrinkage"),
    [([[1]], [0.5], 5), ([[1], [0]], [0.5, 0.5], 5), ([[1], [0]], [0.5], -1)],
)
def test_what_does_not_fit_the_scores_is_refused(labels, start, shrinkage):
    with pytest.raises(ValueError, match=r"one shape \(n, k\), start k values.*got \(2, 1\)"):
        fit_thresholds([[0.1], [0.2]], labels, start, shrinkage=shrinkage)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_f1_is_the_best_that_any_threshold_has_whatever_the_type_and_the_ties(dtype):
    rng = np.random.default_rng(0)
    for number in range(300):
        scores = rng.random((rng.integers(2, 12), 1)).round(1 + number % 3).astype(dtype)
        labels = rng.integers(0, 2, scores.shape)
        labels[0] = 1
        found = fit_thresholds(scores, labels, rng.random(1), shrinkage=0)
        given = np.hstack([apply_thresholds(scores, found), scores >= scores.ravel()])
        f1 = 2 * (given & labels).sum(axis=0) / (given.sum(axis=0) + labels.sum())
        assert f1[0] == pytest.approx(f1.max())


@pytest.mark.parametrize(
    ("scores", "labels", "start", "message"),
    [
        ([[-6.0], [0.9]], [[0], [1]], [0.5], "not logits"),
        ([[0.1], [0.9]], [[0], [2]], [0.5], "labels must hold only 0 and 1"),
        ([[0.1], [0.9]], [[-1], [1]], [0.5], "labels must hold only 0 and 1"),
        ([[0.1], [0.9]], [[0], [1]], [7.0], r"threshold must lie in \[0, 1\], got 7"),
        ([[0.1], [0.9]], [[0], [1]], [np.nan], r"threshold must lie in \[0, 1\], got nan"),
    ],
)
def test_values_that_can_be_none_are_refused(scores, labels, start, message):
    with pytest.raises(ValueError, match=message):
        fit_thresholds(scores, labels, start)


def test_labels_by_path_are_not_taken_by_position():
    pd = pytest.importorskip("pandas")
    scores = np.array([[0.2], [0.8], [0.7]])
    labels = pd.DataFrame({"cup": [1, 1, 0]}, index=["b.jpg", "c.jpg", "a.jpg"])
    with pytest.raises(ValueError, match="names as their index, and scores not the same"):
        fit_thresholds(scores, labels, [0.5])
    framed = pd.DataFrame(scores, columns=["cup"], index=labels.index)
    expected = fit_thresholds(scores, labels.to_numpy(), [0.5])
    np.testing.assert_array_equal(fit_thresholds(framed, labels, [0.5]), expected)
    with pytest.raises(ValueError, match="names as their index"):
        fit_thresholds(framed.sort_index(), labels, [0.5])
    with pytest.raises(ValueError, match="names as their columns"):
        fit_thresholds(framed.set_axis(["egg"], axis=1), labels, [0.5])
    numbered = labels.reset_index(drop=True)
    np.testing.assert_array_equal(fit_thresholds(scores, numbered, [0.5]), expected)
