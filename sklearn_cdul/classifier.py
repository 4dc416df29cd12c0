"""The classifier: unlabelled photos and class names in, a small multi-label network out."""

import math
from collections import defaultdict
from numbers import Integral, Real

import numpy as np
import torch
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context, clone
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted
from tqdm.auto import tqdm

from sklearn_cdul.devices import own_random_state, resolve_device, resolve_precision
from sklearn_cdul.images.reading import count_threads
from sklearn_cdul.inputs import check_X, forget_features, input_tags
from sklearn_cdul.labeler import CLIPPseudoLabeler
from sklearn_cdul.labels.neighbors import smooth_labels
from sklearn_cdul.labels.observed import check_observed
from sklearn_cdul.labels.thresholds import apply_thresholds, check_thresholds, find_thresholds
from sklearn_cdul.metrics import mean_average_precision, score_readable
from sklearn_cdul.training.alignment import LabelState, align, latents_from_labels
from sklearn_cdul.training.batches import EmbeddingBatches, PhotoBatches
from sklearn_cdul.training.network import (
    EmbeddingNetwork,
    build_photo_network,
    check_input_size,
    forward,
    parameter_groups,
    predict_logits,
    start_from_priors,
    start_from_probe,
)
from sklearn_cdul.training.onnx_export import export_onnx
from sklearn_cdul.training.state import pack_network, unpack_network

# Photos a forward pass in prediction. Small batches stay in the cache of a CPU.
_PREDICTION_BATCH = defaultdict(lambda: 256, cpu=10)
# The linear probe sees at most so many photos: it takes O(n (d + k)) memory and O(n d^2) time.
_PROBE_PHOTOS = 20_000


