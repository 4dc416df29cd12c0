"""The classifier: unlabelled photos and class names in, a small multi-label network out."""

import os
from collections.abc import Mapping
from itertools import compress
from numbers import Integral, Real

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_cdul._utils.origin import describe
from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.saving import SavingMixin
from sklearn_cdul.class_names.checking import warn_about_absent_classes
from sklearn_cdul.compute.devices import (
    OwnRandomState,
    gradients_on,
    memory_format,
    resolve_device,
)
from sklearn_cdul.exceptions import each_warning_once, warn
from sklearn_cdul.images.digests import digest_of_X
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.inputs import check_X, copy_features, input_tags
from sklearn_cdul.labeler import CLIPPseudoLabeler, documented
from sklearn_cdul.labels.absent import find_absent
from sklearn_cdul.labels.calibration import calibrate, count_photos, no_calibration
from sklearn_cdul.labels.decisions import find_decisions, update_decisions
from sklearn_cdul.labels.neighbors import find_neighbors, mix_labels, place_observed
from sklearn_cdul.labels.thresholds import apply_thresholds, check_thresholds
from sklearn_cdul.metrics import mean_average_precision, score_readable
from sklearn_cdul.targets import read_targets
from sklearn_cdul.targets.reading import warn_about_scores
from sklearn_cdul.targets.rows import index_of
from sklearn_cdul.training import GradientTraining, RidgeTraining, resolve_training
from sklearn_cdul.training.alignment import check_memory
from sklearn_cdul.training.batches import EmbeddingSource, PhotoSource
from sklearn_cdul.training.building import (
    is_image_tower,
    pack_network,
    resolve_image_size,
    unpack_network,
)
from sklearn_cdul.training.logits import predict_logits
from sklearn_cdul.training.onnx_export import export_onnx
from sklearn_cdul.training.ranks import Ranks
from sklearn_cdul.training.regions import MOST_REGIONS
from sklearn_cdul.training.zero_shot import ZeroShot

# Fewer than this many training photos give rise to a warning.
_FEW_PHOTOS = 10
# Parameters that the labeler has, too: a value given here counts for both.
_SHARED = ("classes", "memory", "on_error", "device", "n_jobs", "verbose")


