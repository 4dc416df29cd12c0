"""What labels given by a person add: test mAP with a growing share of the labels observed.

The observed entries (photo, class) are drawn at random and passed as ``observed=``. By default the
network is a linear layer on the embeddings of the whole photos (``input="embeddings"``), which
trains in a second; with --end-to-end it is the embedded network on the photos.
"""

import argparse
import platform

import numpy as np
import photo_data

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.metrics import mean_average_precision


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    photo_data.add_arguments(parser)
    parser.add_argument("--memory", metavar="DIR", help="where embeddings are kept")
    parser.add_argument("--end-to-end", action="store_true")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--min-positives", type=int, default=10)
    options = parser.parse_args()
    train, test, vocabulary = photo_data.load(options)
    labeler = CLIPPseudoLabeler(vocabulary, memory=options.memory)
    inputs = train.data, test.data
    if not options.end_to_end:
        inputs = [labeler.fit().embed(paths) for paths in inputs]
        labeler.set_params(input="embeddings")

    print(f"{platform.machine()}, {len(train.data)} training and {len(test.data)} test photos")
    print(f"{'labels observed':<18}{'test mAP':>10}{'std':>6}{'train labels':>15}")
    for share in (0, 0.1, 0.25, 0.5, 1):
        figures = []
        for seed in range(options.seeds):
            shown = np.random.default_rng(seed).random(train.target.shape) < share
            classifier = CDULClassifier(
                pseudo_labeler=labeler,
                image_size=options.image_size,
                epochs=options.epochs,
                random_state=seed,
            ).fit(inputs[0], observed=np.where(shown, train.target, np.nan))
            figures.append(
                [
                    100
                    * mean_average_precision(target, scores, min_positives=options.min_positives)
                    for target, scores in (
                        (test.target, classifier.decision_function(inputs[1])),
                        (train.target, classifier.pseudo_labels_),
                    )
                ]
            )
        (score, labels), spread = np.mean(figures, axis=0), np.std(figures, axis=0)[0]
        print(f"{f'{share:.0%}':<18}{score:>10.1f}{spread:>6.1f}{labels:>15.1f}", flush=True)


if __name__ == "__main__":
    main()
