"""What a fitted classifier says of photos: scores, names, cuts, and a file for other programs."""

from collections.abc import Mapping

import numpy as np
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul.compute.devices import memory_format, resolve_device
from sklearn_cdul.inputs import check_X
from sklearn_cdul.labels.thresholds import apply_thresholds, check_thresholds, fit_thresholds
from sklearn_cdul.metrics import label_columns, mean_average_precision, score_readable
from sklearn_cdul.targets.checking import check_targets
from sklearn_cdul.training.batches import make_source
from sklearn_cdul.training.building import resolve_image_size
from sklearn_cdul.training.logits import predict_logits
from sklearn_cdul.training.onnx_export import export_onnx


class PredictionMixin:
    """The methods of :class:`~sklearn_cdul.CDULClassifier` that train nothing."""

    def set_thresholds(self, threshold):
        """Cut the probabilities of a fitted classifier elsewhere; nothing is trained.

        Parameters
        ----------
        threshold : "auto", float, array of shape (k,) or dict
            As the parameter ``threshold``, which stays as it is. A dict from names of classes to
            numbers leaves the thresholds of other classes as they are.

        Returns
        -------
        self : CDULClassifier

        Raises
        ------
        TypeError, ValueError
            If a name is no class, or a threshold is no number in [0, 1].

        See Also
        --------
        fit_thresholds : Finds thresholds with labels of some photos.
        """
        check_is_fitted(self, "auto_thresholds_")
        n_classes = len(self.class_names_)
        if isinstance(threshold, str) and threshold == "auto":
            self.thresholds_ = self.auto_thresholds_.copy()
        elif isinstance(threshold, Mapping):
            thresholds = self.thresholds_.copy()
            for name, value in threshold.items():
                if name not in self.class_names_:
                    raise ValueError(f"{name!r} is not one of the classes {self.class_names_}.")
                thresholds[self.class_names_.index(name)] = check_thresholds(value, 1)[0]
            self.thresholds_ = thresholds
        else:
            self.thresholds_ = check_thresholds(threshold, n_classes)
        return self

    def fit_thresholds(self, X, y):
        """Move the thresholds toward what labels of some photos say; nothing is trained.

        Of each class the threshold with the highest F1 on these photos is drawn to the one that was
        found without labels, the more the fewer positives there are, see
        :func:`sklearn_cdul.labels.fit_thresholds`. Some 10 to 100 labelled photos serve, if they
        are drawn at random: doubtful ones alone give worse cuts.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``; they may be photos of the training.
        y : array of shape (n, k) or (n,), names of each image, data frame or CSV file
            Labels as in :meth:`score`. Classes without a positive label keep
            ``auto_thresholds_``. Photos without a label are not read.

        Returns
        -------
        self : CDULClassifier
            With new ``thresholds_``. Another ``fit`` goes back to the parameter ``threshold``.

        Raises
        ------
        ValueError
            If y has the wrong shape, names or values, or no positives.

        See Also
        --------
        set_thresholds : Takes thresholds that you choose.
        """
        check_is_fitted(self)
        y = check_targets(y, self.class_names_, X=X)  # fails before the photos are read
        source = self._source(X, self.pseudo_labeler_, estimator=self)
        y = label_columns(y, len(source), len(self.class_names_))
        mean_average_precision(y, np.zeros(y.shape))  # fails if there are no positives
        rows = np.flatnonzero(np.isin(y, (0, 1)).any(axis=1))
        probabilities = expit(self._logits(source.select(rows)))
        self.thresholds_ = fit_thresholds(probabilities, y[rows], self.auto_thresholds_)
        return self

    def set_params(self, **params):
        """Set parameters; ``threshold`` serves a fitted classifier at once.

        Parameters
        ----------
        **params : dict
            Names and values, as in the constructor; ``pseudo_labeler__NAME`` for the labeler's.

        Returns
        -------
        self : CDULClassifier
        """
        super().set_params(**params)
        if "threshold" in params and hasattr(self, "auto_thresholds_"):
            self.set_thresholds(self.threshold)
        return self

    def decision_function(self, X):
        """Logits of the network.

        With regions each is 0.7 times that of the whole photo plus 0.3 times the largest of a
        region, see ``regions``.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.

        Returns
        -------
        logits : ndarray of shape (n, k), float32
            NaN rows stand for images that could not be read (``on_error="nan"``).

        Raises
        ------
        ImageError
            If an image can't be read and ``on_error`` is not "nan".
        TypeError, ValueError
            If X is not of the kind that ``fit`` got, or is empty.
        FloatingPointError
            If the network gives NaN or infinity.
        """
        check_is_fitted(self)
        return self._logits(self._source(X, self.pseudo_labeler_, estimator=self))

    def _logits(self, source):
        layout = memory_format(source.device)
        network = self.network_.to(source.device, memory_format=layout)
        return predict_logits(network, source)

    def predict_proba(self, X):
        """Probability of each class, the sigmoid of the logits.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n, k), float32
            Values in [0, 1]. The classes of a photo need not sum to 1. NaN rows stand for images
            that could not be read.

        Raises
        ------
        ImageError, TypeError, ValueError, FloatingPointError
            See :meth:`decision_function`.
        """
        return expit(self.decision_function(X))

    def predict(self, X):
        """Which classes are in each image.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.

        Returns
        -------
        labels : ndarray of shape (n, k), int64
            1 where the probability reaches the class's threshold, else 0. An image that could not
            be read has zeros.

        Raises
        ------
        ImageError, TypeError, ValueError, FloatingPointError
            See :meth:`decision_function`.
        """
        return apply_thresholds(self.predict_proba(X), self.thresholds_)

    def predict_names(self, X):
        """Names of the classes in each image.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.

        Returns
        -------
        names : list of n lists of str
            In the order of ``class_names_``; empty where no class is found, and for an image that
            could not be read.

        Raises
        ------
        ImageError, TypeError, ValueError, FloatingPointError
            See :meth:`decision_function`.
        """
        labels = self.predict(X).astype(bool)
        names = np.asarray(self.class_names_, dtype=object)
        return [names[row].tolist() for row in labels]

    def score(self, X, y=None, sample_weight=None):
        """Mean average precision on labelled images that can be read.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.
        y : array of shape (n, k) or (n,), names of each image, data frame or CSV file
            1 where the class is in the image, 0 where it is not, NaN where nobody knows. Names,
            frames and files are matched to the classes by name and to the images by path or index,
            see :func:`~sklearn_cdul.targets.check_targets`. A vector holds the one class of each
            image, as its name or column; with a single class 1 or 0.
        sample_weight : array of shape (n,) or None, default=None
            Weight of each image, at least 0.

        Returns
        -------
        score : float
            Mean over the classes that occur in y, in [0, 1].

        Raises
        ------
        ValueError
            If y is missing, has the wrong shape, names or values, or has no positives, or if a
            weight is negative.
        """
        check_is_fitted(self)
        y = check_targets(y, self.class_names_, X=X)  # fails before the photos are read
        return score_readable(y, self.decision_function(X), sample_weight)

    def export_onnx(self, path):
        """Write the network to an ONNX file, which gives probabilities without this package.

        The graph takes a batch of any size: ``pixels``, uint8 of shape (b, 3, image_size,
        image_size), or ``embeddings``, float32 of shape (b, d), if the labeler's ``input`` is
        "embeddings". It gives ``probabilities``, float32 of shape (b, k), computed in float32.
        The file's metadata has ``class_names``, ``thresholds`` and, for photos, ``image_size``
        as JSON. ``docs/persistence.rst`` says how photos become ``pixels``.

        Parameters
        ----------
        path : str or os.PathLike
            The file to write. A file of that name is replaced.

        Raises
        ------
        ImportError
            If onnx or onnxscript is not installed.
        torch.onnx.OnnxExporterError
            If the network, made by a callable, does what torch's exporter cannot express.
        """
        check_is_fitted(self)
        export_onnx(self, path)

    def _source(self, X, labeler, *, estimator=None, cache=None):
        """Photos or vectors as the network takes them, checked for what the labeler's input is."""
        kind, on_error = labeler.input, self.on_error or labeler.on_error
        size = getattr(estimator, "image_size_", None)  # once it is fitted, its network decides
        if kind == "images" and size is None:
            size = resolve_image_size(self.image_size, self.network)
        checked = check_X(estimator or labeler, X, kind=kind, on_error=on_error, reset=False)
        return make_source(
            checked,
            device=resolve_device(self.device),
            precision=self.precision,
            image_size=size,
            n_jobs=self.n_jobs,
            on_error=on_error,
            cache=cache,
            verbose=self.verbose,
        )
