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
from pathlib import Path
from tempfile import mkdtemp
from time import perf_counter

import matplotlib.pyplot as plt
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import AveragePrecisionDisplay, PhotosDisplay
from sklearn_cdul.labels import apply_thresholds, find_thresholds
from sklearn_cdul.metrics import mean_average_precision

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = train.target_names
print(f"{len(train.data)} photos to train on, {len(test.data)} to test on, {len(names)} classes:")
print(", ".join(names))

# %%
# Training
# --------
# CLIP labels the photos softly, a small network learns these labels, and the labels follow the
# network. Nothing in this call has seen a label. ``memory`` is a folder that keeps what CLIP has
# seen, so that it need not look again.

verbose = sys.stderr.isatty()  # a progress bar for people only
start = perf_counter()
classifier = CDULClassifier(names, memory=mkdtemp(), random_state=0, verbose=verbose)
classifier.fit(train.data)
print(f"CLIP's labels and the training took {perf_counter() - start:.0f} s.")

# %%
# What it says
# ------------
# Names of three photos that it has not seen:

for path, found in zip(test.data[:3], classifier.predict_names(test.data[:3]), strict=True):
    print(Path(path).name, found)

# %%
# For each class the one of the 97 photos with the highest score. Putting photos in order is what
# the network does best.

display = PhotosDisplay.from_estimator(classifier, test.data, test.target)
plt.close(display.figure_)  # the photos that it draws by itself come below
figure, axes = plt.subplots(4, 5, figsize=(12, 7.6), layout="constrained")
right = 0
for column, (name, ax) in enumerate(zip(names, axes.flat, strict=True)):
    display.plot(class_name=name, order="surest", n_photos=1, ax=ax)
    right += int(test.target[display.rows_[0], column])
figure.suptitle(
    f"The highest score of each class among {len(test.data)} new photos "
    "(✓ the photo's labels agree, ✗ they do not)"
)
figure.savefig("quickstart.png", dpi=80)
print(f"{right} of {len(names)} labels agree.")
plt.show()

# %%
# All names of some photos: of those whose names it is surest of, and of those which it doubts most.
# Most names that are wrong or missing have a score near the cut between yes and no.

display.plot()
plt.show()

# %%
# How good it is
# --------------
# CLIP alone can be asked, too: about the whole photo, or about the photo and nine snippets of it,
# from which the labels above were made. mAP is the mean of the average precision over the classes
# with five or more test photos; macro-F1 judges the yes-or-no answers. All cuts between yes and no
# were found without labels. The network looks at each photo once and no longer needs CLIP.

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


whole = CLIPPseudoLabeler(names, grid_size=1).fit()
measure("CLIP, whole photo", whole.transform, find_thresholds(whole.transform(train.data)))
labeler = classifier.pseudo_labeler_
cuts = find_thresholds(classifier.initial_pseudo_labels_)
labels = measure("CLIP, with snippets", labeler.transform, cuts)
scores = measure("trained network", classifier.predict_proba, classifier.thresholds_)

print(f"{'on the test photos':<24} {'mAP':>6} {'macro-F1':>9} {'photos/s':>9}")
for title, (map_score, f1, speed) in results.items():
    print(f"{title:<24} {map_score:>6.1f} {f1:>9.1f} {speed:>9.0f}")

# %%
# Each class on its own. With so few photos of a class, differences of some hundredths are chance.

options = {"class_names": names, "min_positives": 5}
first = AveragePrecisionDisplay.from_predictions(test.target, labels, name="CLIP", **options)
AveragePrecisionDisplay.from_predictions(
    test.target, scores, name="network", ax=first.ax_, **options
)
plt.show()
