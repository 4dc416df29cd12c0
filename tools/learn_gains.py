r"""Learn how much the similarity of a name that photos have taught must count.

A name that was moved toward a direction ("person", "water", see ``learn_directions.py``) has lower
cosines with the photos that show it than other names have: the direction is what tells these photos
from others, not what they have in common. So its labels would be too low. The level of a name is
the logit of the open label (among all other known names) at which half of the photos show it. The
gain of a name is the factor of its cosines that brings its level to the middle one of the names
that were not taught.

What a photo shows is told by the words of the photos of ``--scenes``, a folder with ``images/`` and
``labels.csv`` (filename, and words joined by ``;``).

    python tools/learn_gains.py --scenes DIR

It writes ``sklearn_cdul/encoders/bundled/gains.npz`` with the gains of at least 1.3, and prints all
of them, learnt from one half of the photos and from the other. Takes a few minutes on two cores.
"""

import argparse
from pathlib import Path

import numpy as np
from bundled_clip.files import BUNDLED, DIRECTIONS
from scipy.optimize import brentq
from scipy.special import expit, logit, logsumexp

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.class_names.background import background_of
from sklearn_cdul.datasets import load_csv

LEAST = 1.3
SLOPE = 1.5  # of the logistic regression of what is shown on logits of open labels
N_PHOTOS = 1000
FEWEST = 20  # photos with a word


def open_logits(cosines, others, gain):
    """Logits (n,) of the open label of one name.

    Of its cosines (n, v), times a scale, and the logarithms of the sum of what the others have.
    """
    share = np.clip(expit(cosines - others), 1e-6, 1 - 1e-6)
    labels = expit(logit(share) + (gain - 1) * cosines)
    return logit((labels[:, 0] + labels[:, 1:].max(axis=1)) / 2)


def level_of(logits, shown):
    """Where half of the photos show the name."""
    return brentq(lambda level: (expit(SLOPE * (logits - level)) - shown).sum(), -40, 40)


def gain_to(target, cosines, others, shown):
    """The gain that brings the level to the target, between 1 and 4."""

    def above(gain):
        return level_of(open_logits(cosines, others, gain), shown) - target

    return 1.0 if above(1.0) >= 0 else 4.0 if above(4.0) <= 0 else brentq(above, 1, 4, xtol=0.01)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=Path, required=True)
    parser.add_argument("--memory", type=Path)
    options = parser.parse_args()
    photos = load_csv(options.scenes / "labels.csv", root=options.scenes / "images")
    rows = np.random.default_rng(0).permutation(len(photos.data))[:N_PHOTOS]
    shown = np.nan_to_num(np.asarray(photos.target, dtype=float))[rows] == 1
    labeler = CLIPPseudoLabeler(list(photos.target_names), memory=options.memory).fit()
    embeddings = labeler.embed([photos.data[row] for row in rows])
    scale = 1 / labeler.temperature_
    with np.load(DIRECTIONS) as stored:
        taught = set(stored["names"].tolist())
    measured = {}
    for column, name in enumerate(photos.target_names):
        if shown[:, column].sum() < FEWEST:
            continue
        text = labeler.text_embeddings_[column : column + 1]
        others = background_of([[name]], text)[0]
        measured[name] = (
            scale * (embeddings @ text[0]),
            np.stack([logsumexp(scale * (view @ others.T), axis=1) for view in embeddings]),
            shown[:, column],
        )
    levels = {
        name: level_of(open_logits(own, others, 1), truth)
        for name, (own, others, truth) in measured.items()
    }
    singular = {name: name if name in taught else name.removesuffix("s") for name in levels}
    singular["people"] = "person"
    known = [level for name, level in levels.items() if singular[name] not in taught]
    target = float(np.median(known))
    print(f"middle level of {len(known)} names that were not taught: {target:.2f}")
    halves = np.arange(len(rows)) % 2 == 0
    gains = {}
    for name, (own, others, truth) in measured.items():
        if singular[name] not in taught:
            continue
        gains[name] = gain_to(target, own, others, truth)
        first, second = (gain_to(target, own[h], others[h], truth[h]) for h in (halves, ~halves))
        print(f"{name:10} level {levels[name]:.2f}, gain {gains[name]:.2f}", end="")
        print(f", of the halves {first:.2f} and {second:.2f}")
    kept = {singular[name]: gain for name, gain in gains.items() if gain >= LEAST}
    print("kept:", kept)
    np.savez_compressed(
        BUNDLED / "gains.npz",
        names=np.array(list(kept)),
        gains=np.array([*kept.values()], dtype=np.float32).round(1),
    )


if __name__ == "__main__":
    main()
