"""An exported classifier: photos in, names out, by NumPy, Pillow and ONNX Runtime alone."""

import os
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from sklearn_cdul._utils.onnx_metadata import read_metadata
from sklearn_cdul._utils.progress import progress
from sklearn_cdul.compute.runtime import Sessions, import_onnxruntime
from sklearn_cdul.exceptions import ImageError, warn_about_failures, with_advice
from sklearn_cdul.images.checking import check_files
from sklearn_cdul.images.items import Photos, check_images
from sklearn_cdul.images.pictures import PREPROCESSING, make_picture
from sklearn_cdul.images.reading import map_images
from sklearn_cdul.images.threads import count_threads
from sklearn_cdul.inputs import stack_column
from sklearn_cdul.labels.thresholds import apply_thresholds, check_thresholds

# Vectors per call.
_AT_ONCE = 1024


def load_onnx(
    path: str | os.PathLike[str],
    *,
    on_error: Literal["raise", "nan"] = "raise",
    n_jobs: int | None = None,
    verbose: bool = False,
) -> "ONNXClassifier":
    """Load a classifier from a file that :meth:`CDULClassifier.export_onnx` wrote.

    It predicts as the classifier does, on the CPU in float32. This imports NumPy, Pillow and
    onnxruntime, but neither PyTorch nor scikit-learn, so a process is ready sooner and smaller.
    Loading a file runs none of its code.

    Parameters
    ----------
    path : str or os.PathLike
        The file. It is read once and may change or go away afterwards.
    on_error : {"raise", "nan"}, default="raise"
        What to do if an image can't be read: raise an error that names it, or predict NaN (no
        class) for it and warn once.
    n_jobs : int or None, default=None
        Number of threads. Each decodes a photo and runs the network on it; a photo that comes alone
        gets all of them. None takes one per CPU that this process may use, at most 8 for a single
        photo; -1 takes all.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    classifier : ONNXClassifier

    Raises
    ------
    OSError
        If the file can't be read, for example because it does not exist.
    ValueError
        If it is not an ONNX file, not one of this package, or of another version whose photos were
        prepared differently; or if a parameter has a wrong value.
    ImportError
        If onnxruntime is not installed.

    Examples
    --------
    >>> import sklearn_cdul
    >>> model = sklearn_cdul.load_onnx("model.onnx")  # doctest: +SKIP
    >>> model.predict_names(["a.jpg", "b.jpg"])  # doctest: +SKIP
    [['bread', 'cup'], []]
    """
    if on_error not in ("raise", "nan"):
        raise ValueError(f'on_error must be "raise" or "nan", got {on_error!r}.')
    count_threads(n_jobs)  # says what is wrong with it
    return ONNXClassifier(Path(path), on_error, n_jobs, verbose)