@documented
class CDULClassifier(SavingMixin, ClassifierMixin, BaseEstimator):
    """Learn a multi-label photo classifier from class names, without labels.

    CLIP gives the training photos soft labels (:class:`CLIPPseudoLabeler`). A small network is
    trained on them, and the labels in turn are updated toward its predictions ("gradient
    alignment", section 3.2 of the CDUL paper [1]_). Prediction runs the network alone.

    ``classes``, ``memory``, ``on_error``, ``device``, ``n_jobs`` and ``verbose`` are parameters of
    the labeler, too. A value given here counts for both; the default leaves it to
    ``pseudo_labeler``.

    Parameters
    ----------
    classes : list of str, dict, {"coco", "voc", "nus-wide"} or None, default=None
        Class names, see :class:`CLIPPseudoLabeler`.
    pseudo_labeler : CLIPPseudoLabeler or None, default=None
        Makes the initial labels; a clone of it is fitted. None makes one with default parameters.
    network : str or callable, default="bundled"
        "bundled" is EfficientNet-Lite2 with the ImageNet weights in this package. Any other string
        is the name of a timm model, whose pretrained weights are downloaded ("resnet101" is the
        paper's); its batch normalisation stays frozen. A callable takes ``num_classes`` and returns
        a torch Module that gives logits, for example ``functools.partial(timm.create_model,
        "resnet18", pretrained=True)``. It is called in each fit, and the last linear layer that
        timm's ``get_classifier`` finds is trained from scratch. A network without pretrained
        weights or without such a layer needs ``training=GradientTraining(...)``. With
        ``input="embeddings"`` of the pseudo labeler the network is a linear layer, and this
        parameter is ignored.
    image_size : int or "auto", default="auto"
        Side of the network's square input in pixels. "auto" is 320 for "bundled" and for timm
        models that take any size, the size of the other timm models, and 224 for callables and for
        names that point to a hub or a folder. A larger input shows smaller objects; time grows with
        its square.
    regions : int, default=2
        Number of rows and columns of regions of the feature map. They and the whole map go through
        the same output layer, and a logit is 0.7 times that of the whole plus 0.3 times the largest
        of a region, so that small objects count more. This is not in the paper and costs next to no
        time. 1 averages the whole map only, as in pretraining; so do networks whose feature map
        can't be reached by timm's methods.
    training : {"ridge", "gradients"}, RidgeTraining or GradientTraining, default="ridge"
        How the network is trained and the labels are updated. "ridge" freezes the pretrained layers
        and fits the output layer in closed form, see
        :class:`~sklearn_cdul.training.RidgeTraining`. "gradients" trains all layers, as in the
        paper, which takes many times as long, see
        :class:`~sklearn_cdul.training.GradientTraining`. Pass an object to set their parameters.
    n_neighbors : int, default=20
        Number of neighbours. Before training, the labels of each photo are mixed with the mean
        labels of the photos most similar to it for CLIP, see
        :func:`sklearn_cdul.labels.smooth_labels`. This is not in the paper; 0 turns it off.
    neighbor_weight : float, default=0.4
        Weight in [0, 1] of the neighbours' labels against the photo's own.
    zero_shot_weight : float, default=0.4
        Weight w in [0, 1] of what the encoder itself says of a photo. It counts where the network
        is the encoder's image tower with frozen layers (``training="ridge"``, and images): the
        bundled encoder and network, or an open_clip encoder and the timm network with its weights,
        such as "ViT-B-32" and "vit_base_patch32_clip_224.openai". A logit is then 1 - w times that
        of the output layer plus w times that of the encoder's label, less a constant, read off the
        same pass, for which the classes compete with some 2,000 other names. So a class is rarely
        found where it does not stand out against these, and few photos that show none of the
        classes get a name. Classes that no training photo seems to show are found in none, see
        ``absent_classes_``. 0 turns all of this off. It is not in the paper. :ref:`The guide
        <open-world>` says what it gains and costs.
    threshold : "auto", float or array of shape (k,), default="auto"
        Probability from which ``predict`` gives 1. "auto" finds one threshold per class on the
        training photos, without labels or with those that are ``observed``. To change those of a
        fitted classifier, use :meth:`set_thresholds` or, with some labels, :meth:`fit_thresholds`.
    random_state : int, RandomState instance or None, default=None
        Seed of batches, crops and new weights, and of the random samples that stand for more than
        20,000 photos. With the default network and training, fewer photos and the same machine,
        the result does not depend on it. On a CPU the same seed gives the same network, except for
        rounding; on a GPU some sums are computed in varying order. Since all threads of a process
        share torch's random state, gradient training in one thread waits for that in another.
    memory : str, os.PathLike or None, default=None
        Folder in which CLIP's embeddings and the features of the frozen network are stored, so that
        another fit, a search, or a fit that was interrupted computes none of them again.
    on_error : {"raise", "nan"} or None, default=None
        What to do if an image can't be read: raise an error that names it, or ignore it in
        training, predict NaN (no class) for it and warn once.
    device : str, torch.device or None, default=None
        "auto" uses a CUDA device if there is one. Use "mps" for a Mac's GPU.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Precision of the network; the labeler has its own. "auto" is bfloat16 where the hardware
        supports it, float16 on older CUDA devices, else float32. Training runs in float32 if this
        is float16, and with "auto" on a CPU. With "auto" float32 is also used for prediction with
        the layers of "bundled" on a CPU, where it is faster, and for a network on embeddings.
    n_jobs : int or None, default=None
        Number of threads that decode images. None chooses by the number of cores.
    verbose : bool, default=False
        Show a progress bar for each phase. Bars of phases longer than two seconds stay.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network: uint8 pictures (b, 3, H, W) to logits (b, k).
    image_size_ : int
        Side of its input in pixels. Does not exist if the input is embeddings.
    pseudo_labeler_ : CLIPPseudoLabeler
        The fitted labeler. It holds no CLIP weights.
    class_names_ : list of str
        Names of the k classes.
    classes_ : ndarray of shape (k, 2)
        [0, 1] for each class, as scikit-learn's multi-label scorers expect.
    initial_pseudo_labels_ : ndarray of shape (n, k), float32
        CLIP's labels of the training photos, in [0, 1], with the observed labels in place. Rows of
        photos that could not be read are NaN.
    pseudo_labels_ : ndarray of shape (n, k), float32
        The labels, mixed with those of neighbours, after the last update.
    thresholds_ : ndarray of shape (k,)
        Probabilities from which ``predict`` gives 1.
    auto_thresholds_ : ndarray of shape (k,)
        The thresholds that "auto" stands for, whatever ``threshold`` is. Those of absent classes,
        which get 1 instead, are here as they were found.
    absent_classes_ : list of str
        Classes that no training photo seems to show. With "auto" their threshold is 1, which no
        photo reaches. Empty if the network is not the encoder's image tower, see
        ``zero_shot_weight``.
    calibration_ : ndarray of shape (k, 3)
        For each class the slope and the offset by which the network's logits become those of
        probabilities, and the standard deviation of the offset, for :meth:`expected_counts`.
    auto_calibration_ : ndarray of shape (k, 3)
        That of ``fit``, to which "auto" goes back.
    history_ : list of dict
        For each epoch ``epoch``, ``loss`` (mean KL divergence, nats), ``label_movement`` (mean
        absolute change) and, with a validation set, ``validation_map``.
    X_digest_ : str or None
        Identifies the training photos, by their paths or their pixels.
    n_features_in_ : int
        Size of the last axis of X. Only exists if the input is embeddings.

    See Also
    --------
    CLIPPseudoLabeler : The labels alone, without training.

    {paper}

    Examples
    --------
    >>> from sklearn_cdul import CDULClassifier
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> photos = load_food_photos()
    >>> classifier = CDULClassifier(["pizza", "cake"], image_size=64, random_state=0)
    >>> classifier.fit(photos.data[:12]).predict(photos.data[12:16]).shape
    (4, 2)
    """

    _parameter_constraints = {
        "classes": ["array-like", dict, str, None],
        "pseudo_labeler": [CLIPPseudoLabeler, None],
        "network": [str, callable],
        "image_size": [StrOptions({"auto"}), Interval(Integral, 32, None, closed="left")],
        "regions": [Interval(Integral, 1, MOST_REGIONS, closed="both")],
        "training": [StrOptions({"ridge", "gradients"}), RidgeTraining, GradientTraining],
        "n_neighbors": [Interval(Integral, 0, None, closed="left")],
        "neighbor_weight": [Interval(Real, 0, 1, closed="both")],
        "zero_shot_weight": [Interval(Real, 0, 1, closed="both")],
        "threshold": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), "array-like"],
        "random_state": ["random_state"],
        "memory": [str, os.PathLike, None],
        "on_error": [StrOptions({"raise", "nan"}), None],
        "precision": [str],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        classes=None,
        *,
        pseudo_labeler=None,
        network="bundled",
        image_size="auto",
        regions=2,
        training="ridge",
        n_neighbors=20,
        neighbor_weight=0.4,
        zero_shot_weight=0.4,
        threshold="auto",
        random_state=None,
        memory=None,
        on_error=None,
        device=None,
        precision="auto",
        n_jobs=None,
        verbose=False,
    ):
        self.classes = classes
        self.pseudo_labeler = pseudo_labeler
        self.network = network
        self.image_size = image_size
        self.regions = regions
        self.training = training
        self.n_neighbors = n_neighbors
        self.neighbor_weight = neighbor_weight
        self.zero_shot_weight = zero_shot_weight
        self.threshold = threshold
        self.random_state = random_state
        self.memory = memory
        self.on_error = on_error
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    def set_params(self, **params):
        """Set parameters of this estimator, of the labeler and of the training.

        Parameters
        ----------
        **params : dict
            By name. One of ``training__``, such as ``training__sigma``, turns "ridge" or
            "gradients" into the object that has it, and one of ``pseudo_labeler__`` turns None into
            a labeler.

        Returns
        -------
        self : CDULClassifier
        """
        training = params.get("training", self.training)
        if isinstance(training, str) and any(name.startswith("training__") for name in params):
            params["training"] = resolve_training(training)
        labeler = params.get("pseudo_labeler", self.pseudo_labeler)
        if labeler is None and any(name.startswith("pseudo_labeler__") for name in params):
            params["pseudo_labeler"] = CLIPPseudoLabeler()
        return super().set_params(**params)

    @_fit_context(prefer_skip_nested_validation=False)
    @gradients_on()
    @each_warning_once()
    def fit(self, X, y=None, *, observed=None, X_val=None, y_val=None):
        """Label the photos with CLIP and train the network on them.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Training photos, see :class:`CLIPPseudoLabeler`.
        y : array of length n, or None
            Present for cross-validation, which uses it for scoring. Its length is checked; training
            never uses its values.
        observed : array of shape (n, k), names, data frame, CSV file or None, default=None
            Annotations: 1, 0, or NaN where unobserved. They are never changed, and calibrate the
            probabilities and thresholds, as in :meth:`fit_thresholds`. Names, frames and
            files, also of some photos and classes only, are matched to the classes by name and to
            the photos by path or index, see :func:`~sklearn_cdul.targets.read_targets`.
        X_val, y_val : sequence of images and array of shape (m, k), or None
            Validation photos with labels, used only for the mAP in ``history_``. ``y_val`` may be
            anything that ``score`` takes as y.

        Returns
        -------
        self : CDULClassifier

        Raises
        ------
        ImageError
            If an image can't be read and ``on_error`` is not "nan".
        TypeError, ValueError
            If X, y, ``observed``, ``y_val``, a parameter or what the callable ``network`` returns
            has a wrong type, shape or value.
        OSError
            If weights can't be found or downloaded (``WeightsUnavailableError``), or the folder
            ``memory`` or ``checkpoint`` can't be used.
        FloatingPointError
            If the encoder or the network gives NaN or infinity.
        MemoryError
            If the labels need more memory than this machine has.
        """
        # What can be known beforehand fails now, not after hours of encoding.
        training, labeler = resolve_training(self.training), CLIPPseudoLabeler()
        if self.pseudo_labeler is not None:
            labeler = clone(self.pseudo_labeler)
        labeler.set_params(**self._shared(labeler))
        photos = self._check_X(X, labeler)
        check_consistent_length(photos, y)
        encoder = labeler._encoder()
        labeler._fit(X, photos, encoder)
        names = list(labeler.class_names_)
        check_memory(len(photos), len(names))
        warn_about_scores(y, names)
        if observed is not None:
            observed = read_targets(observed, names, X, name="observed")
        if not isinstance(self.threshold, str):
            check_thresholds(self.threshold, len(names))
            _by_name(self.threshold, names)
        size = pictures = None
        if labeler.input == "images":
            size = resolve_image_size(self.image_size, self.network)
            # Whoever decodes a photo makes the network's picture of it, too.
            pictures = PictureCache(len(photos), training.picture_sizes(size))
        validation = self._check_validation(labeler, X_val, y_val, size)
        source = self._source(photos, labeler, size, cache=pictures)
        seed = self._seed(training)
        random = OwnRandomState(seed, source.device)
        with random, progress("Loading the network", verbose=labeler.verbose):
            network = source.build_network(self.network, len(names), regions=int(self.regions))
        training.check(network)

        seen = _label(labeler, photos, encoder, source, pictures)
        labels = seen[:, : len(names)].copy()
        readable = readable_rows(labels)
        neighbors = self._neighbors(labeler, seen[readable, len(names) :], seed)
        del seen
        self._learn(
            labeler,
            network,
            source.select(readable),
            labels,
            neighbors,
            tower=self._tower(labeler, encoder, network),
            digest=digest_of_X(photos),
            training=training,
            size=size,
            observed=observed,
            validation=validation,
            random=random,
        )
        if isinstance(self.threshold, str):
            warn_about_absent_classes(self.absent_classes_, len(names))
        return self

    def _learn(
        self,
        labeler,
        network,
        source,
        labels,
        neighbors,
        *,
        tower,
        digest,
        training,
        size,
        observed=None,
        validation=None,
        random,
    ):
        """Train on labels (n, k), NaN where a photo can't be read; all else is of the others.

        ``tower`` is the encoder whose image tower the network is, or None.
        """
        names = list(labeler.class_names_)
        readable = np.flatnonzero(~np.isnan(labels).any(axis=1))
        start, known, fixed = labels[readable], None, None
        if observed is not None:
            known = observed[readable]
            start, fixed = place_observed(start, known)
        start = mix_labels(start, neighbors, self.neighbor_weight)
        if tower is not None:
            self._keep_texts(network, labeler, tower)
        labeler.offload()
        trained = training.train(
            network,
            source,
            Ranks().agree(start),
            random=random,
            observed=fixed,
            validation=validation,
            memory=labeler.memory if size else None,
        )
        moved = np.full_like(labels, np.nan)
        moved[readable] = trained.labels
        if observed is not None:
            given = ~np.isnan(observed) & ~np.isnan(labels)
            labels, moved = (np.where(given, observed, own) for own in (labels, moved))
        with progress("Finding thresholds", verbose=labeler.verbose):
            calibration, thresholds = find_decisions(
                trained.logits,
                trained.seen,
                trained.thresholds,
                None if known is None else known[trained.rows],
            )
        opened = trained.open_labels
        absent = () if opened is None else find_absent(opened, observed)

        # All at once, so that a fit that was interrupted leaves the last one as it was.
        fitted = {
            "pseudo_labeler_": labeler,
            "class_names_": names,
            "classes_": np.tile([0, 1], (len(names), 1)),
            "X_digest_": digest,
            "network_": network.eval(),
            "history_": trained.history,
            "initial_pseudo_labels_": labels,
            "pseudo_labels_": moved,
            "calibration_": calibration.copy(),
            "auto_calibration_": calibration,
            "auto_thresholds_": thresholds,
            "thresholds_": thresholds,  # for those of a Series to take their places in
            "absent_classes_": list(compress(names, absent)),
        }
        vars(self).pop("image_size_", None)
        copy_features(labeler, self)
        vars(self).update(fitted if size is None else fitted | {"image_size_": size})
        self.set_thresholds(self.threshold)
        return trained

    def _neighbors(self, labeler, vectors, seed):
        """Photos that look alike, by vectors of the readable ones."""
        with progress("Comparing photos", verbose=labeler.verbose and self.n_neighbors):
            return find_neighbors(vectors, self.n_neighbors, seed)

    @staticmethod
    def paper_settings():
        """Parameters that come as near to the paper as possible.

        Use them with ``CLIPPseudoLabeler(model_name="RN50x64", pretrained="openai")``. Differences
        remain: the learning rate decays along a cosine, the output layer starts at each class's
        mean label, batch normalisation is frozen, step B uses the mean of the predictions made
        during step A since the last one, and does not follow the last epoch. ``image_size`` is not
        set.

        Returns
        -------
        parameters : dict
            For ``CDULClassifier(**parameters)`` or ``set_params``. From the paper and from its
            reproducibility study (arXiv 2405.11574).

        Examples
        --------
        >>> from sklearn_cdul import CDULClassifier
        >>> CDULClassifier(**CDULClassifier.paper_settings()).training.epochs
        100
        """
        return {
            "network": "resnet101",
            "regions": 1,
            "n_neighbors": 0,
            "training": GradientTraining(
                epochs=100,
                warmup_epochs=10,
                update_interval=10,
                update_rate=1.0,
                sigma=1.0,
                cumulative_updates=True,
                batch_size=8,
                learning_rate=1e-5,
                head_learning_rate=1e-5,
                weight_decay=0.0,
                head_init="mean",
            ),
        }

    def set_thresholds(self, threshold):
        """Set the thresholds of a fitted classifier, without training.

        Parameters
        ----------
        threshold : "auto", float, array of shape (k,), Series or dict
            As the parameter ``threshold``, which is not changed. "auto" goes back to those of
            ``fit``, and to its probabilities. A dict, or a Series whose index has names, maps class
            names to thresholds; those of other classes stay as they are.

        Returns
        -------
        self : CDULClassifier

        Raises
        ------
        TypeError, ValueError
            If a name is not a class, or a threshold is not a number in [0, 1].
        """
        check_is_fitted(self, "auto_thresholds_")
        names = self.class_names_
        if isinstance(threshold, str) and threshold == "auto":
            self.thresholds_ = np.where(self._is_absent(), 1.0, self.auto_thresholds_)
            self.calibration_ = self.auto_calibration_.copy()
        elif (given := _by_name(threshold, names)) is not None:
            thresholds = self.thresholds_.copy()
            for name, value in given.items():
                thresholds[names.index(name)] = check_thresholds(value, 1)[0]
            self.thresholds_ = thresholds
        else:
            self.thresholds_ = check_thresholds(threshold, len(names))
        return self

    def fit_thresholds(self, X, y):
        """Calibrate probabilities and thresholds on labelled photos, without training.

        Both start from those of ``fit``. The probabilities come nearer to how often the labels say
        yes, and the thresholds to the best F1; the fewer labels, the less, see
        :func:`sklearn_cdul.labels.fit_thresholds`. "No" counts, too: a class with negatives alone
        has a threshold above them, and is found in no more photos. 10 to 100 labelled photos are
        enough, or some answers per class. They may be drawn at random or be doubtful ones, as a
        :class:`~sklearn_cdul.review.LabelReport` shows them.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``. Photos that were not in the training are better, and
            labels that the training had as ``observed`` are used already.
        y : array of shape (n, k) or (n,), names of each image, data frame or CSV file
            Labels as in :meth:`score`. Photos without a label are not read. Classes in
            ``absent_classes_`` without a positive label keep the threshold 1.

        Returns
        -------
        self : CDULClassifier
            With new ``thresholds_`` and ``calibration_``. Another ``fit`` goes back to the
            parameter ``threshold``.

        Raises
        ------
        ValueError
            If y has the wrong shape, names or values, or no labels, or if no labelled image can be
            read.
        """
        check_is_fitted(self)
        y = read_targets(y, self.class_names_, X)
        source = self._open(X, files=False)
        rows = np.flatnonzero(np.isin(y, (0, 1)).any(axis=1))
        if len(rows) == 0:
            raise ValueError("y has no labels; the thresholds stay.")
        logits = self._logits(source.select(rows), calibrated=False)
        if np.isnan(logits).all():
            raise ValueError("None of the labelled images could be read; the thresholds stay.")
        self.calibration_, thresholds = update_decisions(
            self.auto_calibration_, self.auto_thresholds_, y[rows], logits, logits
        )
        still_absent = self._is_absent() & ~(y[rows] == 1).any(axis=0)
        self.thresholds_ = np.where(still_absent, 1.0, thresholds)
        return self

    @documented
    def decision_function(self, X):
        """Logits of the probabilities.

        Each is linear in a logit of the network, see ``calibration_``. With ``regions`` above 1 the
        output layer gives 0.7 times the logit of the whole photo plus 0.3 times the largest of a
        region. See ``zero_shot_weight`` for what is added to it.

        Parameters
        ----------
        {X}

        Returns
        -------
        logits : ndarray of shape (n, k), float32
            Rows of images that could not be read (``on_error="nan"``) are NaN.

        {Raises}
        """
        check_is_fitted(self)
        return self._logits(self._open(X))

    @documented
    def predict_proba(self, X):
        """Probability of each class, the sigmoid of :meth:`decision_function`.

        Without labels it is a guess: a photo at the threshold found without labels shows the class
        with a probability of 0.25, or less if the class does not stand out. ``observed`` labels and
        :meth:`fit_thresholds` calibrate it.

        Parameters
        ----------
        {X}

        Returns
        -------
        probabilities : ndarray of shape (n, k), float32
            Values in [0, 1]; rows need not sum to 1. Rows of images that could not be read are NaN.

        {Raises}
        """
        return expit(self.decision_function(X))

    @documented
    def expected_counts(self, X):
        """How many photos show each class, by the sum of the probabilities [1]_.

        The interval allows for chance and for probabilities that are off. Without labels counts are
        rough and it is wide; it shrinks with those of ``observed`` and :meth:`fit_thresholds`, best
        with some of each class. Thresholds have no influence: classes in ``absent_classes_``, which
        :meth:`predict` finds in no photo, have small counts above 0.

        Parameters
        ----------
        {X}

        Returns
        -------
        counts : ndarray of shape (k,)
            Expected number of photos, of those that could be read.
        low, high : ndarrays of shape (k,)
            Ends of an interval that is to hold nine counts of ten, in [0, n].

        {Raises}

        References
        ----------
        .. [1] A. Bella et al., "Quantification via Probability Estimators", ICDM 2010.
        """
        check_is_fitted(self)
        return count_photos(self._logits(self._open(X), calibrated=False), self.calibration_)

    @documented
    def predict(self, X):
        """Predict which classes are in each image.

        Parameters
        ----------
        {X}

        Returns
        -------
        labels : ndarray of shape (n, k), int64
            1 where the probability reaches the class's threshold, else 0. Rows of images that could
            not be read are 0.

        {Raises}
        """
        return apply_thresholds(self.predict_proba(X), self.thresholds_)

    @documented
    def predict_names(self, X):
        """Predict the names of the classes in each image.

        Parameters
        ----------
        {X}

        Returns
        -------
        names : list of n lists of str
            In the order of ``class_names_``; empty if no class is found or the image could not be
            read.

        {Raises}
        """
        labels = self.predict(X).astype(bool)
        names = np.asarray(self.class_names_, dtype=object)
        return [names[row].tolist() for row in labels]

    @documented
    def score(self, X, y=None, sample_weight=None):
        """Mean average precision on labelled images; those that can't be read are ignored.

        Parameters
        ----------
        {X}
        {score}
        """
        check_is_fitted(self)
        source = self._open(X)
        y = read_targets(y, self.class_names_, X)  # fails before the photos are decoded
        return score_readable(y, self._logits(source), sample_weight)

    def export_onnx(self, path):
        """Export the network to an ONNX file, which runs without PyTorch.

        :func:`sklearn_cdul.load_onnx` loads it, with the predictions of this classifier. The graph
        takes a batch of any size: ``pixels``, uint8 of shape (b, 3, image_size,
        image_size), or ``embeddings``, float32 of shape (b, d), if the labeler's ``input`` is
        "embeddings". It returns ``probabilities``, float32 of shape (b, k). The metadata of the
        file hold class names, thresholds and what becomes of photos before, see
        ``docs/persistence.rst``, which also predicts without this package.

        Parameters
        ----------
        path : str or os.PathLike
            The file to write. An existing file is replaced.

        Raises
        ------
        ImportError
            If onnx or onnxscript is not installed, or torch is older than 2.9.
        torch.onnx.OnnxExporterError
            If torch cannot export the network that a callable returned.
        """
        check_is_fitted(self)
        export_onnx(self, path)

    def _is_absent(self):
        return np.isin(self.class_names_, self.absent_classes_)

    def _tower(self, labeler, encoder, network):
        """The encoder, if the network is its image tower and stays so; else None."""
        is_frozen = isinstance(resolve_training(self.training), RidgeTraining)
        if not (self.zero_shot_weight and is_frozen and labeler.input == "images"):
            return None
        if isinstance(self.network, str) and self.network == "bundled" and labeler._is_bundled():
            return encoder  # without a look, for which the encoder would run
        return encoder if is_image_tower(network, encoder) else None

    def _keep_texts(self, network, labeler, encoder):
        """Give the network what the encoder knows of the classes, and of other names."""
        given = np.concatenate([labeler.text_embeddings_, labeler.background_embeddings_])
        names, sources, owners = labeler._other_names(encoder)
        columns = np.concatenate([np.arange(len(labeler.class_names_)), sources])
        part = ZeroShot(
            encoder._projection,
            given,
            names,
            sources,
            owners,
            labeler._gains(np.concatenate([given, names])[columns]),
            scale=1 / encoder.temperature,
            weight=self.zero_shot_weight,
        )
        network.zero_shot = part.to(next(network.parameters()).device)

    def _logits(self, source, *, calibrated=True):
        layout = memory_format(source.device)
        network = self.network_.to(source.device, memory_format=layout)
        logits = predict_logits(network, source)
        return calibrate(logits, self.calibration_) if calibrated else logits

    def _shared(self, labeler, *names):
        """Shared parameters as they stand: those given here, else the labeler's."""
        values = {name: getattr(self, name) for name in names or _SHARED}
        is_given = {
            name: value is not None and value is not False for name, value in values.items()
        }
        return {n: v if is_given[n] else getattr(labeler, n) for n, v in values.items()}

    def _check_X(self, X, labeler, *, is_fitted=False, files=True):
        """X as a list of photos or an array of embeddings, by default with a look at all files."""
        reading = self._shared(labeler, "on_error", "n_jobs", "verbose")
        return check_X(self, X, kind=labeler.input, is_fitted=is_fitted, files=files, **reading)

    def _source(self, photos, labeler, size, *, cache=None, stored=True):
        """Photos or vectors as the network takes them; what is `stored` need not be made again."""
        options = self._shared(labeler, "device", "verbose") | {"precision": self.precision}
        options["device"] = resolve_device(options["device"])
        if labeler.input == "images":
            options |= self._shared(labeler, "n_jobs", "on_error")
            contents = labeler._contents(photos) if stored else None
            return PhotoSource(photos, image_size=size, cache=cache, contents=contents, **options)
        return EmbeddingSource(photos[:, 0], **options)

    def _open(self, X, *, files=True):
        """Check photos that the fitted network will see."""
        labeler = self.pseudo_labeler_
        photos = self._check_X(X, labeler, is_fitted=True, files=files)
        return self._source(photos, labeler, getattr(self, "image_size_", None), stored=False)

    def _seed(self, training):
        # A fit that goes on must draw the same numbers again, as must the processes of one fit.
        shared = getattr(training, "checkpoint", None) is not None or Ranks().count > 1
        unseeded = self.random_state is None and shared
        random_state = check_random_state(0 if unseeded else self.random_state)
        return random_state.randint(np.iinfo(np.int32).max)

    def _check_validation(self, labeler, X_val, y_val, size):
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        if X_val is None:
            return None
        y_val = read_targets(y_val, labeler.class_names_, X_val, name="y_val")
        # Fails now, not after the first epoch, if these labels can't be scored with.
        mean_average_precision(y_val, np.zeros(y_val.shape))
        photos = self._check_X(X_val, labeler)
        return self._source(photos, labeler, size), y_val

    def __str__(self):
        """The parameters, and of a fitted classifier what it comes from."""
        return describe(self)

    def __getstate__(self):
        """State for files: the network as arrays, so that any machine can load it."""
        state = super().__getstate__()
        if "network_" in state:
            state["network_"] = pack_network(state["network_"], len(state["class_names_"]))
        return state

    def __setstate__(self, state):
        """Take a state over; the network is built anew, on the CPU."""
        state = dict(state)
        if "network_" in state:
            state["network_"] = unpack_network(state["network_"])
            # What a fit sets since some version.
            plain = no_calibration(len(state["class_names_"]))
            later = {
                "X_digest_": None,
                "auto_thresholds_": state.get("thresholds_"),
                "calibration_": plain,
                "auto_calibration_": plain.copy(),
                "history_": [],
                "absent_classes_": [],
            }
            state = later | state
        super().__setstate__(state)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = input_tags(getattr(self.pseudo_labeler, "input", "images"))
        tags.target_tags.required = False
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.multi_class = False
        return tags


