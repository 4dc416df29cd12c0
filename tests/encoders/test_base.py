"""Encoders of one's own in place of a model name."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_cdul import BaseEncoder, CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.images.views import Preprocessing

COLOURS = {"red": [1, 0, 0], "green": [0, 1, 0], "blue": [0, 0, 1]}


class ColourEncoder(BaseEncoder):
    """Embeds a view as its mean colour, and a prompt as the colour that it names."""

    temperature = 0.05
    preprocessing = Preprocessing((16, 16), "squash")
    fingerprint = "colours"
    embedding_dim = 3

    def __init__(self):
        self.n_views = 0

    def encode_text(self, prompts):
        return np.array([COLOURS[prompt.split()[-1]] for prompt in prompts], dtype=float)

    def encode_views(self, views):
        self.n_views += len(views)
        return views.mean(axis=(1, 2)) / 255


@pytest.fixture
def images():
    """Two half red, half blue pictures, and a green one."""
    halves = np.zeros((20, 40, 3), dtype=np.uint8)
    halves[:, :20, 0] = halves[:, 20:, 2] = 255
    green = np.zeros((30, 30, 3), dtype=np.uint8)
    green[..., 1] = 200
    return [halves, halves[:, ::-1].copy(), green]


def test_an_encoder_of_ones_own_labels_images(images):
    labels = CLIPPseudoLabeler(list(COLOURS), model_name=ColourEncoder()).fit_transform(images)
    assert_allclose(labels[2], [0, 1, 0], atol=1e-4)
    # Whole, red and blue share the label; a snippet shows one of them alone.
    assert_allclose(labels[:2, [0, 2]], 0.75, atol=0.01)


def test_clones_share_the_encoder():
    labeler = CLIPPseudoLabeler(list(COLOURS), model_name=ColourEncoder())
    assert clone(labeler).model_name is labeler.model_name
    classifier = clone(CDULClassifier(pseudo_labeler=labeler))
    assert classifier.pseudo_labeler.model_name is labeler.model_name


def test_its_embeddings_are_kept_in_memory(images, tmp_path):
    encoder = ColourEncoder()
    labeler = CLIPPseudoLabeler(list(COLOURS), model_name=encoder, memory=tmp_path)
    first = labeler.fit_transform(images)
    assert encoder.n_views == 30
    assert_array_equal(clone(labeler).fit_transform(images[::-1])[::-1], first)
    assert encoder.n_views == 30


def test_a_classifier_trains_on_its_labels(images):
    labeler = CLIPPseudoLabeler(list(COLOURS), model_name=ColourEncoder())
    classifier = CDULClassifier(pseudo_labeler=labeler, image_size=32, random_state=0)
    classifier.fit(images)
    assert_array_equal(classifier.initial_pseudo_labels_, labeler.fit_transform(images))
    assert classifier.predict(images).shape == (3, 3)


def test_what_is_missing_is_said(images, tmp_path):
    class TextOnly(BaseEncoder):
        temperature = 0.05
        embedding_dim = 3
        encode_text = ColourEncoder.encode_text

    labeler = CLIPPseudoLabeler(list(COLOURS), model_name=TextOnly())
    with pytest.raises(NotImplementedError, match=r'preprocessing.*input="embeddings"'):
        labeler.fit(images).transform(images)

    class Unnamed(ColourEncoder):
        fingerprint = BaseEncoder.fingerprint

    labeler = CLIPPseudoLabeler(list(COLOURS), model_name=Unnamed(), memory=tmp_path)
    with pytest.raises(NotImplementedError, match="fingerprint"):
        labeler.fit_transform(images)
    with pytest.raises(NotImplementedError, match="encode_text"):
        CLIPPseudoLabeler(list(COLOURS), model_name=BaseEncoder(), input="embeddings").fit()


def test_text_embeddings_of_a_wrong_shape_are_refused():
    class Flat(ColourEncoder):
        def encode_text(self, prompts):
            return np.ones(3)

    with pytest.raises(ValueError, match=r"Flat.encode_text must return .*\(3, d\)"):
        CLIPPseudoLabeler(list(COLOURS), model_name=Flat()).fit()


def test_embeddings_of_a_wrong_shape_are_refused(images):
    class Narrow(ColourEncoder):
        def encode_views(self, views):
            return np.ones((len(views), 1))

    with pytest.raises(ValueError, match=r"Narrow.encode_views must return .*\(10, 3\)"):
        CLIPPseudoLabeler(list(COLOURS), model_name=Narrow()).fit_transform(images)


def test_attributes_may_be_set_in_init_and_what_is_remembered_stays_behind(images):
    class Own(ColourEncoder):
        def __init__(self):
            super().__init__()
            self.fingerprint = "mine"
            self.preprocessing = ColourEncoder.preprocessing

    encoder = Own()
    CLIPPseudoLabeler(list(COLOURS), model_name=encoder).fit_transform(images)
    assert set(encoder.__getstate__()) == {"fingerprint", "preprocessing", "n_views"}


def test_embeddings_have_unit_length(images):
    embeddings = CLIPPseudoLabeler(list(COLOURS), model_name=ColourEncoder()).embed(images)
    assert_allclose(np.linalg.norm(embeddings, axis=2), 1, rtol=1e-5)


def test_it_brings_its_own_weights():
    encoder = ColourEncoder()
    assert load_encoder(encoder) is encoder
    with pytest.raises(ValueError, match="pretrained"):
        load_encoder(encoder, "openai")
