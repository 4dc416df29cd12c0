"""
Grid search
===========

How much weight should the whole photo have against its parts, and which temperature should the
softmax have? With some labelled photos a grid search finds out. It tries 36 settings on 5 folds,
but encodes each photo only once: ``memory`` keeps the embeddings.
"""

# %%
# The labeler
# -----------
# ``CLIPPseudoLabeler`` learns nothing from photos, so cross-validation here only shows how the
# score varies between five parts of the photos. The score is mean average precision over the
# classes that occur in a part.

from pathlib import Path
from tempfile import gettempdir
from time import perf_counter

import pandas as pd
from sklearn.model_selection import GridSearchCV, KFold

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos

photos = load_food_photos()
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
labeler = CLIPPseudoLabeler(photos.target_names, memory=memory)
search = GridSearchCV(
    labeler,
    {
        "global_weight": [0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
        "temperature": [0.02, 0.03, 0.05, 0.07, 0.1, 0.2],
    },
    cv=KFold(5, shuffle=True, random_state=0),
)

# %%
# The first pass encodes the photos that are not in the folder yet. The search then computes labels
# only.

start = perf_counter()
labeler.fit_transform(photos.data)
encoded = perf_counter()
search.fit(photos.data, photos.target)
print(f"embeddings of {len(photos.data)} photos: {encoded - start:.1f} s")
print(f"{len(search.cv_results_['params'])} settings x 5 folds: {perf_counter() - encoded:.1f} s")
print(f"best: {search.best_params_}, mAP {100 * search.best_score_:.1f}")

# %%
# The result
# ----------
# The mAP of each setting in percent, with the weight of the whole photo in rows and the temperature
# in columns. At the better temperatures whole photo and crops together are better than either alone
# (weights 1 and 0). Settings near the best differ by less than the folds do.

results = pd.DataFrame(search.cv_results_)
print(f"mean standard deviation between folds: {100 * results['std_test_score'].mean():.1f}")

table = 100 * results.pivot(
    index="param_global_weight", columns="param_temperature", values="mean_test_score"
)
table.round(1)

# %%
# The same as a picture, one line per temperature:

table.plot(xlabel="weight of the whole photo", ylabel="mAP in percent", figsize=(6, 4))

# %%
# The classifier
# --------------
# The classifier can be searched in the same way; the parameters of its labeler begin with
# ``pseudo_labeler__``. A network is trained for each candidate and fold. The photos are not encoded
# again.

start = perf_counter()
search = GridSearchCV(
    CDULClassifier(pseudo_labeler=labeler, image_size=224, random_state=0),
    {"pseudo_labeler__global_weight": [0.5, 1.0]},
    cv=KFold(2, shuffle=True, random_state=0),
    refit=False,
).fit(photos.data, photos.target)
print(f"{len(search.cv_results_['params'])} settings x 2 folds: {perf_counter() - start:.1f} s")

results = pd.DataFrame(search.cv_results_["params"])
results["mAP"] = (100 * search.cv_results_["mean_test_score"]).round(1)
results
