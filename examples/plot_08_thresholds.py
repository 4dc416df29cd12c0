"""
Thresholds
==========

``predict_proba`` gives probabilities; ``predict`` compares them with a threshold per class. Both
are found without labels. This example shows these thresholds and moves them: with the labels of
some photos, and by hand. Nothing is trained again.
"""

# %%
# Thresholds found without labels
# -------------------------------
# Probabilities found without labels are guesses, and few of them reach 0.5. The blue part of the
# bars are photos that show the class.

from pathlib import Path
from tempfile import gettempdir

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score, precision_score, recall_score

from sklearn_cdul import CDULClassifier
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import PhotosDisplay, ScoreHistogramDisplay

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = train.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
model = CDULClassifier(names, image_size=224, memory=memory, random_state=0)  # small, to be fast
model.fit(train.data)

shown = ["bread", "coffee", "cup", "egg", "pizza", "soup", "vegetable", "fork"]
histograms = ScoreHistogramDisplay.from_estimator(model, test.data, test.target, classes=shown)
plt.show()

# %%
# The photos next to a threshold show whether it is right. If all doubtful photos show the class,
# the threshold is too high.

PhotosDisplay.from_predictions(
    test.data,
    histograms.scores,
    test.target,
    class_names=names,
    thresholds=model.thresholds_,
    class_name="vegetable",
    order="doubtful",
    n_photos=8,
)
plt.show()

# %%
# With the labels of some photos
# ------------------------------
# ``fit_thresholds`` calibrates probabilities and thresholds on labelled photos, the more of them
# the further. These may be training photos. ``set_thresholds`` takes your own thresholds, or "auto"
# to go back to those found without labels.

results = {}


def measure(title):
    """Macro-averaged precision, recall and F1 on the test photos."""
    labels = model.predict(test.data)
    results[title] = [
        100 * score(test.target, labels, average="macro", zero_division=0)
        for score in (precision_score, recall_score, f1_score)
    ]


measure("found without labels")
for n_labelled in (25, 50, 100):
    rows = np.random.default_rng(0).permutation(len(train.data))[:n_labelled]
    model.fit_thresholds([train.data[row] for row in rows], train.target[rows])
    measure(f"with labels of {n_labelled} photos")
model.set_thresholds("auto").set_thresholds(0.5)
measure("without labels, at 0.5")
model.set_thresholds("auto")

pd.DataFrame.from_dict(results, "index", columns=["precision", "recall", "F1"]).round(1)

# %%
# Recall or precision
# -------------------
# If a missed photo costs more than a wrong one, lower the threshold of the class. A dict changes
# only the classes that it names.

cup = names.index("cup")
for threshold in (model.thresholds_[cup], 0.75 * model.thresholds_[cup]):
    model.set_thresholds({"cup": threshold})
    found = histograms.scores[:, cup] >= threshold
    right = (found & (test.target[:, cup] == 1)).sum()
    print(
        f"cup, threshold {threshold:.3f}: {found.sum()} photos found, {right} of them right, "
        f"{test.target[:, cup].sum()} photos show one"
    )
