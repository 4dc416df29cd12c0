"""NaN, infinity and zeros from an encoder are said to be that, and never pass for an embedding."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_cdul import BaseEncoder, CLIPPseudoLabeler
from sklearn_cdul._utils.vectors import is_sound
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.images.views import Preprocessing

NAMES = ["red", "green"]
RED, BLUE = (np.full((20, 20, 3), colour, np.uint8) for colour in ([255, 0, 0], [0, 0, 255]))


class Broken(BaseEncoder):
    """Embeds a view as its mean colour, and blue ones as something else."""

    temperature = 0.05
    preprocessing = Preprocessing((16, 16), "squash")
    fingerprint = "colours"
    embedding_dim = 3

    def __init__(self, blue=np.nan, text=(1.0, 0.0, 0.0)):
        self.blue = blue
        self.text = text

    def encode_text(self, prompts):
        vectors = np.eye(3)[[NAMES.index(prompt) for prompt in prompts]]
        vectors[0] = self.text
        return vectors

    def encode_views(self, views):
        colours = views.mean(axis=(1, 2)) / 255
        colours[colours[:, 2] > 0.5] = self.blue
        return colours


def labeler(encoder=None, **settings):
    settings = {"prompt_template": "{}", "grid_size": 1, **settings}
    return CLIPPseudoLabeler(NAMES, model_name=encoder or Broken(), **settings)


@pytest.mark.parametrize(
    ("blue", "words"),
    [
        (np.nan, "NaN"),
        (np.inf, "infinity"),
        (-np.inf, "infinity"),
        (0.0, "a vector of length 0"),
        ([np.nan, np.inf, 0.0], "NaN or infinity"),
        ([np.nan, 1.0, 0.0], "NaN"),
        (1e30, "a vector of length 0"),  # its length overflows float32
        (1e300, "infinity"),
    ],
)
def test_an_error_says_what_the_encoder_gave_for_which_image_and_what_to_do(blue, words):
    X = [RED, RED, RED, BLUE, RED]
    with pytest.raises(FloatingPointError) as caught:
        labeler(Broken(blue)).fit(X).transform(X)
    message = str(caught.value)
    assert f"The encoder gave {words} for 1 of 5 images, first X[3]." in message
    assert 'precision="float32"' in message
    assert 'on_error="nan"' in message
    assert "read" not in message


def test_the_file_is_named(food_photos):
    photo = food_photos.data[0]
    broken = Broken()
    broken.encode_views = lambda views: np.full((len(views), 3), np.nan)
    with pytest.raises(FloatingPointError, match=r"first X\[0\] \(.*" + photo[-12:]):
        labeler(broken).embed([photo])


def test_with_nan_one_warning_counts_them():
    X = [RED, BLUE, RED, BLUE, "missing.jpg"]
    with pytest.warns(UserWarning) as caught:
        labels = labeler(on_error="nan").fit(X).transform(X)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 2
    assert "1 of 5 images can't be used" in messages[0]
    assert "The encoder gave NaN for 2 of 5 images, first X[1]." in messages[1]
    assert "read" not in messages[1]
    assert np.isnan(labels).all(axis=1).tolist() == [False, True, False, True, True]


def test_one_bad_view_spoils_an_image():
    half = np.concatenate([RED, BLUE], axis=1)
    with pytest.warns(UserWarning, match="NaN for 1 of 2 images"):
        embeddings = labeler(on_error="nan", grid_size=2).embed([half, RED])
    assert np.isnan(embeddings[0]).all()
    assert np.isfinite(embeddings[1]).all()


def test_float32_is_no_advice_for_float32(tiny, monkeypatch):
    monkeypatch.setattr(
        CLIPEncoder, "encode_views", lambda _, views: np.full((len(views), 24), np.nan)
    )
    with pytest.raises(FloatingPointError, match=r"computes in float32 already.*other weights"):
        embed_photos(tiny, [RED])


def test_vectors_of_any_other_length_are_fine():
    for blue in (1e-6, 1e6, [0, 0, -1.0]):
        assert is_sound(labeler(Broken(blue)).embed([BLUE])).all()


# text


@pytest.mark.parametrize(
    ("text", "words"), [(np.nan, "NaN"), (np.inf, "infinity"), (0.0, "a vector of length 0")]
)
def test_text_that_has_no_embedding_is_an_error_that_names_the_prompt(text, words):
    with pytest.raises(FloatingPointError, match=f"gave {words} for 1 of 2 prompts, first 'red'"):
        labeler(Broken(text=text)).fit()


def test_prompts_that_cancel_each_other_are_named():
    class Opposite(Broken):
        def encode_text(self, prompts):
            return np.array(
                [[1.0, 0, 0] if prompt == "red" else [-1.0, 0, 0] for prompt in prompts]
            )

    classes = {"colour": ["red", "green"], "red": ["red"]}
    with pytest.raises(FloatingPointError, match=r"'red', 'green'\] cancel each other"):
        labeler(Opposite()).set_params(classes=classes).fit()


def test_a_warning_does_not_come_without_a_reason(recwarn):
    assert_allclose(labeler().fit_transform([RED])[0], [1, 0], atol=1e-4)
    assert not recwarn.list
