"""The classifier: unlabelled photos and class names in, a small multi-label network out."""

import os
from numbers import Integral, Real

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_consistent_length

from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.saving import SavingMixin
from sklearn_cdul.compute.devices import (
    OwnRandomState,
    gradients_on,
    resolve_device,
    resolve_precision,
)
from sklearn_cdul.initial_labels import fit_labeler, label_photos, place_labels
from sklearn_cdul.inputs import copy_features, input_tags
from sklearn_cdul.labeler import CLIPPseudoLabeler
from sklearn_cdul.labels.thresholds import check_thresholds, find_thresholds
from sklearn_cdul.metrics import label_columns, mean_average_precision
from sklearn_cdul.prediction import PredictionMixin
from sklearn_cdul.targets.checking import check_observed, check_targets, warn_about_scores
from sklearn_cdul.training import GradientTraining, RidgeTraining, resolve_training
from sklearn_cdul.training.alignment import check_memory
from sklearn_cdul.training.batches import PhotoSource
from sklearn_cdul.training.packing import pack_network, unpack_network
from sklearn_cdul.training.ranks import Ranks
from sklearn_cdul.training.regions import MOST_REGIONS


class CDULClassifier(PredictionMixin, SavingMixin, ClassifierMixin, BaseEstimator):
    """Learn a multi-label photo classifier from class names, without labels.

    CLIP labels the training photos softly (:class:`CLIPPseudoLabeler`). A small network learns
    these labels, and the labels in turn follow the network ("gradient alignment", section 3.2 of
    the CDUL paper [1]_). Prediction runs the network alone.

    Parameters
    ----------
    classes : list of str, dict, {"coco", "voc", "nus-wide"} or None, default=None
        Class names, see :class:`CLIPPseudoLabeler`. None takes those of ``pseudo_labeler``, which
        are the 80 of MS-COCO, with a warning, unless it names others.
    pseudo_labeler : CLIPPseudoLabeler or None, default=None
        Makes the initial labels; a clone is fitted. It has its own ``device``, ``precision`` and
        ``n_jobs``. None makes one with the bundled CLIP and those of this classifier.
    network : str or callable, default="bundled"
        "bundled" is EfficientNet-Lite2 with the ImageNet weights in this package. Else a name of
        timm, whose pretrained weights are downloaded ("resnet101" is the paper's), or a callable
        that takes ``num_classes`` and returns a torch Module giving logits, for example
        ``functools.partial(timm.create_model, "resnet18", pretrained=True)``; it is called anew in
        each fit, and a last linear layer that timm's ``get_classifier`` finds starts afresh. A
        network without pretrained weights, or in which timm finds no such layer, needs a
        ``learning_rate`` and more epochs. Batch normalisation of named networks stays frozen.
        With ``input="embeddings"`` of the pseudo labeler the network is a linear layer and this is
        not used.
    image_size : int or "auto", default="auto"
        Side in pixels of the network's square input. "auto" is 320 for "bundled" and for networks
        of timm that take any size, else the size they were made for; 224 for callables and for
        names that point to a hub or a folder. A larger input shows smaller objects, and time grows
        with its square.
    regions : int, default=2
        The network looks at its feature map as a whole and at so many rows and columns of regions
        of it, all through the same output layer: a logit is 0.7 times that of the whole plus 0.3
        times the largest of a region. So objects that fill a small part of the photo count more.
        Not in the paper. It costs next to no time. 1 averages the map alone, as the network did
        when it was pretrained; so do networks without a feature map that timm's methods give.
    epochs : int, default=3
        How often the network is trained and the labels are then updated: fits in closed form with
        frozen layers, see ``learning_rate``, else passes over the training photos.
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
        Whether the output layer is fitted to the labels in closed form, on the features of the
        pretrained network, see :func:`sklearn_cdul.training.linear_probe`. With frozen layers each
        epoch is such a fit, and the labels then follow what it would say of each photo if it had
        not seen it; else training begins with one. Not in the paper. With False the layer begins
        at each class's mean label, and needs a higher ``head_learning_rate`` and more epochs.
    batch_size : int, default=16
        Photos a gradient step.
    learning_rate : float, default=0
        Of the pretrained layers, for AdamW; falls to 0 along a cosine. With 0 they are frozen: each
        photo goes through them once, and with the linear probe no gradient is needed at all. (Where
        what the output layer receives would take more than 2 GiB, 26 kB a photo for "bundled",
        each epoch reads the photos and takes gradient steps.) 3e-5 trains them, which takes many
        times as long and gains little with some hundred photos.
    head_learning_rate : float, default=1e-4
        Of the output layer, where it is trained with gradients.
    weight_decay : float, default=1e-4
        Of AdamW, where gradient steps are taken.
    threshold : "auto", float or array of shape (k,), default="auto"
        Probability from which ``predict`` gives 1. "auto" finds one a class, without labels, on the
        training photos: with the linear probe on the middle between the network's logits and those
        that the probe would give of each photo if it had not seen it; else on the network's.
        ``set_params(threshold=...)`` serves a fitted classifier at once; with labels of some photos
        use :meth:`fit_thresholds`.
    random_state : int, RandomState instance or None, default=None
        Seed of batches, crops, new weights, and of which photos the probe sees of more than 20,000;
        with the defaults and fewer photos nothing is random. On one machine's CPU the same seed
        gives the same network; on a GPU some sums are added up in changing order. Threads of one
        process train in turn, because they share torch's random state.
    memory : str, os.PathLike or None, default=None
        Folder in which CLIP's embeddings are kept, see :class:`CLIPPseudoLabeler`: a fit that was
        interrupted, another fit or a search encodes no photo again. None leaves this to
        ``pseudo_labeler``.
    checkpoint : str, os.PathLike or None, default=None
        Folder for a fit that may be killed. The same fit, called again, goes on from the last batch
        of CLIP, the last batch of the network's pass over the photos, or the last epoch of gradient
        steps, and ends with the same result. Only a fit of the same photos, labels and parameters
        goes on, so several may share the folder. Embeddings are kept there too, and stay, unless
        ``memory`` names a folder; the rest is deleted when the fit ends. Until then it takes 26 kB
        of disk a photo for "bundled" and, with gradient steps, three times the size of the
        network. A ``random_state`` of None is 0 then.
    on_error : {"raise", "nan"} or None, default=None
        What to do about an image that can't be read: stop with an error that names it, or leave it
        out of training, predict NaN (no class) for it and warn once. None leaves this to
        ``pseudo_labeler``, which raises unless told otherwise.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one. A Mac's GPU must be asked for with "mps".
    precision : {"auto", "float32", "bfloat16", "float16"}, default="auto"
        Arithmetic of the network; "auto" is bfloat16 where the hardware has it, float16 on older
        CUDA devices, else float32. Where it is float16, and with "auto" on a CPU, training runs in
        float32. With "auto" so do prediction by the layers of "bundled" on a CPU, where that is
        faster, and all of a network on embeddings.
    n_jobs : int or None, default=None
        Threads that decode images. None chooses by the number of cores.
    verbose : bool, default=False
        Show the progress of each phase, also in ``pseudo_labeler``. Bars of phases that took two
        seconds stay.

    Attributes
    ----------
    network_ : torch.nn.Module
        The trained network, uint8 pictures (b, 3, H, W) to logits (b, k).
    image_size_ : int
        Side of its pictures in pixels. Not there with embeddings as input.
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
    auto_thresholds_ : ndarray of shape (k,)
        Those that were found without labels, whatever ``threshold`` says.
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
        threshold="auto",
        random_state=None,
        memory=None,
        on_error=None,
        device="auto",
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
        self.threshold = threshold
        self.random_state = random_state
        self.memory = memory
        self.on_error = on_error
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=False)
    @gradients_on()
    def fit(self, X, y=None, *, observed=None, X_val=None, y_val=None):
        """Label the photos with CLIP and train the network on them.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            Training photos, see :class:`CLIPPseudoLabeler`.
        y : array of length n, or None
            There for cross-validation, which scores with it. Its length is checked; training
            never sees its values.
        observed : array of shape (n, k), names, data frame, CSV file or None, default=None
            Labels that a person gave: 1, 0, or NaN where unobserved. They are never changed. Names,
            frames and files, also those of some photos and classes only, are matched to the classes
            by name and to the photos by path or index, see
            :func:`~sklearn_cdul.targets.check_targets`.
        X_val, y_val : sequence of images and array of shape (m, k), or None
            Validation photos with labels; only for the mAP in ``history_``. ``y_val`` may be what
            ``score`` takes as y.

        Returns
        -------
        self : CDULClassifier

        Raises
        ------
        ImageError
            If an image can't be read and ``on_error`` is not "nan".
        ValueError
            If X is empty, y has another length, ``observed`` or ``y_val`` has the wrong shape or
            values, or a parameter has a wrong value.
        TypeError
            If X is no sequence of images, or the callable ``network`` returns no Module.
        WeightsUnavailableError
            If weights of the encoder or the network can't be had.
        FloatingPointError
            If encoder or network give NaN or infinity.
        OSError
            If the folder ``checkpoint`` can't be used.
        MemoryError
            If the labels of so many photos and classes fit into no memory of this machine.
        """
        # Check: what can be known beforehand fails now, not after hours of encoding.
        training = resolve_training(self.training)
        device = resolve_device(self.device)
        resolve_precision(self.precision, device)
        random = self._random_state(training, device)
        given = X
        labeler, X = fit_labeler(self, X)
        source = self._source(X, labeler)
        check_consistent_length(X, y)
        names = list(labeler.class_names_)
        shape = len(source), len(names)
        check_memory(*shape)
        warn_about_scores(y, names)
        observed = check_observed(observed, given, names)
        if not isinstance(self.threshold, str):
            check_thresholds(self.threshold, len(names))
        validation = self._check_validation(labeler, X_val, y_val)

        # Build.
        with random, progress("Loading the network", verbose=self.verbose):
            network = source.build_network(self.network, len(names), regions=int(self.regions))
        training.check(network)

        # Label, and smooth the labels.
        labels, readable, start, targets = label_photos(self, labeler, X, shape, observed)

        # Train.
        labeler.offload()
        trained = training.train(
            network,
            source.select(readable),
            start,
            observed=targets,
            validation=validation,
            random=random,
            memory=labeler.memory,
            verbose=self.verbose,
        )

        # Thresholds.
        with progress("Finding thresholds", verbose=self.verbose):
            thresholds = find_thresholds(expit(trained.logits))

        # Keep: all at once, so that a fit that was interrupted leaves the last one as it was.
        self.pseudo_labeler_ = labeler
        self.class_names_ = names
        self.classes_ = np.tile([0, 1], (len(names), 1))
        copy_features(labeler, self)
        self.network_ = network.eval()
        vars(self).pop("image_size_", None)
        if isinstance(source, PhotoSource):
            self.image_size_ = source.image_size
        self.history_ = trained.history
        self.initial_pseudo_labels_ = labels
        self.pseudo_labels_ = place_labels(trained.labels, readable, labels, observed)
        self.auto_thresholds_ = thresholds
        return self.set_thresholds(self.threshold)

    @staticmethod
    def paper_settings():
        """Parameters of the paper, for training and updates.

        Together with ``CLIPPseudoLabeler(model_name="RN50x64", pretrained="openai")`` they come as
        near to the paper as this class can. What still differs: the learning rate falls along a
        cosine, the output layer starts at each class's mean label, batch normalisation is frozen,
        step B takes the mean of the predictions that step A made since the last one, and there is
        none after the last epoch. ``image_size`` is not among them.

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
            "regions": 1,
            "n_neighbors": 0,
            "training": GradientTraining(
                epochs=100,
                warmup_epochs=10,
                update_interval=10,
                update_rate=1.0,
                cumulative_updates=True,
                batch_size=8,
                learning_rate=1e-5,
                head_learning_rate=1e-5,
                weight_decay=0.0,
                head_init="mean",
            ),
        }

    def _random_state(self, training, device):
        # A fit that goes on must draw the same numbers again, as must the processes of one fit.
        shared = getattr(training, "checkpoint", None) is not None or Ranks().count > 1
        unseeded = self.random_state is None and shared
        random_state = check_random_state(0 if unseeded else self.random_state)
        seed = random_state.randint(np.iinfo(np.int32).max)
        return OwnRandomState(seed, device)

    def _check_validation(self, labeler, X_val, y_val):
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be given together.")
        if X_val is None:
            return None
        names = labeler.class_names_
        source = self._source(X_val, labeler)
        y_val = check_targets(y_val, names, X=X_val, name="y_val")
        y_val = label_columns(y_val, len(source), len(names), name="y_val")
        # Fails now, not after the first epoch, if these labels can't be scored with.
        mean_average_precision(y_val, np.zeros(y_val.shape))
        return source, y_val

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
