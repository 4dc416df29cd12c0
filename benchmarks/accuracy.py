"""Accuracy of each step: CLIP alone, pseudo labels, and the network trained on them.

Trains networks on the photos of a data set. Labels are used to measure, and to train the upper
bound. Mean average precision is over the classes with enough positives (--min-positives) in the
split. Without gradient steps nothing is random but for more than 20,000 photos; one seed will do.

With --similarities FILE, a file as benchmarks/aggregation.py describes it, the labels come from the
stored similarities of a larger CLIP; all training photos must be in it. Their neighbours are found
with the bundled encoder.
"""

import common
import numpy as np

from sklearn_cdul import CDULClassifier
from sklearn_cdul.labels import apply_thresholds, find_thresholds
from sklearn_cdul.training import GradientTraining, RidgeTraining, resolve_training

FIXED = {"n_neighbors": 0, "training": RidgeTraining(epochs=1)}
BEFORE = {"image_size": 224, "regions": 1}
TRAINED = {"training": GradientTraining()}
PAPER = GradientTraining(
    cumulative_updates=True, update_rate=1, head_init="mean", head_learning_rate=1e-3
)
NETWORKS = {
    "default": {},
    "no regions": {"regions": 1},
    "no regions, 224 pixels": BEFORE,
    "fixed labels": FIXED,
    "all layers trained": TRAINED,
    "all layers trained, no regions, 224 pixels": TRAINED | BEFORE,
    "the paper's updates, all layers, 224 pixels": {"training": PAPER, "n_neighbors": 0} | BEFORE,
    "true labels": FIXED,
    "true labels, all layers trained": {
        "n_neighbors": 0,
        "training": GradientTraining(update_interval=0),
    },
}


def main():
    parser = common.parser(
        __doc__,
        *(*common.PHOTOS, "min-positives", "similarities", "temperature", "memory"),
        *("epochs", "seeds"),
        epochs=None,
    )
    parser.add_argument("--precision", default="auto", help="of the network")
    parser.add_argument("--networks", type=int, nargs="+", help="only these rows, from 0")
    options = common.parse(parser)
    train, test, vocabulary = common.load(options)
    labeler = common.make_labeler(options, vocabulary)
    columns = {"train labels": ".1f", "test mAP": ".1f", "test F1": ".1f", "seconds": ".0f"}
    table = common.Table("", columns)

    def on_train(labels):
        return common.percent_map(train.target, labels, options.min_positives)

    def on_test(scores, predicted):
        f1 = 100 * common.f1_of_shown(test.target, predicted)
        return common.percent_map(test.target, scores, options.min_positives), f1

    for name, weight in (("CLIP, whole photo", 1.0), ("pseudo labels", labeler.global_weight)):
        labeler.set_params(global_weight=weight).fit()
        labels, seconds = common.timed(labeler.transform, train.data)
        figures = "", ""
        if not options.similarities:  # these have no test photos
            scores = labeler.transform(test.data)
            predicted = apply_thresholds(scores, find_thresholds(labels))
            figures = on_test(scores, predicted)
        table.row(name, on_train(labels), *figures, seconds)

    for number in options.networks or range(len(NETWORKS)):
        name, parameters = list(NETWORKS.items())[number]
        observed = train.target if name.startswith("true labels") else None
        rows = []
        for seed in range(options.seeds):
            classifier = CDULClassifier(
                pseudo_labeler=labeler,
                precision=options.precision,
                random_state=seed,
                **parameters,
            )
            if options.similarities:  # of an encoder whose tower is not the network's
                classifier.set_params(zero_shot_weight=0)
            if options.epochs and parameters is not FIXED:
                training = resolve_training(classifier.training).set_params(epochs=options.epochs)
                classifier.set_params(training=training)
            _, seconds = common.timed(classifier.fit, train.data, observed=observed)
            figures = on_test(
                classifier.decision_function(test.data), classifier.predict(test.data)
            )
            rows.append([on_train(classifier.pseudo_labels_), *figures, seconds])
        *figures, seconds = np.transpose(rows).tolist()
        table.row(name, *figures, np.mean(seconds))


if __name__ == "__main__":
    main()
