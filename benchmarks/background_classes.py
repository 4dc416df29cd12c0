"""What ``background_classes=`` gains: on photos of the classes, and on others.

Two sets of photos are unrelated to each other: the bundled photos of food, and --data DIR, a
folder of Pascal VOC. Each set's classes are given to the bundled encoder alone, with the vocabulary
"general", and with the names of what the other set shows. Thresholds and networks are made on the
training photos of the set itself. Classes that both sets may show, labelled or not, are left out of
VOC's, and so are unrelated photos that show one.

"unrelated named" is the share of the unrelated photos that get a name, and "names each" how many
they get. The network is a linear layer on the
embeddings (``input="embeddings"``).
"""

import common
import numpy as np

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.labels import apply_thresholds, find_thresholds

SHARED = {"person", "bottle", "dining table", "chair", "potted plant"}


class Photos:
    """Embeddings and labels of one set, without the classes in ``left_out``."""

    def __init__(self, train, test, embed, left_out):
        kept = [i for i, name in enumerate(train.target_names) if name not in left_out]
        shared = [i for i, name in enumerate(train.target_names) if name in SHARED]
        self.names = [train.target_names[i] for i in kept]
        self.X = {"train": embed(train.data), "test": embed(test.data)}
        self.y = {"train": train.target[:, kept], "test": test.target[:, kept]}
        unshared = [~part.target[:, shared].any(axis=1) for part in (train, test)]
        self.unrelated = np.concatenate(list(self.X.values()))[np.concatenate(unshared)]


def figures(photos, unrelated, scores, predict, min_positives):
    """Figures of one row; ``predict`` maps embeddings to labels."""
    predicted = predict(unrelated)
    return [
        common.percent_map(photos.y["test"], scores, min_positives),
        100 * common.f1_of_shown(photos.y["test"], predict(photos.X["test"])),
        100 * predicted.any(axis=1).mean(),
        predicted.sum(axis=1).mean(),
    ]


def rows(photos, unrelated, others, options):
    """Figures of the labels, and for each seed those of a network trained on them."""
    labeler = CLIPPseudoLabeler(photos.names, background_classes=others, input="embeddings").fit()
    cut = find_thresholds(labeler.transform(photos.X["train"]))

    def predict(X):
        return apply_thresholds(labeler.transform(X), cut)

    score = labeler.transform(photos.X["test"])
    yield figures(photos, unrelated, score, predict, options.min_positives)
    for seed in range(options.seeds):
        model = CDULClassifier(pseudo_labeler=labeler, random_state=seed).fit(photos.X["train"])
        score = model.decision_function(photos.X["test"])
        yield figures(photos, unrelated, score, model.predict, options.min_positives)


def main():
    names = ("data", "photo-set", "max-photos", "min-positives", "memory", "seeds")
    parser = common.parser(__doc__, *names, dataset="voc2012", min_positives=5)
    options = common.parse(parser)
    embed = CLIPPseudoLabeler(["any", "thing"], memory=options.memory).embed
    train, test, _ = common.load(options)
    food = [load_food_photos(subset=subset) for subset in ("train", "test")]
    common.take_few(food, options)
    sets = {
        "food": Photos(*food, embed, left_out=()),
        "VOC": Photos(train, test, embed, left_out=SHARED),
    }
    columns = {"test mAP": ".1f", "F1": ".1f", "unrelated named": ".0f", "names each": ".2f"}
    for (name, photos), other in zip(sets.items(), reversed(sets.values()), strict=True):
        table = common.Table(f"{name}, {len(photos.names)} classes", columns)
        for title, others in (
            ("no others", None),
            ('"general"', "general"),
            ("names of what they show", other.names),
        ):
            labels, *networks = rows(photos, other.unrelated, others, options)
            table.row(f"labels, {title}", *labels)
            table.row(f"network, {title}", *np.transpose(networks).tolist())


if __name__ == "__main__":
    main()
