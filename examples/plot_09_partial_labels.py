"""
Training with some labels
=========================

Labels of a few photos are passed as ``observed=``. They are never changed, and training uses them
beside CLIP's. This example uses the labels of 0 to 100 of the 145 training photos.
"""

# %%
# From none to a hundred
# ----------------------
# The labels are an array with one row per photo: 1, 0, or NaN for unknown. To be fast, the network
# is a linear layer on CLIP's embeddings (``input="embeddings"``). The labelled photos are drawn at
# random, three times.

from pathlib import Path
from tempfile import gettempdir

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.metrics import f1_score

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos
from sklearn_cdul.displays import AveragePrecisionDisplay
from sklearn_cdul.metrics import mean_average_precision

train, test = load_food_photos(subset="train"), load_food_photos(subset="test")
names = train.target_names
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
clip = CLIPPseudoLabeler(names, memory=memory).fit()
train_embeddings, test_embeddings = clip.embed(train.data), clip.embed(test.data)


def fit(n_labelled, seed):
    """Train with the labels of some photos, drawn at random."""
    rows = np.random.default_rng(seed).permutation(len(train.data))[:n_labelled]
    observed = np.full(train.target.shape, np.nan)
    observed[rows] = train.target[rows]
    labeler = CLIPPseudoLabeler(names, input="embeddings")
    model = CDULClassifier(pseudo_labeler=labeler, random_state=seed)
    return model.fit(train_embeddings, observed=observed)


results = []
for n_labelled in (0, 10, 25, 50, 100):
    for seed in range(3):
        model = fit(n_labelled, seed)
        scores, labels = model.decision_function(test_embeddings), model.predict(test_embeddings)
        results.append(
            {
                "photos labelled": n_labelled,
                "mAP": 100 * mean_average_precision(test.target, scores, min_positives=5),
                "macro-F1": 100 * f1_score(test.target, labels, average="macro"),
            }
        )

# %%
# In percent on the test photos, mean of three draws. Ten photos, which show most classes once or
# never, are too few:

pd.DataFrame(results).groupby("photos labelled").mean().round(1)

# %%
# Which classes gain
# ------------------
# Among them those with poor labels from CLIP, such as fork, knife and egg. Some classes lose: a
# hundred photos have few examples of a rare class.

options = {"class_names": names, "min_positives": 5}
display = AveragePrecisionDisplay.from_predictions(
    test.target, fit(0, 0).decision_function(test_embeddings), name="no labels", **options
)
AveragePrecisionDisplay.from_predictions(
    test.target,
    fit(100, 0).decision_function(test_embeddings),
    name="100 photos labelled",
    ax=display.ax_,
    **options,
)
plt.show()
