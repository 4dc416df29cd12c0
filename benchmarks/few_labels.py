"""What 10, 25, 50 or 100 labelled photos add, chosen at random or by `suggest_photos`.

All classes of a chosen photo are labelled, as somebody who looks at it would. The labels are passed
to a new fit as ``observed=``, or to ``fit_thresholds`` of the fit without labels; figures are of
the test photos. Besides, two simple ways to choose: the photos with the highest mean doubt
("uncertain"), and those nearest to the centres of as many clusters of k-means ("diverse").

The network is a linear layer on the embeddings of the whole photos (``input="embeddings"``), which
trains in a second. Without --data it runs on the bundled photos.
"""

import copy
from pathlib import Path

import common
import numpy as np
from scipy.special import entr
from sklearn.base import clone
from sklearn.cluster import KMeans

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.review import suggest_photos

COUNTS = (10, 25, 50, 100)


def at_random(model, X, n, seed):
    return np.random.default_rng(seed).permutation(len(X))[:n]


def uncertain(model, X, n, seed):
    logits = model.decision_function(X)
    cuts = np.log(model.thresholds_ / (1 - model.thresholds_))
    expected = 1 / (1 + np.exp(-2 * (logits - cuts) / logits.std(axis=0)))
    return np.argsort(-(entr(expected) + entr(1 - expected)).mean(axis=1))[:n]


def diverse(model, X, n, seed):
    whole = X[:, 0]
    distances = KMeans(n, n_init=1, random_state=seed).fit_transform(whole)
    return np.unique(distances.argmin(axis=0))


def suggested(model, X, n, seed):
    return suggest_photos(model, X, n)


WAYS = {
    "at random": at_random,
    "uncertain": uncertain,
    "diverse": diverse,
    "suggest_photos": suggested,
}
DRAWN = ("at random", "diverse")


def main():
    names = ("dataset", "photo-set", "max-photos", "min-positives", "memory", "seeds")
    parser = common.parser(__doc__, *names)
    parser.add_argument("--data", type=Path, metavar="DIR", help="a folder of --dataset")
    options = common.parse(parser)
    if options.data:
        train, test, vocabulary = common.load(options)
    else:
        train, test = (load_food_photos(subset=subset) for subset in ("train", "test"))
        vocabulary = train.target_names
    labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory)
    X, X_test = (labeler.fit().embed(part.data) for part in (train, test))
    enough = test.target.sum(axis=0) >= options.min_positives
    base = CDULClassifier(pseudo_labeler=labeler.set_params(input="embeddings"), random_state=0)
    model = clone(base).fit(X)

    def figures(classifier):
        precision = common.percent_map(
            test.target, classifier.decision_function(X_test), options.min_positives
        )
        predicted = classifier.predict(X_test)
        return precision, 100 * common.f1_of_shown(test.target[:, enough], predicted[:, enough])

    def row(name, way, n):
        results = []
        for seed in range(options.seeds if name in DRAWN else 1):
            rows = way(model, X, n, seed)
            observed = np.full(train.target.shape, np.nan)
            observed[rows] = train.target[rows]
            moved = copy.copy(model).fit_thresholds(X[rows], train.target[rows])
            results.append((*figures(clone(base).fit(X, observed=observed)), figures(moved)[1]))
        table.row(f"{n} {name}", *np.transpose(results).tolist())

    columns = dict.fromkeys(("mAP", "F1", "F1, cuts only"), ".1f")
    table = common.Table("labelled photos", columns, width=22)
    precision, f1 = figures(model)
    table.row("0", precision, f1, f1)
    for n in COUNTS:
        for name, way in WAYS.items():
            row(name, way, n)


if __name__ == "__main__":
    main()
