"""What a name means: its synsets in WordNet, with weights."""

import numpy as np

from bundled_clip.files import VOCABULARY


def imagenet_synsets(name):
    """WordNet synsets of "imagenet-1k" in class order, or of "imagenet-22k"."""
    from timm.data import ImageNetInfo

    return [label.removeprefix("n") for label in ImageNetInfo(name).label_names()]


def main_meanings(nouns, name):
    """The few synsets that matter most of a name or of its last word, with weights."""
    plain = name.split(" (")[0].split("/")[0]
    word = nouns.singular(plain) or nouns.singular(plain.split()[-1])
    weights = nouns.weights(word) if word else {}
    best = sorted(weights, key=weights.get, reverse=True)[:3]
    kept = {s: weights[s] for s in best if weights[s] >= 0.1 or s == best[0]}
    return {synset: weight / sum(kept.values()) for synset, weight in kept.items()}


def meanings_of(nouns, names):
    """For each name its synsets and their weights, a list of dicts."""
    of_imagenet = imagenet_meanings(names)
    return [of_imagenet.get(name) or main_meanings(nouns, name) for name in names]


def imagenet_meanings(names):
    """The synset of each vocabulary name that came from ImageNet: a dict of dicts."""
    with np.load(VOCABULARY) as stored:
        of_imagenet = set(stored["names"][stored["source"] == "imagenet"].tolist())
        classes = stored["imagenet_names"].tolist()
    synsets = {}
    for synset, lemmas in zip(imagenet_synsets("imagenet-1k"), classes, strict=True):
        for lemma in lemmas.split(","):
            synsets.setdefault(lemma.strip().lower(), synset)
    return {n: {synsets[n]: 1.0} for n in names if n in of_imagenet and n in synsets}
