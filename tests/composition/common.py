"""The estimators that these tests put into pipelines and searches."""

import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.model_selection import KFold
from sklearn.utils.fixes import parse_version

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.training import RidgeTraining

NAMES = ["vegetable", "meat", "fruit"]
LABELER = CLIPPseudoLabeler(NAMES, grid_size=1, precision="float32")
ON_PHOTOS = CDULClassifier(
    pseudo_labeler=LABELER, image_size=32, random_state=0, precision="float32"
)
ON_EMBEDDINGS = CDULClassifier(
    pseudo_labeler=CLIPPseudoLabeler(NAMES, input="embeddings"),
    training=RidgeTraining(),
    random_state=0,
)
FOLDS = KFold(3, shuffle=True, random_state=0)
with_polars = pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9")
    and not hasattr(pl.DataFrame, "__dataframe__"),
    reason="scikit-learn before 1.9 takes columns from frames of polars before 2.0 only",
)
FRAMES = [pd.DataFrame, pytest.param(pl.DataFrame, marks=with_polars)]
