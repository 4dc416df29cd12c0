"""Check X, whichever of its two kinds an estimator takes: images or embeddings."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import InputTags
from sklearn.utils.validation import check_array, validate_data

from sklearn_cdul.images.photos import Photos
from sklearn_cdul.images.reading import check_images

# What an estimator records of the features of X.
_FEATURES = ("n_features_in_", "feature_names_in_")


def check_X(
    estimator: BaseEstimator, X: Any, *, kind: str, on_error: str, reset: bool | None = None
) -> Photos | np.ndarray:
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
    reset : bool or None, default=None
        See `check_features`; None does not call it.

    Returns
    -------
    X : Photos, or float ndarray of shape (n, views, d)
        Embeddings have dtype float32 or float64.

    Raises
    ------
    TypeError, ValueError
        If `X` is not of its kind, is empty, or has other features than in fit.
    """
    checked = check_images(X) if kind == "images" else _check_embeddings(estimator, X, on_error)
    if reset is not None:
        check_features(estimator, X, checked, reset=reset)
    return checked


def _check_embeddings(estimator: BaseEstimator, X: Any, on_error: str) -> np.ndarray:
    array = check_array(
        X,
        dtype=[np.float32, np.float64],
        allow_nd=True,
        ensure_all_finite="allow-nan" if on_error == "nan" else True,
        estimator=estimator,
    )
    if array.ndim > 3:
        raise ValueError(f"Embeddings must have shape (n, d) or (n, views, d); got {array.shape}.")
    return array[:, np.newaxis] if array.ndim == 2 else array


def check_features(
    estimator: BaseEstimator, X: Any, checked: Photos | np.ndarray | None, *, reset: bool
) -> None:
    """Record the number and the names of features, or compare them with those recorded.

    Features are those of one view. Images have none.

    Parameters
    ----------
    estimator : estimator
        Changed in place if `reset` is true.
    X : sequence of images or array of embeddings
        What the user gave; a data frame has names.
    checked : Photos, ndarray or None
        What `check_X` returned for it; None if there is no X.
    reset : bool
        True sets `n_features_in_` and `feature_names_in_`, or deletes them if `checked` is no
        array; False compares with them.

    Raises
    ------
    ValueError
        If `X` has other features than in fit.
    """
    if isinstance(checked, np.ndarray):
        table = X if hasattr(X, "columns") else checked[:, 0]
        validate_data(estimator, table, reset=reset, skip_check_array=True)
    elif reset:
        forget_features(estimator)


def check_dimensions(embeddings: np.ndarray, text_embeddings: np.ndarray) -> None:
    """Refuse embeddings of another length than the class names have.

    Parameters
    ----------
    embeddings : ndarray of shape (n, views, d)
        Of images.
    text_embeddings : ndarray of shape (k, d)
        Of class names.

    Raises
    ------
    ValueError
        If the lengths differ.
    """
    if embeddings.shape[2] != text_embeddings.shape[1]:
        raise ValueError(
            f"X has {embeddings.shape[2]} features, but the encoder embeds class names in "
            f"{text_embeddings.shape[1]} dimensions. Make the embeddings with the same encoder."
        )


def forget_features(estimator: BaseEstimator) -> None:
    """Delete what an earlier fit recorded of the features of X.

    Parameters
    ----------
    estimator : estimator
        Changed in place.
    """
    for name in _FEATURES:
        vars(estimator).pop(name, None)


def copy_features(source: BaseEstimator, target: BaseEstimator) -> None:
    """Record for one estimator what another has recorded of the features of X.

    Parameters
    ----------
    source, target : estimators
        The target is changed in place.
    """
    forget_features(target)
    for name in _FEATURES:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


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
