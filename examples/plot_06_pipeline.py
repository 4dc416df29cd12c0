"""
A column of photos in a Pipeline
================================

Soft labels are good features. Here a table has a column of paths and a column of numbers; a
Pipeline turns both into features and learns which meals contain meat. "Meat" is not among the class
names: the Pipeline learns it from labelled photos.
"""

# %%
# The table
# ---------

from pathlib import Path
from tempfile import gettempdir

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
from sklearn_cdul.displays import PhotosDisplay

photos = load_food_photos()
table = pd.DataFrame({"photo": photos.data})
table["width / height"] = [Image.open(path).width / Image.open(path).height for path in table.photo]
has_meat = photos.target[:, photos.target_names.index("meat")]
train = photos.split == "train"
table.assign(photo=table.photo.map(lambda path: Path(path).name), meat=has_meat).head()

# %%
# The Pipeline
# ------------
# Any names that may help will do. ``ColumnTransformer`` passes the column of paths to the labeler,
# which returns one column per name.

names = ["steak", "sausage", "ham", "chicken", "burger", "fish", "salad", "soup", "fruit", "cake"]
memory = Path(gettempdir(), "sklearn_cdul_examples")  # all examples share it
features = ColumnTransformer(
    [
        ("clip", CLIPPseudoLabeler(names, memory=memory), ["photo"]),
        ("numbers", "passthrough", ["width / height"]),
    ]
)
model = make_pipeline(features, StandardScaler(), LogisticRegression(C=0.1))
model.fit(table[train], has_meat[train])
model

# %%
# The result
# ----------
# The area under the ROC curve on the test photos is 0.5 for guessing and 1 for a perfect ranking.

scores = model.predict_proba(table[~train])[:, 1]
print(f"ROC AUC on {(~train).sum()} test photos: {roc_auc_score(has_meat[~train], scores):.2f}")

RocCurveDisplay.from_predictions(has_meat[~train], scores, name="Pipeline", plot_chance_level=True)
plt.show()

# %%
# The coefficients show which names indicate meat:

coefficients = pd.Series(model[-1].coef_[0], index=model[:-1].get_feature_names_out())
coefficients.sort_values(ascending=False).round(2).to_frame("coefficient")

# %%
# ``PhotosDisplay.from_predictions`` takes the scores of any model.

PhotosDisplay.from_predictions(
    table.photo[~train],
    scores[:, None],
    has_meat[~train],
    class_names=["meat"],
    thresholds=0.5,
    class_name="meat",
    order=["surest", "doubtful", "wrong"],
)
plt.show()
