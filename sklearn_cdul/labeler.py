"""The transformer: photos and class names in, soft pseudo labels out."""

import os
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.saving import SavingMixin
from sklearn_cdul.class_names.checking import warn_about_classes, warn_about_guesses
from sklearn_cdul.class_names.prompts import resolve_background, resolve_classes
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.embedding import embed_photos, ways_to_look
from sklearn_cdul.encoders.loading import free_gpu, load_encoder
from sklearn_cdul.encoders.texts import encode_classes
from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.views import VIEWS, n_parts, split_views, view_boxes, views_version
from sklearn_cdul.inputs import check_dimensions, check_features, check_X, input_tags
from sklearn_cdul.labels.aggregation import soft_labels
from sklearn_cdul.metrics import score_readable
from sklearn_cdul.targets import read_targets


class CLIPPseudoLabeler(SavingMixin, TransformerMixin, BaseEstimator):
    """Label photos softly with CLIP, whole and in snippets.

    Each photo is looked at as a whole and as ``grid_size`` x ``grid_size`` snippets, or in other
    ways (``views``). The softmax of the cosines with the class names gives one soft label a view;
    the strongest snippet of each class is averaged with the whole image (section 3.1 of the CDUL
    paper [1]_). It trains nothing.

    Parameters
    ----------
    classes : list of str, dict, {"coco", "voc", "nus-wide"} or None, default=None
        Names of the classes. A mapping gives each name a wording or a list of synonyms, which are
        embedded in place of the name and averaged. A string names a vocabulary of the package.
        None takes "coco", the 80 of MS-COCO, with a warning.
    model_name : str or BaseEncoder, default="bundled"
        Which CLIP. "bundled" is the small one in this package, which needs no download. Any name
        that ``open_clip.create_model_and_transforms`` takes serves too, among them
        ``hf-hub:ORG/NAME`` and ``local-dir:PATH``. Or an encoder of your own, see
        :class:`BaseEncoder`; ``device`` and ``precision`` are then its own.
    pretrained : str, os.PathLike or None, default=None
        Weights of an open_clip model: one of its tags (for example "openai") or a checkpoint file.
    prompt_template : str or list of str, default="a photo of a {}"
        Sentence with one ``{}`` for the name. The embeddings of several templates are averaged.
    background_classes : list of str, dict, str or None, default=None
        What else the photos may show. These names compete in the softmax and get no column, so that
        a photo of something else gets less of each class; with them a single class makes sense.
        "general" is 19 words for surroundings. Names that are classes are left out. :ref:`The guide
        <background-classes>` says what they gain and cost.
    grid_size : int, default=3
        Snippets a side. 1 looks at the whole image alone; 3 costs ten views a photo.
    views : {"grid", "dense", "grid+dense", "proposals"}, default="grid"
        What is looked at besides the whole photo. "grid" cuts it into snippets and encodes each.
        "dense" looks once, at more pixels where the model can, and reads windows, one more a side
        than snippets, off what it saw where: for about half the time of a grid of 3 x 3.
        "grid+dense" does both. :ref:`Benchmarks <views>` say what they gain and cost. "proposals"
        takes ``grid_size**2`` boxes that may hold an object of any kind, the paper's COD, and
        snippets where too few are found. The number of views, and so the cost of CLIP, stays as
        with the grid; finding the boxes comes on top. It needs OpenCV with its contrib modules,
        ``pip install "sklearn-cdul[proposals]"``.
    temperature : float or None, default=None
        tau of the softmax. None takes the model's own value.
    local_threshold : float, default=0.0
        zeta in [0, 1]: where the strongest snippet of a class stays below, the weakest counts. 0
        always takes the strongest.
    global_weight : float, default=0.5
        Weight in [0, 1] of the whole image against the snippets.
    input : {"images", "embeddings"}, default="images"
        What X holds: images, or float arrays of shape (n, d) or (n, views, d) with embeddings made
        beforehand by the same encoder, whole image first.
    memory : str, os.PathLike or None, default=None
        Folder in which embeddings are kept, so that no image is encoded twice with the same
        ``model_name``, ``pretrained``, ``grid_size``, ``views`` and ``precision``: not by another
        fold or candidate of a search, not by a process next to this one, not tomorrow. Other
        parameters, the class names among them, need no new embeddings. None keeps nothing.
    on_error : {"raise", "nan"}, default="raise"
        What to do about an image that can't be read: stop with an error that names it, or give
        its row NaN and warn once.
    batch_size : int or "auto", default="auto"
        Views in a forward pass, for "dense" photos. "auto" is 320 on a GPU, halved when memory runs
        out, 10 on a CPU, and for the bundled encoder there at least 20, with more than four
        threads five a thread.
    device : str or torch.device, default="auto"
        "auto" takes a CUDA device if there is one. A Mac's GPU must be asked for with "mps".
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}, default="auto"
        Arithmetic of the encoder. "auto" is bfloat16 where the hardware has it, float16 on older
        CUDA devices, else float32. For the bundled encoder it is float16 on all CUDA devices and
        float32 on CPUs, where ONNX Runtime computes. "int8" is for the bundled encoder on a CPU:
        about twice as fast as float32 on CPUs with VNNI, and almost as accurate.
    n_jobs : int or None, default=None
        Threads that decode images. None chooses by the number of cores.
    verbose : bool, default=False
        Show the progress of each phase. Bars of phases that took two seconds stay.

    Attributes
    ----------
    class_names_ : list of str
        Names of the k classes in the order of the columns.
    text_embeddings_ : ndarray of shape (k, d), float32
        One unit vector a class.
    background_embeddings_ : ndarray of shape (m, d), float32
        One unit vector for each of ``background_classes``.
    temperature_ : float
        The tau in use.
    n_features_in_ : int
        Only with ``input="embeddings"``: size of the last axis of X.

    See Also
    --------
    CDULClassifier : Trains a small network on these labels.

    References
    ----------
    .. [1] R. Abdelfattah et al., "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image
       Classification", ICCV 2023, arXiv 2307.16634.

    Examples
    --------
    >>> from sklearn_cdul import CLIPPseudoLabeler
    >>> from sklearn_cdul.datasets import load_food_photos
    >>> photos = load_food_photos()
    >>> labeler = CLIPPseudoLabeler(["pizza", "cake", "coffee"], grid_size=1)
    >>> labeler.fit_transform(photos.data[:2]).shape
    (2, 3)
    """

    _parameter_constraints = {
        "classes": ["array-like", dict, str, None],
        "model_name": [str, BaseEncoder],
        "pretrained": [str, os.PathLike, None],
        "prompt_template": [str, list, tuple],
        "background_classes": ["array-like", dict, str, None],
        "grid_size": [Interval(Integral, 1, None, closed="left")],
        "views": [StrOptions(set(VIEWS))],
        "temperature": [Interval(Real, 0, None, closed="neither"), None],
        "local_threshold": [Interval(Real, 0, 1, closed="both")],
        "global_weight": [Interval(Real, 0, 1, closed="both")],
        "input": [StrOptions({"images", "embeddings"})],
        "memory": [str, os.PathLike, None],
        "on_error": [StrOptions({"raise", "nan"})],
        "batch_size": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "precision": [str],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        classes=None,
        *,
        model_name="bundled",
        pretrained=None,
        prompt_template="a photo of a {}",
        background_classes=None,
        grid_size=3,
        views="grid",
        temperature=None,
        local_threshold=0.0,
        global_weight=0.5,
        input="images",
        memory=None,
        on_error="raise",
        batch_size="auto",
        device="auto",
        precision="auto",
        n_jobs=None,
        verbose=False,
    ):
        self.classes = classes
        self.model_name = model_name
        self.pretrained = pretrained
        self.prompt_template = prompt_template
        self.background_classes = background_classes
        self.grid_size = grid_size
        self.views = views
        self.temperature = temperature
        self.local_threshold = local_threshold
        self.global_weight = global_weight
        self.input = input
        self.memory = memory
        self.on_error = on_error
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X=None, y=None):
        """Resolve the class names and embed them; X teaches nothing.

        Parameters
        ----------
        X : sequence of images, array of embeddings or None, default=None
            Checked for its kind only.
        y : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        self : CLIPPseudoLabeler

        Raises
        ------
        ImportError
            If ``views="proposals"`` and OpenCV with its contrib modules is missing.
        ValueError, NotImplementedError
            If ``views`` has "dense" and the model has nothing from which windows can be read.
        """
        checked = None if X is None else check_X(self, X, kind=self.input, on_error=self.on_error)
        return self._fit(X, checked, self._encoder())

    def _fit(self, X, checked, encoder):
        """Fit to what :func:`check_X` made of X; a classifier's fit begins here, too."""
        memory = None
        if self.input == "images":
            ways_to_look(encoder, int(self.grid_size), self.views)  # says what is wrong with it
            memory = self.memory
        names, prompts = resolve_classes(self._classes_in_use(), self.prompt_template)
        others, other_prompts = resolve_background(
            self.background_classes, names, self.prompt_template
        )
        prompts = prompts + other_prompts
        text_embeddings = encode_classes(encoder, prompts, memory=memory, verbose=self.verbose)
        if isinstance(checked, np.ndarray):
            check_dimensions(checked, text_embeddings)
        warn_about_classes(
            names + others,
            prompts,
            text_embeddings,
            identifiers=[] if isinstance(self.classes, (str, Mapping, type(None))) else names,
            is_truncated=encoder.is_truncated([text for texts in prompts for text in texts]),
            english_only=encoder.english_only,
        )
        if isinstance(self.model_name, str) and self.model_name == "bundled":
            warn_about_guesses(names, text_embeddings[: len(names)])
        check_features(self, X, checked, reset=True)
        self.text_embeddings_, self.background_embeddings_ = np.split(text_embeddings, [len(names)])
        self.temperature_ = float(
            encoder.temperature if self.temperature is None else self.temperature
        )
        self.class_names_ = names
        return self

    def transform(self, X):
        """Soft labels of images.

        Parameters
        ----------
        X : sequence of images or float array of shape (n, d) or (n, views, d)
            Images may be paths, PIL images or uint8 arrays (H, W, 3); see ``input``.

        Returns
        -------
        soft_labels : ndarray of shape (n, k), float32
            Values in [0, 1]. NaN rows stand for images that could not be read
            (``on_error="nan"``).

        Raises
        ------
        ImageError, FloatingPointError, OSError
            See :meth:`embed`.
        """
        check_is_fitted(self)
        return self.aggregate(self.embed(X))

    def embed(self, X):
        """CLIP embeddings of all views, to use again with ``input="embeddings"``.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            See :meth:`transform`. Embeddings are checked and returned.

        Returns
        -------
        embeddings : ndarray of shape (n, views, d), float32
            Unit vectors, whole image first, then its snippets row by row or its proposals, then its
            windows row by row, whichever of these ``views`` asks for.

        Raises
        ------
        ImageError
            If an image can't be read and ``on_error="raise"``; names index and path.
        FloatingPointError
            If the encoder gives NaN or infinity and ``on_error="raise"``.
        OSError
            If ``memory`` can't be used.
        """
        if self.input == "images":
            views_version(self.views)  # proposals that can't be made are an error now
        reset = False if hasattr(self, "text_embeddings_") else None
        X = check_X(
            self,
            X,
            kind=self.input,
            on_error=self.on_error,
            reset=reset,
            files=True,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        return X if isinstance(X, np.ndarray) else self._embed(X, self._encoder())

    def _embed(self, photos, encoder, **kept):
        """Embed checked photos; ``kept`` is what the caller has read or wants of them."""
        return embed_photos(
            encoder,
            photos,
            grid_size=int(self.grid_size),
            views=self.views,
            batch_size=self.batch_size,
            n_jobs=self.n_jobs,
            on_error=self.on_error,
            memory=self.memory,
            verbose=self.verbose,
            **kept,
        )

    def view_boxes(self, X):
        """Where the views of images lie, view by view as in :meth:`embed`.

        Parameters
        ----------
        X : sequence of images
            See :meth:`transform`.

        Returns
        -------
        boxes : ndarray of shape (n, views, 4), float32
            What each view shows: left, upper, right and lower edge, as shares of the image's width
            and height, in [0, 1]. Models that crop the centre of their input see the middle of
            the image and of each snippet.

        Raises
        ------
        ValueError
            If ``input="embeddings"``: these don't tell where they come from.
        ImageError
            If an image can't be read, whatever ``on_error`` is; names index and path.
        """
        if self.input != "images":
            raise ValueError('view_boxes needs images; this estimator has input="embeddings".')
        photos = check_X(self, X, kind=self.input, on_error=self.on_error)
        grid_size = int(self.grid_size)
        ways = ways_to_look(self._encoder(), grid_size, self.views)

        def boxes_of(index):
            boxes = []
            for way in ways:
                image = load_image(photos[index], index, min_size=way.min_size)
                found = view_boxes(image, grid_size, way.preprocessing, way.kind)
                boxes.append(found if way.whole else found[1:])
            return np.concatenate(boxes)

        return np.stack([boxes_of(index) for index in range(len(photos))]).astype(np.float32)

    def aggregate(self, embeddings):
        """Soft labels from embeddings: softmax of each view, best snippet, mean with the whole.

        :meth:`transform` and the classifier's ``fit`` call it. A subclass that labels in a way of
        its own overrides it.

        Parameters
        ----------
        embeddings : array of shape (n, views, d)
            As :meth:`embed` returns them.

        Returns
        -------
        soft_labels : ndarray of shape (n, k), float32
            See :meth:`transform`. The functions of ``sklearn_cdul.labels`` are the single steps.
        """
        check_is_fitted(self)
        check_dimensions(embeddings, self.text_embeddings_)
        with progress("Comparing with the classes", verbose=self.verbose):
            return soft_labels(
                embeddings,
                self.text_embeddings_,
                self.background_embeddings_,
                temperature=self.temperature_,
                local_threshold=self.local_threshold,
                global_weight=self.global_weight,
                groups=self._groups(),
            ).astype(np.float32, copy=False)

    def score(self, X, y=None, sample_weight=None):
        """Mean average precision of the soft labels of images that can be read.

        Parameters
        ----------
        X : sequence of images or array of embeddings
            See :meth:`transform`.
        y : array of shape (n, k) or (n,), names of each image, data frame or CSV file
            1 where the class is in the image, 0 where it is not, NaN where nobody knows. Names,
            frames and files are matched to the classes by name and to the images by path or index,
            see :func:`~sklearn_cdul.targets.read_targets`. A vector holds the one class of each
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
        y = read_targets(y, self.class_names_, X)  # fails before the photos are read
        labels = np.asarray(self.transform(X))  # it may be a data frame, see set_output
        return score_readable(y, labels, sample_weight)

    def get_feature_names_out(self, input_features=None):
        """Class names, the names of the output's columns.

        Parameters
        ----------
        input_features : Ignored
            Not used, present for API consistency by convention.

        Returns
        -------
        names : ndarray of shape (k,), object
        """
        check_is_fitted(self)
        return np.asarray(self.class_names_, dtype=object)

    def offload(self):
        """Take CLIP's weights off the GPU; they come back when they are next needed.

        :class:`CDULClassifier` does so before it trains its network.
        """
        free_gpu()
        if isinstance(self.model_name, BaseEncoder):
            self.model_name.offload()

    def _classes_in_use(self):
        if self.classes is not None:
            return self.classes
        warn(
            'No class names were given, so those of MS-COCO are used: "person", "bicycle", "car" '
            "and 77 more. Name what your photos may show as classes, for instance "
            'CDULClassifier(["bread", "cup"]). classes="coco" takes the 80 without this warning.'
        )
        return "coco"

    def _groups(self):
        """Sizes of the groups of views besides the whole photo; None for one of any size."""
        kinds = split_views(self.views)
        if len(kinds) == 1 or self.grid_size == 1:
            return None
        return [n_parts(self.grid_size, kind) for kind in kinds]

    def _encoder(self):
        return load_encoder(
            self.model_name,
            self.pretrained,
            device=self.device,
            precision=self.precision,
            verbose=self.verbose,
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.input_tags = input_tags(self.input)
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
