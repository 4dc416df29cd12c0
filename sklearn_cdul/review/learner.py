"""A classifier that learns again in a moment, as annotations come and classes change."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.base import clone

from sklearn_cdul.classifier import CDULClassifier, readable_rows
from sklearn_cdul.compute.devices import OwnRandomState, gradients_on, resolve_device
from sklearn_cdul.exceptions import each_warning_once
from sklearn_cdul.images.digests import digest_of_X
from sklearn_cdul.images.pictures import PictureCache
from sklearn_cdul.labeler import CLIPPseudoLabeler
from sklearn_cdul.labels.calibration import calibrate
from sklearn_cdul.training import RidgeTraining, resolve_training
from sklearn_cdul.training.batches import FeatureSource
from sklearn_cdul.training.building import resolve_image_size
from sklearn_cdul.training.features import from_features, open_store
from sklearn_cdul.training.network import HeadNetwork, output_layer, with_head
from sklearn_cdul.training.zero_shot import zero_shot_of

_CPU = resolve_device("cpu")


class Learner:
    """Fits a classifier to the same photos again and again.

    Each photo is encoded, goes through the frozen network and is compared with the others once.
    What remains of a fit runs on what is held of them: embeddings, features and neighbours, some
    75 kB per photo with the bundled encoder and network. A classifier that is fitted already keeps
    its network, of which the last layer is fitted anew.
    """

    def __init__(self, classifier: Any, photos: Any):
        if not isinstance(classifier, CDULClassifier):
            raise TypeError(f"model must be a CDULClassifier, got {type(classifier).__name__}.")
        network = getattr(classifier, "network_", None)
        # A fitted network whose layers were trained is no encoder's any more.
        is_tower = network is None or zero_shot_of(network) is not None
        training = resolve_training(classifier.training)
        if not isinstance(training, RidgeTraining):
            if network is None:
                raise ValueError('A classifier with training="gradients" must be fitted first.')
            training = RidgeTraining()
        self._training, self._classifier = training, clone(classifier).set_params(on_error="nan")
        self._said: set[str] = set()  # warnings, which the next fit does not repeat
        labeler = clone(classifier.pseudo_labeler or CLIPPseudoLabeler())
        labeler.set_params(**self._classifier._shared(labeler))
        if labeler.input != "images":
            raise ValueError('model takes embeddings (input="embeddings"); a review needs photos.')
        checked = self._classifier._check_X(photos, labeler)
        encoder = labeler._encoder()
        labeler._fit(checked, checked, encoder)
        self._size = getattr(classifier, "image_size_", None) or resolve_image_size(
            self._classifier.image_size, self._classifier.network
        )
        pictures = PictureCache(len(checked), training.picture_sizes(self._size))
        source = self._classifier._source(checked, labeler, self._size, cache=pictures)
        if network is None:
            regions = int(self._classifier.regions)
            network = source.build_network(self._classifier.network, 1, regions=regions)
        self._network = network.to(source.device).eval()
        training.check(self._network)

        self._embeddings = labeler._embed(checked, encoder, source.contents, cache=pictures)
        tower = self._classifier._tower(labeler, encoder, self._network)
        self._tower = tower if is_tower else None
        labeler.offload()
        # A thread that learns takes both at once, while another changes a class.
        self._state = labeler, self._label(labeler)
        readable = readable_rows(self._state[1])
        with open_store(labeler.memory) as store:
            part = source.select(readable.tolist())
            features = from_features(self._network, part, store, lambda _, batch: batch)
        self._features = FeatureSource(features, device=_CPU)
        # What comes takes a moment each time, and needs no bars.
        self._classifier.set_params(verbose=False)
        labeler.set_params(verbose=False)
        self._digest = digest_of_X(checked)
        self._neighbors = self._classifier._neighbors(labeler, self._embeddings[readable, 0], 0)

    @property
    def class_names(self) -> list[str]:
        """Names of the classes as they are now."""
        return list(self._labeler.class_names_)

    @property
    def _labeler(self) -> CLIPPseudoLabeler:
        return self._state[0]

    def change_class(self, old: str | None, new: str) -> None:
        """Rename a class, or add one: the encoder embeds the new name, and no photo."""
        self.take(self.with_class(old, new))

    def with_class(self, old: str | None, new: str) -> Any:
        """What a renamed or added class makes of the labels, for `take`; nothing is changed yet."""
        names, given = self.class_names, self._labeler.classes
        changed = [new if name == old else name for name in names] + [new] * (old is None)
        classes: Any = changed
        if isinstance(given, Mapping):  # wordings stay
            words = {str(name).strip(): wording for name, wording in given.items()}
            before = [*names, new][: len(changed)]
            classes = {c: c if c == new else words[b] for c, b in zip(changed, before, strict=True)}
        labeler = clone(self._labeler).set_params(classes=classes)
        with each_warning_once(self._said):
            labeler._fit(None, None, labeler._encoder())
        labeler.offload()
        return labeler, self._label(labeler)

    def take(self, state: Any) -> None:
        """Learn from now on with the classes of `with_class`."""
        more: dict[str, Any] = {"classes": None, "pseudo_labeler": clone(state[0])}
        if not isinstance(self._classifier.threshold, str | float):
            more["threshold"] = "auto"  # there is none for a class that is new
        self._classifier.set_params(**more)
        self._state = state

    def _label(self, labeler: CLIPPseudoLabeler) -> np.ndarray:
        return labeler._label(self._embeddings)[:, : len(labeler.class_names_)].copy()

    def learn(self, observed: np.ndarray) -> tuple[CDULClassifier, np.ndarray]:
        """Fit to annotations (n, k), NaN where there are none.

        Returns the classifier, whose network is the last layer alone, and the probabilities (n, k),
        NaN for photos that can't be read.
        """
        labeler, labels = self._state
        fitted = clone(self._classifier)
        k, n_views = len(labeler.class_names_), self._network.n_views
        # Classes that were added meanwhile have no annotations.
        observed = np.pad(
            observed[:, :k], ((0, 0), (0, max(k - observed.shape[1], 0))), constant_values=np.nan
        )
        head = HeadNetwork(n_views, output_layer(self._network).in_features, k)  # type: ignore[union-attr]
        with gradients_on(), each_warning_once(self._said):
            trained = fitted._learn(
                labeler,
                head,
                self._features,
                labels,
                self._neighbors,
                tower=self._tower,
                digest=self._digest,
                training=self._training,
                size=self._size,
                observed=observed if np.isfinite(observed).any() else None,
                random=OwnRandomState(0, _CPU),
            )
        scores = np.full_like(labels, np.nan)
        scores[np.isfinite(labels).all(axis=1)] = expit(
            calibrate(trained.seen, fitted.calibration_)
        )
        return fitted, scores

    def finish(self, fitted: CDULClassifier) -> CDULClassifier:
        """The classifier with its whole network, which takes photos."""
        head = fitted.network_
        fitted.network_ = with_head(self._network, head.linear).cpu()
        if hasattr(fitted.network_, "zero_shot"):
            fitted.network_.zero_shot = head.zero_shot
        return fitted
