"""Check X, whichever of its two kinds an estimator takes: images or embeddings."""

from collections.abc import Iterator, Mapping, Set
from itertools import filterfalse, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_cdul.images.checking import check_files
from sklearn_cdul.images.items import Photos, check_images, is_missing, python_object, shorten
from sklearn_cdul.images.threads import count_threads

if TYPE_CHECKING:  # a model in an ONNX file does without
    from sklearn.base import BaseEstimator
    from sklearn.utils import InputTags

_FOR_PATHS = 'For paths of images set input="images"'
# What an estimator records of the features of X.
_FEATURES = ("n_features_in_", "feature_names_in_")


def check_X(
    estimator: "BaseEstimator",
    X: Any,
    *,
    kind: str,
    on_error: str,
    is_fitted: bool = False,
    files: bool = False,
    n_jobs: int | None = None,
    verbose: Any = False,
) -> Photos | np.ndarray:
    """Return images as a list, or embeddings as an array of shape (n, views, d).

    With `files` and ``on_error="raise"`` all files are looked at now, not after hours of work. With
    `is_fitted`, features must be those that the estimator has recorded.
    """
    if kind == "embeddings":
        embeddings = _check_embeddings(estimator, X, on_error)
        if is_fitted:
            check_features(estimator, X, embeddings, reset=False)
        return embeddings
    count_threads(n_jobs)  # says what is wrong with it
    photos = check_images(X)
    if files and on_error == "raise":
        check_files(photos, n_jobs=n_jobs, verbose=verbose)
    return photos


def _check_embeddings(estimator: "BaseEstimator", X: Any, on_error: str) -> np.ndarray:
    from sklearn.utils.validation import check_array

    array = check_array(
        stack_column(X, on_error),
        dtype=[np.float32, np.float64],
        allow_nd=True,
        ensure_all_finite="allow-nan" if on_error == "nan" else True,
        estimator=estimator,
    )
    if array.ndim > 3:
        raise ValueError(f"Embeddings must have shape (n, d) or (n, views, d); got {array.shape}.")
    return array[:, np.newaxis] if array.ndim == 2 else array


def stack_column(X: Any, on_error: str) -> Any:
    """Stack embeddings that come one by one; anything else is returned as it is."""
    X = _to_numpy(X)
    column = _column_of(X)
    return X if column is None or not _is_vector(_first(column)) else _stack(column, on_error)


def _column_of(X: Any) -> Any:
    """The column, list or array that may hold vectors; None if only check_array can tell."""
    if hasattr(X, "shape") and hasattr(X, "columns"):
        if X.shape[1] == 1:
            return X.column(0) if hasattr(X, "column") else X[X.columns[0]]
        for name in [] if hasattr(X, "column") else list(X.columns):
            cell = _first(X[name])
            if hasattr(cell, "__len__") and not isinstance(cell, (str, bytes)):
                raise ValueError(
                    f"X is a data frame with {X.shape[1]} columns. Give only the one with the "
                    f"embeddings: X[{shorten(repr(name))}]."
                )
        return None
    if isinstance(X, np.ndarray):
        return X if X.ndim == 1 and X.dtype.kind in "OUS" else None
    is_sequence = hasattr(X, "__len__") and hasattr(X, "__getitem__")
    is_array = hasattr(X, "__array__") and not is_sequence
    if isinstance(X, (str, bytes)) or hasattr(X, "tocsr") or is_array:
        return None
    if isinstance(X, Mapping) or not is_sequence:
        raise TypeError(
            "X must be a float array of shape (n, d) or (n, views, d), or a sequence of n vectors, "
            f"got {type(X).__name__}."
        )
    return X


def _first(column: Any) -> Any:
    """The first cell that is not missing; None if there is none."""
    return next(filterfalse(is_missing, _cells(column)), None)


def _cells(column: Any) -> Iterator[Any]:
    return map(python_object, islice(column, len(column)))


def _is_vector(cell: Any) -> bool:
    """Whether a cell is an embedding; text and bytes, which may stand for one, are refused."""
    if isinstance(cell, (str, bytes)):
        way = _FOR_PATHS
        if isinstance(cell, bytes):
            way = "If it is float32: np.stack([np.frombuffer(x, np.float32) for x in X])"
        elif cell[:1] == "[":
            way = "If it is lists of numbers: np.stack([json.loads(x) for x in X])"
        kind = "text" if isinstance(cell, str) else "bytes"
        raise ValueError(f'X holds {kind}, but input="embeddings" wants numbers. {way}.')
    return hasattr(cell, "__len__") and not isinstance(cell, (Mapping, Set))


def _stack(column: Any, on_error: str) -> np.ndarray:
    """Stack the vectors of a column, all of one shape; missing ones become NaN or an error."""
    rows: list[Any] = list(map(_to_numpy, _cells(column)))
    missing = list(map(is_missing, rows))
    if any(missing) and on_error != "nan":
        raise ValueError(
            f'X[{missing.index(True)}] is missing. Leave such rows out of X, or set on_error="nan" '
            "to give them NaN."
        )
    shape: tuple[int, ...] | None = None
    for index in np.flatnonzero(np.logical_not(missing)):
        try:
            rows[index] = np.asarray(rows[index])
        except ValueError as error:  # lists of several lengths in it
            raise ValueError(f"X[{index}] is no array: its parts differ in length.") from error
        shape = rows[index].shape if shape is None else shape
        if rows[index].shape != shape:
            raise ValueError(
                f"X[{index}] has shape {rows[index].shape}, but those before it have shape "
                f"{shape}. All embeddings must be made by the same encoder with the same views."
            )
    absent = np.full(shape or (1,), np.nan)
    return np.stack([absent if gone else row for row, gone in zip(rows, missing, strict=True)])


def _to_numpy(tensor: Any) -> Any:
    """A tensor of torch as an array, and NaN for what is masked; anything else as it is."""
    if isinstance(tensor, np.ma.MaskedArray):
        return np.where(np.ma.getmaskarray(tensor), np.nan, tensor.data)
    if not all(hasattr(tensor, name) for name in ("detach", "cpu", "numpy")):
        return tensor
    tensor = tensor.detach().cpu()
    known = ("torch.float32", "torch.float64")
    if tensor.is_floating_point() and str(tensor.dtype) not in known:
        tensor = tensor.float()  # NumPy has no bfloat16
    return tensor.numpy()


def check_features(
    estimator: "BaseEstimator", X: Any, checked: Photos | np.ndarray | None, *, reset: bool
) -> None:
    """Record the number and the names of features, or compare them with those recorded.

    Features are those of one view. Images have none.
    """
    if isinstance(checked, np.ndarray):
        from sklearn.utils.validation import validate_data

        # A data frame with one column of vectors has no names for their features.
        named = hasattr(X, "columns") and X.shape[1] == checked.shape[2]
        table = X if named else checked[:, 0]
        validate_data(estimator, table, reset=reset, skip_check_array=True)
    elif reset:
        copy_features(None, estimator)


def copy_features(source: "BaseEstimator | None", target: "BaseEstimator") -> None:
    """Record of the features of X what another estimator has recorded, and nothing else."""
    for name in _FEATURES:
        vars(target).pop(name, None)
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def input_tags(kind: str) -> "InputTags":
    """Tags of scikit-learn for an estimator whose ``input`` is "images" or "embeddings"."""
    from sklearn.utils import InputTags

    embeddings = kind == "embeddings"
    return InputTags(two_d_array=embeddings, three_d_array=embeddings, string=not embeddings)
