"""What labels given by a person add: test mAP with a growing share of the labels observed.

The observed entries (photo, class) are drawn at random and passed as ``observed=``. By default the
network is a linear layer on the embeddings of the whole photos (``input="embeddings"``), which
trains in a second; with --end-to-end it is the bundled network on the photos.
"""

import common
import numpy as np

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.training import RidgeTraining


def main():
    names = (*common.PHOTOS, "min-positives", "memory", "image-size", "epochs", "seeds")
    parser = common.parser(__doc__, *names)
    parser.add_argument("--end-to-end", action="store_true")
    options = common.parse(parser)
    train, test, vocabulary = common.load(options)
    labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory)
    inputs = train.data, test.data
    if not options.end_to_end:
        inputs = [labeler.fit().embed(paths) for paths in inputs]
        labeler.set_params(input="embeddings")

    table = common.Table("labels observed", {"test mAP": ".1f", "train labels": ".1f"}, width=18)
    for share in (0, 0.1, 0.25, 0.5, 1):
        figures = []
        for seed in range(options.seeds):
            shown = np.random.default_rng(seed).random(train.target.shape) < share
            classifier = CDULClassifier(
                pseudo_labeler=labeler,
                image_size=options.image_size,
                training=RidgeTraining(options.epochs),
                random_state=seed,
            ).fit(inputs[0], observed=np.where(shown, train.target, np.nan))
            figures.append(
                [
                    common.percent_map(target, scores, options.min_positives)
                    for target, scores in (
                        (test.target, classifier.decision_function(inputs[1])),
                        (train.target, classifier.pseudo_labels_),
                    )
                ]
            )
        scores, labels = np.transpose(figures).tolist()
        table.row(f"{share:.0%}", scores, np.mean(labels))


if __name__ == "__main__":
    main()
