"""Embeddings are stacked however a table or a torch program keeps them; what is wrong is named."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
from sklearn_cdul._utils.estimators import final_estimator

VECTORS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
LISTS = VECTORS.tolist()


class Words(BaseEncoder):
    temperature = 0.1

    def encode_text(self, prompts):
        return np.random.default_rng(1).normal(size=(len(prompts), 4))


def labels_of(X, on_error="raise"):
    labeler = CLIPPseudoLabeler(
        ["a cat", "a dog"], model_name=Words(), input="embeddings", on_error=on_error
    )
    labeler.fit(X)
    assert labeler.n_features_in_ == 4
    return labeler.transform(X)


@pytest.mark.parametrize(
    "X",
    [
        list(VECTORS),
        tuple(LISTS),
        np.array([*VECTORS, None], dtype=object)[:5],
        pd.Series(list(VECTORS), index=[9, 8, 7, 6, 5]),
        pd.Series(LISTS),
        pd.DataFrame({"embedding": list(VECTORS)}),
        pd.DataFrame(VECTORS, columns=list("abcd")),
        pl.Series(LISTS),
        pl.Series(VECTORS),
        pl.DataFrame({"embedding": LISTS}),
        torch.tensor(VECTORS),
        torch.tensor(VECTORS, requires_grad=True),
        torch.tensor(VECTORS)[:, None],
        list(torch.tensor(VECTORS)),
        VECTORS[:, None],
        list(VECTORS[:, None]),
    ],
)
def test_embeddings_of_any_form_give_the_same_labels(X):
    np.testing.assert_allclose(labels_of(X), labels_of(VECTORS), rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_tensors_are_read(dtype):
    tensor = torch.tensor(VECTORS).to(dtype)
    expected = labels_of(tensor.float().numpy())
    np.testing.assert_array_equal(labels_of(tensor), expected)
    np.testing.assert_array_equal(labels_of(list(tensor)), expected)


def test_tensors_on_a_gpu_are_read():
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    np.testing.assert_array_equal(labels_of(torch.tensor(VECTORS).cuda()), labels_of(VECTORS))


def test_pyarrow_columns_are_read():
    pa = pytest.importorskip("pyarrow")
    for X in (pa.array(LISTS), pa.chunked_array([LISTS]), pa.table({"embedding": LISTS})):
        np.testing.assert_allclose(labels_of(X), labels_of(VECTORS), rtol=1e-5)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("make", [list, lambda rows: pd.Series(rows, dtype=object)])
def test_a_missing_row_is_named_or_becomes_nan(make, missing):
    X = make([LISTS[0], LISTS[1], missing, LISTS[2]])
    with pytest.raises(ValueError, match=r'X\[2\] is missing.*on_error="nan"'):
        labels_of(X)
    assert np.isnan(labels_of(X, "nan")).all(axis=1).tolist() == [False, False, True, False]


def test_what_is_masked_is_missing():
    X = np.ma.masked_array(VECTORS, mask=np.zeros_like(VECTORS))
    np.testing.assert_array_equal(labels_of(X), labels_of(VECTORS))
    X[1, 2] = np.ma.masked
    with pytest.raises(ValueError, match="NaN"):
        labels_of(X)
    assert np.isnan(labels_of(X, "nan")).all(axis=1).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([*LISTS[:2], LISTS[2][:3]], r"X\[2\] has shape \(3,\), but.*\(4,\)"),
        (pd.Series([*LISTS[:2], LISTS[2][:3]]), r"X\[2\] has shape \(3,\)"),
        ([[[1.0, 2.0], [3.0]]], r"X\[0\] is no array"),
        (pd.DataFrame({"a": LISTS, "b": LISTS}), r"2 columns.*X\['a'\]"),
        (pd.DataFrame({"id": ["a"], "embedding": LISTS[:1]}), r"X\['embedding'\]"),
        (["a.jpg"], 'set input="images"'),
        (pd.Series(["[0.5, 1.0]"]), r"np.stack\(\[json.loads\(x\) for x in X\]\)"),
        ([VECTORS[0].tobytes()], "np.frombuffer"),
        ((row for row in VECTORS), "got generator"),
        ({"a": VECTORS}, "got dict"),
    ],
)
def test_what_holds_no_embeddings_is_named(X, message):
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        labels_of(X)
    assert len(str(caught.value)) < 300


def test_searches_and_pipelines_are_unwrapped_at_any_depth():
    inner = GaussianNB()
    assert (
        final_estimator(inner) is inner
        and final_estimator(make_pipeline(make_pipeline(inner))) is inner
    )
    search = GridSearchCV(make_pipeline(inner), {}, cv=2).fit(VECTORS[:4], [0, 1, 0, 1])
    assert isinstance(final_estimator(make_pipeline(search)), GaussianNB)
    assert final_estimator(GridSearchCV(inner, {})).estimator is inner  # not fitted
