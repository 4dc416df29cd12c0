"""The transformer: photos and class names in, soft pseudo labels out."""

import os
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_cdul._utils.docstrings import filled_with
from sklearn_cdul._utils.origin import describe
from sklearn_cdul._utils.progress import progress
from sklearn_cdul._utils.saving import SavingMixin
from sklearn_cdul.class_names.background import background_of
from sklearn_cdul.class_names.checking import known_names, warn_about_classes, warn_about_guesses
from sklearn_cdul.class_names.gains import gains_of
from sklearn_cdul.class_names.prompts import resolve_background, resolve_classes
from sklearn_cdul.encoders.base import BaseEncoder
from sklearn_cdul.encoders.embedding import embed_photos, size_for, ways_to_look
from sklearn_cdul.encoders.loading import free_gpu, load_encoder
from sklearn_cdul.encoders.texts import encode_classes
from sklearn_cdul.exceptions import warn
from sklearn_cdul.images.decoding import load_image
from sklearn_cdul.images.digests import read_contents
from sklearn_cdul.images.views import VIEWS, n_parts, split_views, view_boxes, views_version
from sklearn_cdul.inputs import check_features, check_X, input_tags
from sklearn_cdul.labels.aggregation import check_dimensions, soft_labels
from sklearn_cdul.labels.thresholds import ROUNDING, find_thresholds
from sklearn_cdul.metrics import score_readable
from sklearn_cdul.targets import read_targets

documented = filled_with(
    {
        "X": """\
X : sequence of images, or array of embeddings
    Of the same kind as in ``fit``.""",
        "Raises": """\
Raises
------
ImageError
    If an image can't be read and ``on_error`` is not "nan".
TypeError, ValueError
    If X is empty, or not of the kind that ``fit`` got.
FloatingPointError
    If the network gives NaN or infinity.""",
        "score": """\
y : array of shape (n, k) or (n,), names of each image, data frame or CSV file
    1 where the class is in the image, 0 where it is not, NaN where unknown. Names, frames and files
    are matched to the classes by name and to the images by path or index, see
    :func:`~sklearn_cdul.targets.read_targets`. A vector holds the one class of each image, as its
    name or column; with a single class 1 or 0.
sample_weight : array of shape (n,) or None, default=None
    Weight of each image, at least 0.

Returns
-------
score : float
    Mean over the classes that occur in y, in [0, 1].

Raises
------
ValueError
    If y is missing, has the wrong shape, names or values, or has no positives, or if a weight is
    negative.""",
        "paper": """\
References
----------
.. [1] R. Abdelfattah et al., "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image
   Classification", ICCV 2023, arXiv 2307.16634.""",
    }
)


