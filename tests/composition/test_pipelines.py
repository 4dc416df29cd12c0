"""Both estimators as steps of a pipeline."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.labels.thresholds import apply_thresholds
from tests.composition.common import FRAMES, LABELER, NAMES, ON_EMBEDDINGS, ON_PHOTOS, with_polars


@pytest.mark.parametrize(
    "last",
    [
        OneVsRestClassifier(LogisticRegression()),
        KMeans(2, random_state=0),
        FunctionTransformer(apply_thresholds, kw_args={"thresholds": [0.4, 0.4, 0.2]}),
    ],
    ids=lambda last: type(last).__name__,
)
def test_soft_labels_are_features_for_the_next_step(last, paths, labels, y):
    pipeline = make_pipeline(LABELER, last).fit(paths, y[:8])
    alone = clone(last).fit(labels, y[:8])
    method = "predict" if hasattr(last, "predict") else "transform"
    assert_array_equal(getattr(pipeline, method)(paths), getattr(alone, method)(labels))


def test_names_of_classes_pass_through_a_pipeline(paths):
    pipeline = make_pipeline(clone(LABELER), StandardScaler()).set_output(transform="pandas")
    assert pipeline.fit_transform(paths).columns.tolist() == NAMES
    assert pipeline.get_feature_names_out().tolist() == NAMES


def test_a_pipeline_may_keep_the_soft_labels_in_a_cache(paths, labels, tmp_path):
    for _ in range(2):
        pipeline = make_pipeline(LABELER, StandardScaler(), memory=str(tmp_path)).fit(paths)
        assert_allclose(pipeline[-1].mean_, labels.mean(axis=0), rtol=1e-6)


def test_labelers_side_by_side_give_their_columns_in_turn(paths, labels):
    union = FeatureUnion([("food", LABELER), ("place", CLIPPseudoLabeler(["street", "kitchen"]))])
    columns = union.fit_transform(paths[:3])
    assert columns.shape == (3, 5)
    assert_allclose(columns[:, :3], labels[:3], atol=1e-5)
    names = [*(f"food__{name}" for name in NAMES), "place__street", "place__kitchen"]
    assert union.get_feature_names_out().tolist() == names


@pytest.mark.parametrize("column", ["photo", ["photo"]], ids=["a name", "a list of names"])
@pytest.mark.parametrize("frame", FRAMES, ids=["pandas", "polars"])
@pytest.mark.parametrize(
    "container", ["default", "pandas", pytest.param("polars", marks=with_polars)]
)
def test_the_photos_may_be_a_column_of_a_frame(column, frame, container, paths, labels):
    table = frame({"day": np.arange(8.0), "photo": paths})
    transformer = make_column_transformer((clone(LABELER), column), (StandardScaler(), ["day"]))
    transformer.set_output(transform=container)
    columns = transformer.fit_transform(table)
    assert_array_equal(np.asarray(columns)[:, :3], labels)
    names = [f"clippseudolabeler__{name}" for name in NAMES]
    assert transformer.get_feature_names_out().tolist() == [*names, "standardscaler__day"]
    assert type(columns).__module__.split(".")[0] == container.replace("default", "numpy")


@pytest.mark.parametrize("frame", FRAMES, ids=["pandas", "polars"])
def test_a_classifier_takes_the_photos_from_a_column(frame, paths):
    table = frame({"day": np.arange(8.0), "photo": paths})
    pipeline = make_pipeline(make_column_transformer(("passthrough", ["photo"])), ON_PHOTOS)
    expected = clone(ON_PHOTOS).fit(paths).predict_proba(paths)
    assert_array_equal(pipeline.fit(table).predict_proba(table), expected)


def test_an_earlier_step_may_embed_the_photos(paths, y):
    embed = FunctionTransformer(LABELER.embed)
    pipeline = make_pipeline(embed, ON_EMBEDDINGS).fit(paths)
    embeddings = LABELER.embed(paths)
    classifier = clone(ON_EMBEDDINGS).fit(embeddings)
    assert_array_equal(pipeline.predict(paths), classifier.predict(embeddings))
    assert pipeline.score(paths, y[:8]) == classifier.score(embeddings, y[:8])
