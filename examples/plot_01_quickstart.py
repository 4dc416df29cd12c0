"""
From unlabelled photos to a classifier
======================================

The package contains 242 photos of food and tableware. This example trains a classifier for 20
classes on 145 of them, without labels, and measures it with the labels of the other 97.

The script needs no download and no GPU, and takes about a minute on two CPU cores.
"""

# %%
# The photos
# ----------
# Training uses the photos and the class names, not the labels.

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
# CLIP makes soft labels, a small network is trained on them, and the labels are then updated with
# the network's predictions. ``memory`` is a folder that keeps CLIP's embeddings, so that no photo
# is encoded again.

verbose = sys.stderr.isatty()  # no progress bars in log files
start = perf_counter()
classifier = CDULClassifier(names, memory=mkdtemp(), random_state=0, verbose=verbose)
classifier.fit(train.data)
print(f"CLIP's labels and the training took {perf_counter() - start:.0f} s.")

# %%
# Predictions
# -----------
# The predicted names for three test photos:

for path, found in zip(test.data[:3], classifier.predict_names(test.data[:3]), strict=True):
    print(Path(path).name, found)

# %%
# For each class, the one of the 97 test photos with the highest score. Ranking is what the network
# does best.

display = PhotosDisplay.from_estimator(classifier, test.data, test.target)
plt.close(display.figure_)  # the photos that it draws by itself come below
figure, axes = plt.subplots(4, 5, figsize=(12, 7.6), layout="constrained")
right = 0
for column, (name, ax) in enumerate(zip(names, axes.flat, strict=True)):
    display.plot(class_name=name, order="surest", n_photos=1, ax=ax)
    right += int(test.target[display.rows_[0], column])
figure.suptitle(
    f"The highest score of each class among {len(test.data)} new photos "
    "(✓ ○ the photo's labels agree, ○ below the threshold, ✗ they do not)"
)
figure.savefig("quickstart.png", dpi=80)
print(f"{right} of {len(names)} labels agree.")
plt.show()

# %%
# All names of some photos: the most certain predictions, then the most doubtful ones. Most names
# that are wrong or missing have a score near the threshold.

display.plot()
plt.show()

# %%
# Accuracy and speed
# ------------------
# CLIP can also be used directly, on the whole photo, or on the photo and its parts as in the labels
# above. mAP is the mean average precision over the classes with at least five test photos;
# macro-F1 measures the yes-or-no predictions. All thresholds were found without labels. The network
# needs one pass per photo and no CLIP.

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
thresholds = find_thresholds(classifier.initial_pseudo_labels_)
labels = measure("CLIP, with parts", labeler.transform, thresholds)
scores = measure("trained network", classifier.predict_proba, classifier.thresholds_)

print(f"{'on the test photos':<24} {'mAP':>6} {'macro-F1':>9} {'images/s':>9}")
for title, (map_score, f1, speed) in results.items():
    print(f"{title:<24} {map_score:>6.1f} {f1:>9.1f} {speed:>9.0f}")

# %%
# The average precision of each class. With so few photos per class, differences of a few hundredths
# are chance.

options = {"class_names": names, "min_positives": 5}
first = AveragePrecisionDisplay.from_predictions(test.target, labels, name="CLIP", **options)
AveragePrecisionDisplay.from_predictions(
    test.target, scores, name="network", ax=first.ax_, **options
)
plt.show()
