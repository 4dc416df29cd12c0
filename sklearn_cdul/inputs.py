"""Check X, whichever of its two kinds an estimator takes: images or embeddings."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import InputTags
from sklearn.utils.validation import check_array, validate_data

from sklearn_cdul.images.reading import check_images


def check_X(
    estimator: BaseEstimator, X: Any, *, kind: str, on_error: str, reset: bool | None
) -> list[Any] | np.ndarray:
    """Return images as a list, or embeddings as an array of shape (n, views, d).

    Parameters
    ----------
    estimator : estimator
        Named in messages; of embeddings it records, or compares, the number and names of features.
    X : sequence of images, or array of shape (n, d) or (n, views, d)
        What the user gave.
    kind : {"images", "embeddings"}
        What `X` is to be.
    on_error : {"raise", "nan"}
        With "nan" embeddings may be NaN.
    reset : bool or None
        True sets `n_features_in_` and `feature_names_in_`, or deletes them for images; False
        compares with them; None does neither.

    Returns
    -------
    X : list, or float ndarray of shape (n, views, d)
        Embeddings have dtype float32 or float64.

    Raises
    ------
    TypeError, ValueError
        If `X` is not of its kind, is empty, or has other features than in fit.
    """
    if kind == "images":
        if reset:
            forget_features(estimator)
        return check_images(X)
    array = check_array(
        X,
        dtype=[np.float32, np.float64],
        allow_nd=True,
        ensure_all_finite="allow-nan" if on_error == "nan" else True,
        estimator=estimator,
    )
    if array.ndim > 3:
        raise ValueError(f"Embeddings must have shape (n, d) or (n, views, d); got {array.shape}.")
    views = array[:, np.newaxis] if array.ndim == 2 else array
    if reset is not None:  # the number and the names of features are those of one view
        validate_data(
            estimator, X if array.ndim == 2 else views[:, 0], reset=reset, skip_check_array=True
        )
    return views


def forget_features(estimator: BaseEstimator) -> None:
    """Delete what an earlier fit recorded of the features of X.

    Parameters
    ----------
    estimator : estimator
        Changed in place.
    """
    for name in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(name, None)


def input_tags(kind: str) -> InputTags:
    """Tags of scikit-learn for an estimator whose ``input`` is "images" or "embeddings".

    Parameters
    ----------
    kind : {"images", "embeddings"}
        What X holds.

    Returns
    -------
    tags : InputTags
    """
    embeddings = kind == "embeddings"
    return InputTags(two_d_array=embeddings, three_d_array=embeddings, string=not embeddings)
