"""
A column of photos in a Pipeline
================================

Soft labels are good features. Here a table has a column with paths of photos and a column with
numbers; a Pipeline turns both into features and learns to tell meals with meat from those without.
The word "meat" is not among the class names: the answer is learned from a few labelled photos.

Two processor cores take about half a minute.
"""

# %%
# The table
# ---------

from tempfile import mkdtemp

import matplotlib.pyplot as plt
import pandas as pd
from PIL import Image
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.datasets import load_food_photos

photos = load_food_photos()
table = pd.DataFrame({"photo": photos.data})
table["width / height"] = [Image.open(path).width / Image.open(path).height for path in table.photo]
has_meat = photos.target[:, photos.target_names.index("meat")]
train = photos.split == "train"
print(table.assign(photo=table.photo.str.split("/").str[-1], meat=has_meat).head())

# %%
# The Pipeline
# ------------
# The names may be anything that could help. ``ColumnTransformer`` hands the column of paths to the
# labeler, which returns one column a name.

names = [
    "steak",
    "sausage",
    "ham",
    "chicken",
    "hamburger",
    "fish",
    "salad",
    "soup",
    "fruit",
    "cake",
]
model = make_pipeline(
    ColumnTransformer(
        [
            ("clip", CLIPPseudoLabeler(names, memory=mkdtemp()), ["photo"]),
            ("numbers", "passthrough", ["width / height"]),
        ]
    ),
    StandardScaler(),
    LogisticRegression(C=0.1),
)
model.fit(table[train], has_meat[train])
model

# %%
# The result
# ----------
# The area under the ROC curve on the other photos is 0.5 for guessing and 1 for a perfect order.

scores = model.predict_proba(table[~train])[:, 1]
print(f"ROC AUC on {(~train).sum()} test photos: {roc_auc_score(has_meat[~train], scores):.2f}")

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
RocCurveDisplay.from_predictions(
    has_meat[~train], scores, ax=axes[0], name="Pipeline", plot_chance_level=True
)
features = model[:-1].get_feature_names_out()
axes[1].barh(features, model[-1].coef_[0])
axes[1].set_xlabel("coefficient: speaks for meat to the right")
plt.show()
