"""
The cut between yes and no
==========================

``predict_proba`` ranks photos; ``predict`` cuts the ranking. Without labels the cut of each class
is found where its scores part best. This example looks at these cuts and moves them: by hand, and
with the labels of some photos. Nothing is trained again.
"""

# %%
# Where the scores are cut
# ------------------------
# The network learned faint labels, so its scores are low: 0.5 would cut off nearly everything. The
# blue part of the bars are photos whose labels have the class.

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
model = CDULClassifier(names, image_size=224, memory=memory, random_state=0)  # small: quick
model.fit(train.data)

shown = ["bread", "coffee", "cup", "egg", "pizza", "soup", "vegetable", "fork"]
histograms = ScoreHistogramDisplay.from_estimator(model, test.data, test.target, classes=shown)
plt.show()

# %%
# The photos next to a cut tell whether it lies well. A class whose doubtful photos all show it is
# cut too high.

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
# ``fit_thresholds`` draws each cut toward the one with the best F1 on labelled photos, the more the
# more of them show the class. The photos may be those of the training. ``set_thresholds`` takes
# numbers of yours, and "auto" goes back to the cuts found without labels.

results = {}


def measure(title):
    """Precision, recall and F1 of the answers on the test photos, means over the classes."""
    answers = histograms.scores >= model.thresholds_
    results[title] = [
        100 * score(test.target, answers, average="macro", zero_division=0)
        for score in (precision_score, recall_score, f1_score)
    ]


measure("found without labels")
for n_labelled in (25, 50, 100):
    rows = np.random.default_rng(0).permutation(len(train.data))[:n_labelled]
    model.fit_thresholds([train.data[row] for row in rows], train.target[rows])
    measure(f"with labels of {n_labelled} photos")
model.set_thresholds(0.5)
measure("0.5")
model.set_thresholds("auto")

pd.DataFrame.from_dict(results, "index", columns=["precision", "recall", "F1"]).round(1)

# %%
# More found, or fewer errors
# ---------------------------
# If a missed photo costs more than a wrong one, lower the cut of that class; a dictionary changes
# the classes that it names.

cup = names.index("cup")
for cut in (model.thresholds_[cup], 0.75 * model.thresholds_[cup]):
    model.set_thresholds({"cup": cut})
    answers = histograms.scores[:, cup] >= model.thresholds_[cup]
    right = (answers & (test.target[:, cup] == 1)).sum()
    print(
        f"cup from {cut:.3f} on: {answers.sum()} photos, {right} of them right, "
        f"{test.target[:, cup].sum()} show one"
    )