class CDULClassifier(ClassifierMixin, BaseEstimator):
    """Learn a multi-label photo classifier from class names, without labels.

    CLIP labels the training photos softly (:class:`CLIPPseudoLabeler`). A small network learns
    these labels, and the labels in turn follow the network ("gradient alignment", section 3.2 of
    the CDUL paper [1]_). Prediction runs the network alone.

    Parameters
    ----------
    classes : list of str, dict, {"coco", "voc", "nus-wide"} or None, default=None
        Class names, see :class:`CLIPPseudoLabeler`. None takes those of ``pseudo_labeler``, which
        are the 80 of COCO unless it names others.
    pseudo_labeler : CLIPPseudoLabeler or None, default=None
        Makes the initial labels; a clone is fitted. It has its own ``device``, ``precision``,
        ``n_jobs`` and ``verbose``. None makes one with the embedded CLIP and those of this
        classifier. With its ``memory`` set, other fits and searches encode no photo again.
    network : str or callable, default="embedded"
        "embedded" is EfficientNet-Lite0 with the ImageNet weights in this package. Else a name of
        timm, whose pretrained weights are downloaded ("resnet101" is the paper's), or a callable
        that takes ``num_classes`` and returns a torch Module giving logits, for example
        ``functools.partial(timm.create_model, "resnet18", pretrained=True)``; it is called anew in
        each fit, and a last linear layer that timm's ``get_classifier`` finds starts afresh. A
        network without pretrained weights, or in which timm finds no such layer, needs more epochs
        and higher rates than the defaults. Batch normalisation of named networks stays frozen.
        With ``input="embeddings"`` of the pseudo labeler the network is a linear layer and this is
        not used.
    image_size : int, default=224
        Side in pixels of the network's square input.
    epochs : int, default=3
        Passes over the training photos.
    warmup_epochs : int, default=1
        The first update of the labels comes after this many epochs.
    update_interval : int, default=1
        Epochs between two updates of the labels. 0 keeps the initial labels.
    update_rate : float, default=0.5
        Factor on the labels' step; 1 is the paper's.
    sigma : float, default=1.0
        Width of the Gaussian that slows down sure labels; 1 is the paper's.
    cumulative_updates : bool, default=False
        Whether an update of the labels starts from the labels as the one before left them, as in
        the paper. By default each starts from the first labels: labels then move toward the
        network only so far, and what CLIP saw is not lost over many updates.
    n_neighbors : int, default=20
        Before training, the labels of each photo are mixed with the mean labels of this many
        photos that look alike to CLIP, see :func:`sklearn_cdul.labels.smooth_labels`. Not in
        the paper; 0 turns it off. It compares all pairs of photos.
    neighbor_weight : float, default=0.4
        Weight of the neighbours in [0, 1] against the photo's own labels.
    linear_probe : bool, default=True
        Whether training begins with the output layer fitted to the labels in closed form, on the
        features of the pretrained network, see :func:`sklearn_cdul.training.linear_probe`. Not
        in the paper. With False it begins at each class's mean label, and needs a higher
        ``head_learning_rate`` and more epochs.
    batch_size : int, default=16
        Photos a training step.
    learning_rate : float, default=3e-5
        Of the pretrained layers, for AdamW; falls to 0 along a cosine. With 0 they are frozen, and
        training takes less than half the time.
    head_learning_rate : float, default=1e-4
        Of the output layer.
    weight_decay : float, default=1e-4
        Of AdamW.
    threshold : "auto", float or array of shape (k,), default="auto"
        Probability from which ``predict`` gives 1. "auto" finds one a class from the predictions
        on the training photos, without labels.
    random_state : int, RandomState instance or None, default=None
        Seed of batches, crops and new weights. On one machine's CPU the same seed gives the same
        network; on a GPU some sums are added up in changing order. Threads of one process train in
        turn, because they share torch's random state.
    device : str or torch.device, default="auto"
        "auto" takes a GPU if there is one.
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Arithmetic of the network; "auto" is bfloat16 where the hardware has it, float16 on older
        CUDA devices, else float32. Where it is float16, and with "auto" on a CPU, training runs in
        float32, and so does all of a network on embeddings with "auto".
    n_jobs : int or None, default=None
        Threads that decode images. None chooses by the number of cores.
    verbose : bool, default=False
        Show progress bars.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network, uint8 pictures (b, 3, H, W) to logits (b, k).
    pseudo_labeler_ : CLIPPseudoLabeler
        The fitted labeler. It holds no CLIP weights.
    class_names_ : list of str
        Names of the k classes.
    classes_ : ndarray of shape (k, 2)
        [0, 1] for each class, as scikit-learn's multi-label scorers expect.
    initial_pseudo_labels_ : ndarray of shape (n, k), float32
        CLIP's labels of the training photos, in [0, 1], with the observed labels in place. NaN
        rows stand for photos that could not be read.
    pseudo_labels_ : ndarray of shape (n, k), float32
        The labels after the last update, those of neighbours mixed in.
    thresholds_ : ndarray of shape (k,)
        Probabilities from which ``predict`` gives 1.
    history_ : list of dict
        For each epoch ``epoch``, ``loss`` (mean KL divergence, nats), ``label_movement`` (mean
        absolute change) and, with a validation set, ``validation_map``.
    n_features_in_ : int
        Only with embeddings as input: size of the last axis of X.

    See Also
    --------
    CLIPPseudoLabeler : The labels alone, no training.

    References
    ----------
    .. [1] R. Abdelfattah et al., "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image
       Classification", ICCV 2023, arXiv 2307.16634.

    Examples
    --------
    >>> from sklearn_cdul import CDULClassifier
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> photos = load_food_photos()
    >>> classifier = CDULClassifier(["pizza", "cake"], image_size=64, epochs=1, random_state=0)
    >>> classifier.fit(photos.data[:8]).predict(photos.data[8:12]).shape
    (4, 2)
    """

    _parameter_constraints = {
        "classes": ["array-like", dict, str, None],
        "pseudo_labeler": [CLIPPseudoLabeler, None],
        "network": [str, callable],
        "image_size": [Interval(Integral, 32, None, closed="left")],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "warmup_epochs": [Interval(Integral, 1, None, closed="left")],
        "update_interval": [Interval(Integral, 0, None, closed="left")],
        "update_rate": [Interval(Real, 0, None, closed="left")],
        "sigma": [Interval(Real, 0, None, closed="neither")],
        "cumulative_updates": ["boolean"],
        "n_neighbors": [Interval(Integral, 0, None, closed="left")],
        "neighbor_weight": [Interval(Real, 0, 1, closed="both")],
        "linear_probe": ["boolean"],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="left")],
        "head_learning_rate": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "threshold": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="both"), "array-like"],
        "random_state": ["random_state"],
        "precision": [str],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        classes=None,
        *,
        pseudo_labeler=None,
        network="embedded",
        image_size=224,
        epochs=3,
        warmup_epochs=1,
        update_interval=1,
        update_rate=0.5,
        sigma=1.0,
        cumulative_updates=False,
        n_neighbors=20,
        neighbor_weight=0.4,
        linear_probe=True,
        batch_size=16,
        learning_rate=3e-5,
        head_learning_rate=1e-4,
        weight_decay=1e-4,
        threshold="auto",
        random_state=None,
        device="auto",
        precision="auto",
        n_jobs=None,
        verbose=False,
    ):
        self.classes = classes
        self.pseudo_labeler = pseudo_labeler
        self.network = network
        self.image_size = image_size
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.update_interval = update_interval
        self.update_rate = update_rate
        self.sigma = sigma
        self.cumulative_updates = cumulative_updates
        self.n_neighbors = n_neighbors
        self.neighbor_weight = neighbor_weight
        self.linear_probe = linear_probe
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.threshold = threshold
        self.random_state = random_state
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y=None, *, observed=None, X_val=None, y_val=None):
        """Label the photos with CLIP and train the network on them.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Training photos, see :class:`CLIPPseudoLabeler`.
        y : array of length n, or None
            There for cross-validation, which scores with it. Its length is checked; training
            never sees its values.
        observed : array of shape (n, k) or None, default=None
            Labels that a person gave: 1, 0, or NaN where unobserved. They are never changed. The
            columns of a data frame are matched to the classes by name.
        X_val, y_val : sequence of images and array of shape (m, k), or None
            Validation photos with labels; only for the mAP in ``history_``.

        Returns
        -------
        self : CDULClassifier

        Raises
        ------
        ImageError
            If an image can't be read and the labeler's ``on_error`` is "raise".
        ValueError
            If X is empty, y has another length, ``observed`` or ``y_val`` has the wrong shape or
            values, or a parameter has a wrong value.
        TypeError
            If X is no sequence of images, or the callable ``network`` returns no Module.
        WeightsUnavailableError
            If weights of the encoder or the network can't be had.
        """
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        device = resolve_device(self.device)
        resolve_precision(self.precision, device)  # a wrong one fails before X is read
        count_threads(self.n_jobs)

        labeler = self._make_labeler().fit(X)
        precision = self._precision(labeler, device)
        X = _check_input(labeler, X, labeler)
        check_consistent_length(X, y)
        names = list(labeler.class_names_)
        observed = check_observed(observed, len(X), names)
        thresholds = None
        if not isinstance(self.threshold, str):
            thresholds = check_thresholds(self.threshold, len(names))
        validation = None
        if X_val is not None:
            y_val = check_array(y_val, input_name="y_val")
            X_val = _check_input(labeler, X_val, labeler)
            if y_val.shape != (len(X_val), len(names)):
                raise ValueError(
                    f"y_val must have shape {(len(X_val), len(names))}, one row an image of X_val "
                    f"and one column a class; got {y_val.shape}."
                )
            # Fails now, not after the first epoch, if these labels can't be scored with.
            mean_average_precision(y_val, np.zeros(y_val.shape))
            validation = self._batches(labeler, X_val, device), y_val

        with own_random_state(seed):
            # Before the long part, so that a wrong name or missing weights show at once.
            network = self._make_network(labeler, X, len(names)).to(
                device, memory_format=torch.channels_last
            )
            embeddings = X if labeler.input == "embeddings" else labeler.embed(X)
            labels = labeler._soft_labels(embeddings)
            labels = np.where(np.isnan(observed) | np.isnan(labels), labels, observed)
            readable = np.flatnonzero(~np.isnan(labels).any(axis=1))
            if len(readable) == 0:
                raise ValueError("None of the images in X could be read.")
            start = labels[readable]
            whole = embeddings[readable, 0]
            del embeddings  # those of all views, ten times as many
            if self.n_neighbors:
                start = smooth_labels(
                    start, whole, n_neighbors=self.n_neighbors, weight=self.neighbor_weight
                )
            state = LabelState(
                latents_from_labels(torch.tensor(start, dtype=torch.float32)).to(device),
                torch.tensor(observed[readable], device=device),
            )
            images = [X[index] for index in readable]
            start_from_priors(network, state.labels())
            if self.linear_probe:
                self._probe(network, labeler, images, state.labels(), precision)
            batches = self._batches(labeler, images, device)
            history = self._train(network, batches, state, validation, precision)

        refined = np.full_like(labels, np.nan)
        refined[readable] = state.labels().cpu().numpy()
        if thresholds is None:
            thresholds = find_thresholds(expit(predict_logits(network, batches, precision)))

        # All at once, so that a fit that was interrupted leaves the last one as it was.
        self.pseudo_labeler_ = labeler
        self.class_names_ = names
        self.classes_ = np.tile([0, 1], (len(names), 1))
        forget_features(self)
        for name in ("n_features_in_", "feature_names_in_"):  # the labeler has none with images
            if hasattr(labeler, name):
                setattr(self, name, getattr(labeler, name))
        self.network_ = network.eval()
        self.history_ = history
        self.initial_pseudo_labels_ = labels
        self.pseudo_labels_ = refined
        self.thresholds_ = thresholds
        return self

    def decision_function(self, X):
        """Logits of the network.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.

        Returns
        -------
        logits : ndarray of shape (n, k), float32
            NaN rows stand for images that could not be read (``on_error="nan"`` of the labeler).
        """
        check_is_fitted(self)
        device = resolve_device(self.device)
        X = _check_input(self, X, self.pseudo_labeler_)
        batches = self._batches(self.pseudo_labeler_, X, device, _PREDICTION_BATCH[device.type])
        network = self.network_.to(device)
        return predict_logits(network, batches, self._precision(self.pseudo_labeler_, device))

    def predict_proba(self, X):
        """Probability of each class, the sigmoid of the logits.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Of the same kind as in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n, k), float32
            Values in [0, 1]. The classes of a photo need not sum to 1.
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
        y : array of shape (n, k) or (n,)
            1 where the class is in the image, else 0. A vector holds the one class of each image,
            as its column; with a single class 1 or 0.
        sample_weight : array of shape (n,) or None, default=None
            Weight of each image, at least 0.

        Returns
        -------
        score : float
            Mean over the classes that occur in y, in [0, 1].

        Raises
        ------
        ValueError
            If y is missing, has the wrong shape or other values, or has no positives, or if a
            weight is negative.
        """
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

    @staticmethod
    def paper_settings():
        """Parameters of the paper, for training and updates.

        Together with ``CLIPPseudoLabeler(model_name="RN50x64", pretrained="openai")`` they come as
        near to the paper as this class can. What still differs: the learning rate falls along a
        cosine, the output layer starts at each class's mean label, batch normalisation is frozen,
        step B takes the mean of the predictions that step A made since the last one, and there is
        none after the last epoch.

        Returns
        -------
        parameters : dict
            For ``CDULClassifier(**parameters)`` or ``set_params``. Written down from the paper and
            from its reproducibility study (arXiv 2405.11574).

        Examples
        --------
        >>> from sklearn_cdul import CDULClassifier
        >>> CDULClassifier(**CDULClassifier.paper_settings()).epochs
        100
        """
        return {
            "network": "resnet101",
            "epochs": 100,
            "warmup_epochs": 10,
            "update_interval": 10,
            "update_rate": 1.0,
            "sigma": 1.0,
            "cumulative_updates": True,
            "n_neighbors": 0,
            "linear_probe": False,
            "batch_size": 8,
            "learning_rate": 1e-5,
            "head_learning_rate": 1e-5,
            "weight_decay": 0.0,
        }

    def _make_labeler(self):
        if self.pseudo_labeler is None:
            labeler = CLIPPseudoLabeler(
                device=self.device,
                precision=self.precision,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            )
        else:
            labeler = clone(self.pseudo_labeler)
        return labeler if self.classes is None else labeler.set_params(classes=self.classes)

    def _precision(self, labeler, device):
        if self.precision == "auto" and labeler.input == "embeddings":
            return torch.float32  # one linear layer costs nothing
        return resolve_precision(self.precision, device)

    def _training_precision(self, precision, device):
        # The small gradients of float16 would vanish. On a CPU, bfloat16 makes the backward pass
        # through depthwise convolutions four times slower, and no network faster that we tried.
        auto_on_cpu = self.precision == "auto" and device.type == "cpu"
        return torch.float32 if precision == torch.float16 or auto_on_cpu else precision

    def _make_network(self, labeler, X, n_classes):
        if labeler.input == "embeddings":
            return EmbeddingNetwork(torch.tensor(X[:, 0], dtype=torch.float32), n_classes)
        network = build_photo_network(self.network, n_classes)
        check_input_size(network, self.image_size, n_classes)
        return network

    def _batches(self, labeler, X, device, batch_size=None):
        batch_size = int(self.batch_size if batch_size is None else batch_size)
        if labeler.input == "embeddings":
            return EmbeddingBatches(
                np.stack([views[0] for views in X]), batch_size=batch_size, device=device
            )
        return PhotoBatches(
            X,
            image_size=self.image_size,
            batch_size=batch_size,
            device=device,
            n_jobs=self.n_jobs,
            on_error=labeler.on_error,
        )

    def _probe(self, network, labeler, images, labels, precision):
        some = torch.randperm(len(images))[:_PROBE_PHOTOS].sort().values
        device = labels.device
        batches = self._batches(
            labeler, [images[index] for index in some], device, _PREDICTION_BATCH[device.type]
        )
        precision = self._training_precision(precision, device)
        start_from_probe(network, batches, labels[some.to(device)], precision)

    def _train(self, network, batches, state, validation, precision):
        training_precision = self._training_precision(precision, state.latents.device)
        optimizer = torch.optim.AdamW(
            parameter_groups(network, self.learning_rate, self.head_learning_rate),
            weight_decay=self.weight_decay,
        )
        steps = self.epochs * batches.steps_per_epoch
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps))
        )

        with tqdm(total=steps, desc="Training", unit="batch", disable=not self.verbose) as bar:

            def on_epoch(record):
                if validation is not None:
                    logits = predict_logits(network, validation[0], precision)
                    record["validation_map"] = score_readable(validation[1], logits)
                bar.set_postfix({k: f"{v:.4g}" for k, v in record.items()})

            try:
                return align(
                    network,
                    optimizer,
                    state,
                    batches.training,
                    epochs=self.epochs,
                    warmup_epochs=self.warmup_epochs,
                    update_interval=self.update_interval,
                    update_rate=self.update_rate,
                    sigma=self.sigma,
                    cumulative_updates=self.cumulative_updates,
                    forward=lambda network, inputs: forward(network, inputs, training_precision),
                    scheduler=scheduler,
                    on_batch=bar.update,
                    on_epoch=on_epoch,
                )
            except torch.cuda.OutOfMemoryError as error:
                raise torch.cuda.OutOfMemoryError(
                    "The GPU has too little memory to train with "
                    f"batch_size={self.batch_size} and image_size={self.image_size}. Set one of "
                    f'them lower, or device="cpu". ({error})'
                ) from error

    def __getstate__(self):
        """State for files: the network as arrays, so that any machine can load it."""
        state = dict(super().__getstate__())  # it may be our own __dict__
        if "network_" in state:
            state["network_"] = pack_network(state["network_"], len(state["class_names_"]))
        return state

    def __setstate__(self, state):
        """Take a state over; the network is built anew, on the CPU."""
        state = dict(state)
        if "network_" in state:
            state["network_"] = unpack_network(state["network_"])
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


def _check_input(estimator, X, labeler):
    return check_X(estimator, X, kind=labeler.input, on_error=labeler.on_error, reset=False)