def _label(labeler, photos, encoder, source, pictures):
    """Labels of the photos and, beside them, vectors of each."""
    if labeler.input != "images":
        return labeler._label(photos)
    options = {"cache": pictures, "function": labeler._label}
    return labeler._embed(photos, encoder, source.contents, **options)


def _by_name(threshold, class_names):
    """Thresholds by names of classes, of a mapping or a series; None if they bear no names."""
    index = index_of(threshold)
    is_series = index is not None and any(isinstance(name, str) for name in index)
    if not (is_series or isinstance(threshold, Mapping)):
        return None
    given = dict(threshold.items())
    for name in given:
        if name not in class_names:
            raise ValueError(f"{name!r} is not one of the classes {class_names}.")
    return given


def readable_rows(labels):
    """Rows of the photos that have labels."""
    readable = np.flatnonzero(~np.isnan(labels).any(axis=1))
    if len(readable) == 0:
        raise ValueError("None of the images in X can be used; the warning above says why.")
    if len(readable) < _FEW_PHOTOS:
        warn(
            f"{len(readable)} photos are too few to learn from: the network learns what photos "
            "of a class have in common, and thresholds are found from how scores are spread "
            "over the photos. Give more, or take CLIPPseudoLabeler alone, which does not train."
        )
    return readable
