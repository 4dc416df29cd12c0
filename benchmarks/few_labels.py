"""What 10, 25, 50 or 100 labelled photos add, chosen at random or by `suggest_photos`.

All classes of a chosen photo are labelled, as somebody who looks at it would. The labels are passed
to a new fit as ``observed=``, or to ``fit_thresholds`` of the fit without labels; figures are of
the test photos. Besides, two simple ways to choose: the photos with the highest mean doubt
("uncertain"), and those nearest to the centres of as many clusters of k-means ("diverse").

The classifier is the default one. What its output layer receives of each photo is read once and
kept in --features, so that a fit takes a second. Without --data it runs on the bundled photos.
"""

from pathlib import Path

import common
import numpy as np
from answers import Bench, bundled_parts, parts_of
from scipy.special import entr, expit, logit
from sklearn.cluster import KMeans

from sklearn_cdul.labels import apply_thresholds
from sklearn_cdul.labels.calibration import calibrate
from sklearn_cdul.review.suggestions import rank_by_worth

COUNTS = (10, 25, 50, 100)


def figures(bench, state, min_positives):
    """Test mAP and F1, of the classes with enough positives."""
    _, logits, found, thresholds = state
    predicted = apply_thresholds(expit(calibrate(logits, found)), thresholds)
    enough = bench.y_test.sum(axis=0) >= min_positives
    f1 = common.f1_of_shown(bench.y_test[:, enough], predicted[:, enough])
    return common.percent_map(bench.y_test, logits, min_positives), 100 * f1


def with_labels(bench, rows, min_positives):
    """Test mAP and F1 of a fit with these photos labelled, and F1 if thresholds alone move."""
    labels = np.full(bench.y.shape, np.nan)
    labels[rows] = bench.y[rows]
    _, moved = figures(bench, bench.answer(*bench.base, labels), min_positives)
    return *figures(bench, bench.fit(labels), min_positives), moved


def at_random(bench, n, seed):
    return np.random.default_rng(seed).permutation(len(bench.labels))[:n]


def margins_of(bench):
    logits, _, found, thresholds = bench.base
    return calibrate(logits, found) - logit(np.minimum(thresholds, 1 - 1e-9))


def uncertain(bench, n, seed):
    margins = margins_of(bench)
    expected = expit(2 * margins / margins.std(axis=0))
    return np.argsort(-(entr(expected) + entr(1 - expected)).mean(axis=1))[:n]


def diverse(bench, n, seed):
    distances = KMeans(n, n_init=1, random_state=seed).fit_transform(bench.whole)
    return np.unique(distances.argmin(axis=0))


def suggested(bench, n, seed):
    return rank_by_worth(margins_of(bench), n)


WAYS = {
    "at random": at_random,
    "uncertain": uncertain,
    "diverse": diverse,
    "suggest_photos": suggested,
}
DRAWN = ("at random", "diverse")


def main():
    names = ("dataset", "photo-set", "max-photos", "min-positives", "memory", "seeds", "features")
    parser = common.parser(__doc__, *names)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of --dataset")
    options = common.parse(parser)
    names, parts = parts_of(options) if options.data else bundled_parts(options)
    bench = Bench([parts], names, options)
    columns = dict.fromkeys(("mAP", "F1", "F1, thresholds alone"), ".1f")
    table = common.Table("labelled photos", columns, width=22)
    precision, f1 = figures(bench, bench.base, options.min_positives)
    table.row("0", precision, f1, f1)
    for n in [n for n in COUNTS if n < len(bench.labels)]:
        for name, way in WAYS.items():
            seeds = range(options.seeds if name in DRAWN else 1)
            chosen = [way(bench, n, seed) for seed in seeds]
            results = [with_labels(bench, rows, options.min_positives) for rows in chosen]
            table.row(f"{n} {name}", *np.transpose(results).tolist())


if __name__ == "__main__":
    main()