class ONNXClassifier:
    """A classifier in an ONNX file, as :func:`load_onnx` returns it.

    Any number of threads may share it. It can be pickled, and used in the child of a fork.

    Attributes
    ----------
    class_names_ : list of str
        Names of the k classes.
    thresholds_ : ndarray of shape (k,)
        Probabilities from which ``predict`` gives 1. You may change them.
    origin_ : dict of str to str
        What the classifier was made from: encoder, views, network, training and number of photos.
    input : {"images", "embeddings"}
        What X is.
    image_size_ : int
        Side of the network's input in pixels. Does not exist if the input is embeddings.
    n_features_in_ : int
        Size of the last axis of X. Only exists if the input is embeddings.
    """

    def __init__(self, path: Path, on_error: str, n_jobs: int | None, verbose: bool):
        self.on_error, self.n_jobs, self.verbose = on_error, n_jobs, verbose
        self._sessions = Sessions(path.read_bytes())
        session = _open_session(self._sessions, count_threads(n_jobs), path)
        try:
            texts = session.get_modelmeta().custom_metadata_map
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is damaged: {error}.") from None
        stored = read_metadata(texts, str(path))
        (given,), (result,) = session.get_inputs(), session.get_outputs()
        self.input = "images" if given.name == "pixels" else "embeddings"
        self.class_names_: list[str] = stored["class_names"]
        self.thresholds_ = check_thresholds(stored["thresholds"], result.shape[1])
        self.origin_: dict[str, str] = stored.get("origin", {})
        if self.input == "embeddings":
            self.n_features_in_: int = given.shape[1]
            self._feature_names = stored.get("feature_names")
        elif stored.get("preprocessing") == PREPROCESSING:
            self.image_size_: int = stored["image_size"]
        else:
            raise ValueError(
                f"{path} wants photos prepared in another way than this version of sklearn_cdul "
                f"does: {stored.get('preprocessing')}. Use the version that wrote it, or export "
                "the classifier again."
            )

    def __repr__(self) -> str:
        """One line with what it was made from."""
        made_by = "".join(
            f", {what} {self.origin_[what]}"
            for what in ("encoder", "network")
            if what in self.origin_
        )
        return f"<ONNXClassifier of {self.input}, {len(self.class_names_)} classes{made_by}>"

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            As for :meth:`CDULClassifier.predict_proba`.

        Returns
        -------
        probabilities : ndarray of shape (n, k), float32
            Values in [0, 1]; rows need not sum to 1. Rows of images that could not be read
            (``on_error="nan"``) are NaN.

        Raises
        ------
        ImageError
            If an image can't be read and ``on_error`` is "raise". It names its index and path.
        TypeError, ValueError
            If X has a wrong type, shape or value.
        FloatingPointError
            If the network gives NaN.
        """
        if self.input == "embeddings":
            vectors = self._check_embeddings(X)
            result, lost = self._of_embeddings(vectors), np.isnan(vectors).any(axis=1)
        else:
            photos = check_images(X)
            if self.on_error == "raise":
                check_files(photos, n_jobs=self.n_jobs, verbose=self.verbose)
            result, lost = self._of_photos(photos)
        result[lost] = np.nan
        if (wrong := np.isnan(result).any(axis=1) & ~lost).any():
            raise FloatingPointError(f"The network gave NaN for X[{np.argmax(wrong)}].")
        return result

    def predict(self, X: Any) -> np.ndarray:
        """Predict which classes are in each image.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            As for :meth:`predict_proba`, with the same errors.

        Returns
        -------
        labels : ndarray of shape (n, k), int64
            1 where the probability reaches the class's threshold, else 0. Rows of images that could
            not be read are 0.
        """
        return apply_thresholds(self.predict_proba(X), self.thresholds_)

    def predict_names(self, X: Any) -> list[list[str]]:
        """Predict the names of the classes in each image.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            As for :meth:`predict_proba`, with the same errors.

        Returns
        -------
        names : list of n lists of str
            In the order of ``class_names_``; empty if no class is found or the image could not be
            read.
        """
        names = np.asarray(self.class_names_, dtype=object)
        return [names[row].tolist() for row in self.predict(X).astype(bool)]

    def _of_photos(self, photos: Photos) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities, and which rows have none because the photo can't be read."""
        # Threads with a photo of their own wait for none of the others, as those that share one do.
        n_threads = count_threads(self.n_jobs, most=len(photos))
        is_alone = len(photos) == 1
        session = self._sessions.get(count_threads(self.n_jobs) if is_alone else 1)
        size = self.image_size_

        def run(image: Image.Image) -> np.ndarray:
            pixels = make_picture(image, size)[np.newaxis]
            rows: list[np.ndarray] = session.run(None, {"pixels": pixels})[0]
            return rows[0]

        result = np.empty((len(photos), len(self.class_names_)), dtype=np.float32)
        lost, failures = np.zeros(len(photos), dtype=bool), []
        with (
            closing(map_images(run, photos, n_jobs=n_threads, min_size=(size, size))) as found,
            progress("Predicting", len(photos), verbose=self.verbose) as bar,
        ):
            for index, row in enumerate(found):
                if not isinstance(row, ImageError):
                    result[index] = row
                elif self.on_error == "raise":
                    raise with_advice(row)
                else:
                    lost[index] = True
                    failures.append(row)
                bar.update()
        warn_about_failures(failures, len(photos))
        return result, lost

    def _check_embeddings(self, X: Any) -> np.ndarray:
        """X as an array of shape (n, d), of several views the first."""
        shape = f"(n, {self.n_features_in_}) or (n, views, {self.n_features_in_})"
        given = stack_column(X, self.on_error)
        try:
            array = np.asarray(given, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ValueError(f"X must be an array of numbers of shape {shape}: {error}") from error
        if array.ndim not in (2, 3) or array.shape[-1] != self.n_features_in_ or not array.size:
            raise ValueError(f"X must have shape {shape} and at least one row; got {array.shape}.")
        names = [str(name) for name in getattr(X, "columns", [])]
        if len(names) == self.n_features_in_ and names != (self._feature_names or names):
            raise ValueError(
                "The columns of X must have the names and the order that they had in fit."
            )
        if (np.isinf(array) if self.on_error == "nan" else ~np.isfinite(array)).any():
            raise ValueError("X contains NaN or infinity.")
        return array if array.ndim == 2 else array[:, 0]

    def _of_embeddings(self, vectors: np.ndarray) -> np.ndarray:
        session = self._sessions.get(count_threads(self.n_jobs))
        starts = range(0, len(vectors), _AT_ONCE)
        parts = [vectors[start : start + _AT_ONCE] for start in starts]
        return np.concatenate([session.run(None, {"embeddings": part})[0] for part in parts])


def _open_session(sessions: Sessions, n_threads: int, path: Path) -> Any:
    try:
        onnxruntime = import_onnxruntime()
    except ImportError as error:
        raise ImportError(
            "Loading ONNX files needs onnxruntime. Install it with pip install onnxruntime."
        ) from error
    try:
        return sessions.get(n_threads)
    except Exception as error:  # of ONNX Runtime's own types
        raise ValueError(
            f"{path} is not an ONNX file that onnxruntime {onnxruntime.__version__} can run: "
            f"{error}"
        ) from error
