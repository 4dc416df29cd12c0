"""
Search over the aggregation weights
===================================

How much should the whole photo count against its snippets, and how sharp should the labels be?
With some labelled photos a grid search tells. It needs 36 settings x 5 folds, but CLIP sees each
photo once: with ``memory`` its embeddings are kept, and all settings are computed from them.

Two processor cores take about half a minute.
"""

# %%
# The search
# ----------
# ``CLIPPseudoLabeler`` learns nothing from photos, so cross-validation here only spreads the
# measurement over five parts of the labelled photos. Its own ``score`` is the mean average
# precision over the classes that a part shows.

from tempfile import mkdtemp
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos

photos = load_food_photos()
labeler = CLIPPseudoLabeler(photos.target_names, memory=mkdtemp())
weights = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
temperatures = [0.02, 0.03, 0.05, 0.07, 0.1, 0.2]
search = GridSearchCV(
    labeler,
    {"global_weight": weights, "temperature": temperatures},
    cv=KFold(5, shuffle=True, random_state=0),
)

# %%
# The first pass encodes, the search after it only computes labels.

start = perf_counter()
labeler.fit_transform(photos.data)
encoded = perf_counter()
search.fit(photos.data, photos.target)
print(f"encoding {len(photos.data)} photos: {encoded - start:.1f} s")
print(f"{len(search.cv_results_['params'])} settings x 5 folds: {perf_counter() - encoded:.1f} s")
print(f"best: {search.best_params_}, mAP {100 * search.best_score_:.1f}")

# %%
# The result
# ----------
# At the better temperatures, snippets and whole photo together beat either alone (weights 1 and 0).
# The differences between neighbouring settings are smaller than those between the folds.

scores = 100 * search.cv_results_["mean_test_score"].reshape(len(weights), len(temperatures))
spread = 100 * search.cv_results_["std_test_score"].mean()
print(f"mean standard deviation between the folds: {spread:.1f}")

figure, axis = plt.subplots(figsize=(6.5, 5), layout="constrained")
image = axis.imshow(scores, cmap="viridis", aspect="auto")
axis.set_xticks(range(len(temperatures)), temperatures)
axis.set_yticks(range(len(weights)), weights)
axis.set_xlabel("temperature")
axis.set_ylabel("weight of the whole photo (global_weight)")
for (row, column), score in np.ndenumerate(scores):
    color = "black" if score > scores.max() - 3 else "white"
    axis.text(column, row, f"{score:.1f}", ha="center", va="center", color=color)
figure.colorbar(image, label="mAP, mean of 5 folds")
plt.show()

# %%
# The same search works through the classifier: its parameters are then called
# ``pseudo_labeler__global_weight`` and so on. Each candidate trains a network, which takes far
# longer, but the photos are still encoded once.