@documented
class CLIPPseudoLabeler(SavingMixin, TransformerMixin, BaseEstimator):
    """Give photos soft labels with CLIP, from the whole image and from its parts.

    Each photo is embedded as a whole and in parts, see ``views``. For each of these views, the
    softmax of its cosine similarities with the class names gives soft labels. The strongest part of
    each class is averaged with the whole image (section 3.1 of the CDUL paper [1]_). Nothing is
    trained. With the bundled encoder the similarities of a few names that photos have taught, such
    as "person", count more; this is not in the paper.

    Parameters
    ----------
    classes : list of str, dict, {"coco", "voc", "nus-wide"} or None, default=None
        Class names. A dict maps each name to a wording or a list of synonyms, which are embedded
        instead of the name and averaged. A string names a vocabulary of this package. None uses
        "coco", the 80 classes of MS-COCO, with a warning.
    model_name : str or BaseEncoder, default="bundled"
        The CLIP model. "bundled" is the small one in this package, which needs no download. Any
        name that ``open_clip.create_model_and_transforms`` takes works, too, including
        ``hf-hub:ORG/NAME`` and ``local-dir:PATH``. An encoder of your own, see
        :class:`BaseEncoder`, has its own ``device`` and ``precision``.
    pretrained : str, os.PathLike or None, default=None
        Weights of an open_clip model: one of its tags (such as "openai") or a checkpoint file.
    prompt_template : str or list of str, default="a photo of a {}"
        Sentence with one ``{}`` for the name. The embeddings of several templates are averaged.
    background_classes : list of str, dict, str or None, default=None
        Names of other things that the photos may show. They compete in the softmax but get no
        column, so photos of something else get lower labels; with them a single class makes sense.
        "general" is 19 words for surroundings. Names that are classes are ignored. :ref:`The guide
        <background-classes>` says what they gain and cost.
    grid_size : int, default=3
        Number of grid cells per side; there are ``2 * grid_size - 1`` windows per side. 1 uses the
        whole image only.
    views : {"auto", "grid", "dense", "grid+dense", "proposals"}, default="auto"
        What is looked at besides the whole image. "grid", as in the paper, crops the cells of the
        grid and encodes each: 3 x 3 cost ten passes per image. "dense" encodes the image once more,
        with more pixels if the model can, and reads windows off its feature map, in about a third
        of that time. "auto" is "dense" for the bundled model and "grid" for others. "grid+dense"
        does both. "proposals" encodes ``grid_size**2`` boxes that may hold an object of any kind
        (the paper's COD), filled up with grid crops if too few are found. It costs as many passes
        as the grid, and some time to find the boxes; it needs OpenCV with its contrib modules,
        ``pip install "sklearn-cdul[proposals]"``. :ref:`Benchmarks <views>` compare them.
    temperature : float or None, default=None
        tau of the softmax. None uses the model's own value.
    local_threshold : float, default=0.0
        zeta in [0, 1]: a class whose strongest snippet is below it gets its weakest. With 0 the
        strongest is always used.
    global_weight : float, default=0.5
        Weight in [0, 1] of the whole image against the snippets.
    input : {"images", "embeddings"}, default="images"
        What X holds: images, or float arrays of shape (n, d) or (n, views, d) of embeddings from
        the same encoder, whole image first.
    memory : str, os.PathLike or None, default=None
        Folder in which embeddings are stored, so that no image is encoded twice with the same
        ``model_name``, ``pretrained``, ``grid_size``, ``views`` and ``precision``, whatever the
        other parameters are: not in another fit or search, nor in another process.
    on_error : {"raise", "nan"}, default="raise"
        What to do if an image can't be read: raise an error that names it, or give it a row of NaN
        and warn once.
    batch_size : int or "auto", default="auto"
        Number of views per forward pass, or of images with "dense". "auto" is 320 on a GPU, halved
        if memory runs out, and 10 on a CPU; there it is at least 20 for the bundled encoder, and
        five per thread with more than four threads.
    device : str or torch.device, default="auto"
        "auto" uses a CUDA device if there is one. Use "mps" for a Mac's GPU.
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}, default="auto"
        Precision of the encoder. "auto" is bfloat16 where the hardware supports it, float16 on
        older CUDA devices, else float32. For the bundled encoder it is float16 on all CUDA devices
        and float32 on CPUs, where ONNX Runtime computes. "int8" is for the bundled encoder on a
        CPU: about twice as fast as float32 on CPUs with VNNI, and almost as accurate.
    n_jobs : int or None, default=None
        Number of threads that decode images. None chooses by the number of cores.
    verbose : bool, default=False
        Show a progress bar for each phase. Bars of phases longer than two seconds stay.

    Attributes
    ----------
    class_names_ : list of str
        Names of the k classes in the order of the columns.
    text_embeddings_ : ndarray of shape (k, d), float32
        One unit vector per class.
    background_embeddings_ : ndarray of shape (m, d), float32
        One unit vector for each of ``background_classes``.
    temperature_ : float
        The tau in use.
    views_ : str
        ``views``, or what "auto" stands for.
    n_features_in_ : int
        Size of the last axis of X. Only exists with ``input="embeddings"``.

    See Also
    --------
    CDULClassifier : Trains a small network on these labels.

    {paper}

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
        "views": [StrOptions({"auto", *VIEWS})],
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
        views="auto",
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
        """Embed the class names; nothing is learned from X.

        Parameters
        ----------
        X : sequence of images, array of embeddings or None, default=None
            Only its type and shape are checked.
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
            If ``views`` has "dense" and the model has no feature map to read windows from.
        """
        checked = None if X is None else check_X(self, X, kind=self.input, on_error=self.on_error)
        return self._fit(X, checked, self._encoder())

    def _fit(self, X, checked, encoder):
        """Fit to what :func:`check_X` made of X; a classifier's fit begins here, too."""
        memory = None
        if self.input == "images":
            ways_to_look(encoder, int(self.grid_size), self.views_)  # says what is wrong with it
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
        if self._is_bundled():
            warn_about_guesses(names, text_embeddings[: len(names)])
        check_features(self, X, checked, reset=True)
        self.text_embeddings_, self.background_embeddings_ = np.split(text_embeddings, [len(names)])
        self.temperature_ = float(
            encoder.temperature if self.temperature is None else self.temperature
        )
        self.class_names_ = names
        return self

    def transform(self, X):
        """Give images soft labels.

        Parameters
        ----------
        X : sequence of images or float array of shape (n, d) or (n, views, d)
            Images may be paths, PIL images or uint8 arrays (H, W, 3); see ``input``.

        Returns
        -------
        soft_labels : ndarray of shape (n, k), float32
            Values in [0, 1]. Rows of images that could not be read (``on_error="nan"``) are NaN.

        Raises
        ------
        ImageError, FloatingPointError, OSError
            See :meth:`embed`.
        """
        check_is_fitted(self)
        return self._look(X, self.aggregate)

    def predict_names(self, X):
        """Name the classes of images without training, for a first look.

        Thresholds are those that :func:`~sklearn_cdul.labels.find_thresholds` finds in the labels
        of X, so give many images at once, best those of ``CDULClassifier.fit``.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            See :meth:`transform`, which has the same errors.

        Returns
        -------
        names : list of n lists of str
            In the order of ``class_names_``; empty if no class is found or the image could not be
            read.
        """
        labels = np.asarray(self.transform(X))  # it may be a data frame, see set_output
        names = np.asarray(self.class_names_, dtype=object)
        return [names[row].tolist() for row in labels >= find_thresholds(labels)]

    def embed(self, X):
        """Embed all views of images, for use with ``input="embeddings"``.

        Parameters
        ----------
        X : sequence of images, or array of embeddings
            See :meth:`transform`. Embeddings are checked and returned.

        Returns
        -------
        embeddings : ndarray of shape (n, views, d), float32
            Unit vectors: the whole image, then its grid crops row by row or its proposals, then its
            windows row by row, as far as ``views`` has them.

        Raises
        ------
        ImageError
            If an image can't be read and ``on_error="raise"``; it names index and path.
        FloatingPointError
            If the encoder gives NaN or infinity and ``on_error="raise"``.
        OSError
            If ``memory`` can't be used.
        """
        return self._look(X)

    def _look(self, X, function=None):
        """Embeddings of X, or what a function makes of them."""
        if self.input == "images":
            views_version(self.views_)  # proposals that can't be made are an error now
        is_fitted, reading = hasattr(self, "text_embeddings_"), ("on_error", "n_jobs", "verbose")
        X = check_X(
            self, X, kind=self.input, is_fitted=is_fitted, files=True, **self._given(*reading)
        )
        if isinstance(X, np.ndarray):
            return X if function is None else function(X)
        return self._embed(X, self._encoder(), self._contents(X), function=function)

    def _contents(self, photos):
        """What tells photos apart in ``memory``, if there is one."""
        if self.memory is None:
            return None
        return read_contents(photos, n_jobs=self.n_jobs, verbose=self.verbose)

    def _embed(self, photos, encoder, contents, **more):
        """Embed checked photos; who decodes them makes the pictures that a cache wants, too."""
        settings = self._given("batch_size", "n_jobs", "on_error", "memory", "verbose")
        settings |= {"grid_size": int(self.grid_size), "views": self.views_, "contents": contents}
        return embed_photos(encoder, photos, **settings, **more)

    def view_boxes(self, X):
        """Boxes of the views of images, in the order of :meth:`embed`.

        Parameters
        ----------
        X : sequence of images
            See :meth:`transform`.

        Returns
        -------
        boxes : ndarray of shape (n, views, 4), float32
            Left, upper, right and lower edge of each view, as fractions of the image's width and
            height, in [0, 1]. Models that crop the centre of their input see the middle of the
            image and of each crop.

        Raises
        ------
        ValueError
            If ``input="embeddings"``.
        ImageError
            If an image can't be read, whatever ``on_error`` is; it names index and path.
        """
        if self.input != "images":
            raise ValueError('view_boxes needs images; this estimator has input="embeddings".')
        photos = check_X(self, X, kind=self.input, on_error=self.on_error)
        grid_size = int(self.grid_size)
        ways = ways_to_look(self._encoder(), grid_size, self.views_)

        def boxes_of(index):
            image = load_image(photos[index], index, min_size=size_for(ways))
            boxes = []
            for way in ways:
                found = view_boxes(image, grid_size, way.preprocessing, way.kind)
                boxes.append(found if way.whole else found[1:])
            return np.concatenate(boxes)

        return np.stack([boxes_of(index) for index in range(len(photos))]).astype(np.float32)

    def aggregate(self, embeddings):
        """Soft labels from embeddings, with the functions of ``sklearn_cdul.labels``.

        :meth:`transform` and the classifier's ``fit`` call it, with the embeddings of all images,
        or with blocks of 1 GiB if there are more. Override it in a subclass to label differently.

        Parameters
        ----------
        embeddings : array of shape (n, views, d)
            As :meth:`embed` returns them.

        Returns
        -------
        soft_labels : ndarray of shape (n, k), float32
            See :meth:`transform`.
        """
        check_is_fitted(self)
        with progress("Comparing with the classes", verbose=self.verbose):
            return soft_labels(
                embeddings,
                self.text_embeddings_,
                self.background_embeddings_,
                temperature=self.temperature_,
                groups=self._groups(),
                gains=self._gains(self.text_embeddings_),
                **self._given("local_threshold", "global_weight"),
            ).astype(np.float32, copy=False)

    def _label(self, embeddings):
        """Labels, checked, since a subclass may make them, and embeddings of the whole images."""
        labels = np.asarray(self.aggregate(embeddings), dtype=np.float32)
        shape = len(embeddings), len(self.class_names_)
        if labels.shape != shape:
            raise ValueError(
                "The labeler's aggregate must give one row per image and one column per class, "
                f"shape {shape}; it gave {labels.shape}."
            )
        labels = np.where(np.isnan(embeddings[:, :1, 0]), np.float32(np.nan), labels)
        sound = (labels >= -ROUNDING) & (labels <= 1 + ROUNDING)
        if self.on_error == "nan":
            sound |= np.isnan(labels).all(axis=1, keepdims=True)
        if not sound.all():
            row, column = np.argwhere(~sound)[0]
            raise ValueError(
                f"The labeler's aggregate must give labels in [0, 1]; it gave {labels[row, column]}"
                f" in column {column}."
            )
        return np.concatenate([labels, embeddings[:, 0]], axis=1, dtype=np.float32)

    @documented
    def score(self, X, y=None, sample_weight=None):
        """Mean average precision of the soft labels; images that can't be read are ignored.

        Parameters
        ----------
        X : sequence of images or array of embeddings
            See :meth:`transform`.
        {score}
        """
        check_is_fitted(self)
        y = read_targets(y, self.class_names_, X)  # fails before the photos are read
        labels = np.asarray(self.transform(X))  # it may be a data frame, see set_output
        return score_readable(y, labels, sample_weight)

    def get_feature_names_out(self, input_features=None):
        """Names of the output's columns, which are the class names.

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
        """Move CLIP's weights from the GPU to memory until they are needed again.

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

    @property
    def views_(self):
        """``views``, or what "auto" stands for."""
        if self.views == "auto":
            return "dense" if self._is_bundled() else "grid"
        return self.views

    def _is_bundled(self):
        return isinstance(self.model_name, str) and self.model_name == "bundled"

    def _other_names(self, encoder):
        """Names of other things and of kinds of the classes; see `background_of`."""
        wordings = resolve_classes(self._classes_in_use(), "{}")[1]
        encoded = None
        if not self._is_bundled():
            prompts = resolve_classes(known_names()[0], self.prompt_template)[1]
            encoded = encode_classes(encoder, prompts, **self._given("memory", "verbose"))
        given = np.concatenate([self.text_embeddings_, self.background_embeddings_])
        return background_of(wordings, given, encoded)

    def _gains(self, embeddings):
        """Factors of the cosines of names, see `gains_of`."""
        return gains_of(embeddings) if self._is_bundled() else np.ones(len(embeddings))

    def _groups(self):
        """Sizes of the groups of views besides the whole photo; None for one of any size."""
        kinds = split_views(self.views_)
        if len(kinds) == 1 or self.grid_size == 1:
            return None
        return [n_parts(self.grid_size, kind) for kind in kinds]

    def _encoder(self):
        options = self._given("device", "precision", "verbose")
        return load_encoder(self.model_name, self.pretrained, **options)

    def _given(self, *names):
        return {name: getattr(self, name) for name in names}

    def __str__(self):
        """The parameters, and of a fitted labeler the encoder."""
        return describe(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.input_tags = input_tags(self.input)
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
