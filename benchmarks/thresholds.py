"""F1 of decision thresholds found without labels, next to thresholds found with labels.

"labels there" has the labels of the very photos on which thresholds are found, as a person who
labels some photos would. "oracle" has the labels of the photos that are scored, which nobody has:
on a hundred photos it fits their chances too.

Runs on the bundled photos: the initial labels of a CDULClassifier, and its network on training
and test photos. Thresholds come from the scores of the training photos. Those of `predict` come
from the middle between these and what a fit that had not seen the photo gives; its F1 is printed
last.

With --voc-npz also on stored CLIP similarities, the file that benchmarks/aggregation.py describes;
there also with thresholds found on a few photos and applied to all others.
"""

from pathlib import Path

import common
import numpy as np
from scipy.special import entr, xlogy

from sklearn_cdul import CDULClassifier
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.labels import (
    apply_thresholds,
    combine_labels,
    find_thresholds,
    softmax_similarities,
)


def fixed(scores):
    return 0.5


def smallest_cost(scores, group_cost):
    """Cut the sorted scores where the costs of both sides sum to the least; return the middle."""
    x = np.sort(scores).astype(np.float64)
    size = np.arange(1, len(x))
    below, above = np.cumsum(x)[:-1], np.cumsum(x[::-1])[-2::-1]
    cost = group_cost(below, size) + group_cost(above, size[::-1])
    cost[x[1:] == x[:-1]] = np.inf
    cut = np.argmin(cost)
    return (x[cut] + x[cut + 1]) / 2


def otsu(scores):
    return smallest_cost(scores, lambda total, size: -(total**2) / size)


def li(scores):
    return smallest_cost(scores, lambda total, size: -xlogy(total, total / size))


def bernoulli_middle(scores):
    """The cut of `find_thresholds`, but the middle of the gap as threshold."""
    return smallest_cost(
        scores, lambda total, size: size * (entr(total / size) + entr(1 - total / size))
    )


def expected_f1(scores):
    """Best F1 if each score were the true probability of its label."""
    x = np.sort(scores)[::-1].astype(np.float64)
    f1 = 2 * np.cumsum(x) / (np.arange(1, len(x) + 1) + x.sum())
    best = np.argmax(f1)
    return x[best : best + 2].mean()


def per_class(find):
    return lambda scores: np.array([find(column) for column in scores.T])


METHODS = {
    "fixed 0.5": per_class(fixed),
    "Otsu": per_class(otsu),
    "Li": per_class(li),
    "exp. F1": per_class(expected_f1),
    "Bern. middle": per_class(bernoulli_middle),
    "unshrunk": lambda scores: find_thresholds(scores, shrinkage=0),
    "package": find_thresholds,
}


AVERAGES = ("macro", "micro")


def best_with_labels(scores, labels):
    """Threshold of each class with the highest F1, which only labels can tell."""
    thresholds = []
    for x, y in zip(scores.T, labels.T, strict=True):
        order = np.argsort(-x)
        x, hits = x[order], np.cumsum(y[order])
        f1 = 2 * hits / (np.arange(1, len(x) + 1) + hits[-1])
        f1[:-1][x[:-1] == x[1:]] = 0  # equal scores fall on the same side
        thresholds.append(x[np.argmax(f1)])
    return np.array(thresholds)


def figures(found_on, found_labels, scores, labels):
    """Macro- and micro-F1 on `scores`, shape (2, methods), of thresholds from `found_on`."""
    thresholds = [find(found_on) for find in METHODS.values()]
    thresholds.append(best_with_labels(found_on, found_labels))
    thresholds.append(best_with_labels(scores, labels))
    predicted = [apply_thresholds(scores, t) for t in thresholds]
    return [[common.f1_of_shown(labels, p, average) for p in predicted] for average in AVERAGES]


def show(table, name, results):
    """Two rows, of one or more results of `figures`."""
    for average, columns in zip(AVERAGES, np.transpose(results, (1, 2, 0)).tolist(), strict=True):
        table.row(f"{name:<28} {average}", *columns)


def run_voc(table, path):
    stored = np.load(path)
    labels = stored["y"].astype(int)
    cosines = common.stored_cosines(stored, "global_", "alpha")
    tables = {}
    for tau in (0.01, 0.02, 0.03, 0.05):
        whole, aggregated = (softmax_similarities(c, tau) for c in cosines)
        tables[f"VOC final, tau {tau}"] = combine_labels(whole, aggregated)
        tables[f"VOC global, tau {tau}"] = whole
    for name in sorted(tables):
        show(table, name, [figures(tables[name], labels, tables[name], labels)])

    scores = tables["VOC final, tau 0.02"]
    for size in (25, 50, 100, 200, 1000):
        rows = []
        for seed in range(10):
            order = np.random.default_rng(seed).permutation(len(labels))
            few, others = order[:size], order[size:]
            rows.append(figures(scores[few], labels[few], scores[others], labels[others]))
        show(table, f"VOC final, tau 0.02, from {size}", rows)


def run_photos(table, seeds):
    train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
    rows = {"photos, CLIP's labels": [], "photos, network, train": [], "photos, network, test": []}
    own = {average: [] for average in AVERAGES}
    for seed in range(seeds):
        classifier = CDULClassifier(train.target_names, random_state=seed).fit(train.data)
        initial = classifier.initial_pseudo_labels_
        on_train, on_test = (classifier.predict_proba(part.data) for part in (train, test))
        for name, result in zip(
            rows,
            (
                figures(initial, train.target, initial, train.target),
                figures(on_train, train.target, on_train, train.target),
                figures(on_train, train.target, on_test, test.target),
            ),
            strict=True,
        ):
            rows[name].append(result)
        for average, values in own.items():
            predicted = classifier.predict(test.data)
            values.append(common.f1_of_shown(test.target, predicted, average))
    for name, results in rows.items():
        show(table, name, results)
    table = common.Table("F1 of predict", {"photos, test": ".3f"}, width=36)
    for average, values in own.items():
        table.row(average, values)


def main():
    parser = common.parser(__doc__, "seeds", seeds=1)
    parser.add_argument("--voc-npz", type=Path, metavar="FILE", help="stored CLIP similarities")
    parser.add_argument("--no-photos", action="store_true", help="train no network")
    options = common.parse(parser)
    table = common.Table("", dict.fromkeys([*METHODS, "labels there", "oracle"], ".3f"), width=36)
    if options.voc_npz:
        run_voc(table, options.voc_npz)
    if not options.no_photos:
        run_photos(table, options.seeds)


if __name__ == "__main__":
    main()
