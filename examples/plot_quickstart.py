"""
From unlabelled photos to a classifier
======================================

The package comes with 242 photos of food and tableware. Here 145 of them are used without their
labels to train a classifier for 20 classes; the labels of the other 97 serve to measure it.

The script needs no download and no GPU: two processor cores take about a minute.
"""

# %%
# Photos in
# ---------
# The training photos come without labels. All that is known is which classes to look for.

import sys
from tempfile import mkdtemp
from time import perf_counter

import matplotlib.pyplot as plt
from PIL import Image
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.labels import apply_thresholds, find_thresholds
from sklearn_cdul.metrics import mean_average_precision

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = train.target_names
print(f"{len(train.data)} photos to train on, {len(test.data)} to test on, {len(names)} classes:")
print(", ".join(names))

# %%
# What CLIP sees
# --------------
# CLIP alone compares a whole photo with each class name. The pseudo labeler also looks at nine
# snippets of the photo and so finds the fork at its edge. Both give soft labels; thresholds that
# turn them into yes or no are found on the training photos, again without labels. The folder
# ``memory`` keeps what CLIP has seen, so that the training below need not look again.

results = {}


def measure(title, predict_scores, thresholds):
    """Score a method on the test photos and time it."""
    start = perf_counter()
    scores = predict_scores(test.data)
    seconds = perf_counter() - start
    results[title] = (
        100 * mean_average_precision(test.target, scores, min_positives=5),
        100 * f1_score(test.target, apply_thresholds(scores, thresholds), average="macro"),
        len(test.data) / seconds,
    )
    return scores


whole = CLIPPseudoLabeler(names, grid_size=1)
measure(
    "CLIP, whole photo",
    whole.fit(train.data).transform,
    find_thresholds(whole.transform(train.data)),
)

snippets = CLIPPseudoLabeler(names, memory=mkdtemp())
train_labels = snippets.fit_transform(train.data)
measure("CLIP, aggregated labels", snippets.transform, find_thresholds(train_labels))

# %%
# Training
# --------
# The classifier takes the same soft labels and trains a small network on them. Network and labels
# are updated in turn. Nothing in this call has seen a label.

start = perf_counter()
verbose = sys.stderr.isatty()  # a progress bar for people only
classifier = CDULClassifier(pseudo_labeler=snippets, random_state=0, verbose=verbose)
classifier.fit(train.data)
print(f"Trained in {perf_counter() - start:.0f} s.")

probabilities = measure("trained network", classifier.predict_proba, classifier.thresholds_)

# %%
# The result
# ----------
# mAP is the mean of the average precision over the classes with five or more test photos; macro-F1
# judges the yes-or-no answers. The network looks at each photo once and no longer needs CLIP.

print(f"{'on the test photos':<24} {'mAP':>6} {'macro-F1':>9} {'photos/s':>9}")
for title, (map_score, f1, speed) in results.items():
    print(f"{title:<24} {map_score:>6.1f} {f1:>9.1f} {speed:>9.0f}")

# %%
# Some test photos with the names that the network gives them, and in brackets what it missed:

figure, axes = plt.subplots(3, 4, figsize=(12, 8.5), layout="constrained")
predictions = classifier.predict(test.data)
for axis, path, predicted, true in zip(
    axes.flat, test.data[::8], predictions[::8], test.target[::8], strict=False
):
    right = [name for name, p, t in zip(names, predicted, true, strict=True) if p and t]
    wrong = [f"{name}?" for name, p, t in zip(names, predicted, true, strict=True) if p and not t]
    missed = [name for name, p, t in zip(names, predicted, true, strict=True) if t and not p]
    title = ", ".join(right + wrong) or "nothing"
    axis.imshow(Image.open(path))
    axis.set_title(title + (f"\n[{', '.join(missed)}]" if missed else ""), fontsize=9, wrap=True)
    axis.set_axis_off()
figure.suptitle("What the network sees (? = not in the labels, [ ] = missed)")
figure.savefig("quickstart.png", dpi=80)
plt.show()
