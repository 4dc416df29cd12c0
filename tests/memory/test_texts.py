"""Each prompt is embedded once for a folder."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import BaseEncoder
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.encoders.texts import encode_classes

PROMPTS = [["a photo of a cup", "a cup"], ["a photo of a dog"]]


@pytest.fixture
def encoder(monkeypatch):
    """The bundled one, which has forgotten all classes and counts prompts."""
    encoder = load_encoder(device="cpu", precision="float32")
    counts = []
    encode_text = type(encoder).encode_text

    def count(prompts):
        counts.append(len(prompts))
        return encode_text(encoder, prompts)

    monkeypatch.setitem(vars(encoder), "encode_text", count)
    monkeypatch.setattr(encoder, "_classes", {})
    encoder_counts = counts
    yield encoder, encoder_counts


def forget(encoder):
    """As another process, which has embedded nothing."""
    encoder._classes = {}


def test_another_process_needs_no_text_tower(encoder, tmp_path):
    encoder, counts = encoder
    expected = encode_classes(encoder, PROMPTS)
    counts.clear()
    assert_array_equal(encode_classes(encoder, PROMPTS, memory=tmp_path), expected)
    assert counts == [3]
    forget(encoder)
    assert_array_equal(encode_classes(encoder, PROMPTS, memory=tmp_path), expected)
    assert counts == [3]


def test_without_a_folder_no_fingerprint_is_needed():
    class Unnamed(BaseEncoder):
        text_fingerprint = property(lambda self: pytest.fail("of gigabytes, and for nothing"))

        def encode_text(self, prompts):
            return np.eye(len(prompts))

    assert_array_equal(encode_classes(Unnamed(), [["cup"], ["dog"]]), np.eye(2))


def test_only_new_prompts_are_embedded(encoder, tmp_path):
    encoder, counts = encoder
    encode_classes(encoder, PROMPTS, memory=tmp_path)
    more = [["a photo of a cat"], *PROMPTS, ["a cup", "a photo of a cat"]]
    assert_allclose(
        encode_classes(encoder, more, memory=tmp_path), encode_classes(encoder, more), atol=1e-6
    )
    assert counts[:2] == [3, 1]


def test_another_folder_gets_its_own(encoder, tmp_path):
    encoder, counts = encoder
    for name in ("first", "second"):
        encode_classes(encoder, PROMPTS, memory=tmp_path / name)
    assert counts == [3, 3]


def test_another_text_tower_asks_for_new_embeddings(encoder, tiny_like, tmp_path):
    encoder, _ = encoder
    encode_classes(encoder, PROMPTS, memory=tmp_path)
    assert_allclose(
        encode_classes(tiny_like, PROMPTS, memory=tmp_path), encode_classes(tiny_like, PROMPTS)
    )


class Counting(BaseEncoder):
    temperature = 0.1

    def __init__(self, text_fingerprint=None):
        self.n_prompts = 0
        if text_fingerprint:
            self.text_fingerprint = text_fingerprint

    def encode_text(self, prompts):
        self.n_prompts += len(prompts)
        return np.array([[len(prompt), 1.0] for prompt in prompts])


@pytest.fixture
def tiny_like():
    return Counting("counting")


def test_encoders_of_ones_own_are_kept_if_they_say_who_they_are(tmp_path):
    named, nameless = Counting("mine"), Counting()
    for encoder, n_prompts in ((named, 3), (nameless, 6)):
        for _ in range(2):
            encode_classes(encoder, PROMPTS, memory=tmp_path)
            forget(encoder)
        assert encoder.n_prompts == n_prompts


def test_thousands_of_prompts_show_progress_and_are_kept_batch_by_batch(tmp_path, capsys):
    class Stops(Counting):
        def encode_text(self, prompts):
            if self.n_prompts >= 512:
                raise KeyboardInterrupt
            return super().encode_text(prompts)

    many = [[str(k)] for k in range(1000)]
    with pytest.raises(KeyboardInterrupt):
        encode_classes(Stops("mine"), many, memory=tmp_path)
    encoder = Counting("mine")
    encode_classes(encoder, many, memory=tmp_path, verbose=True)
    assert encoder.n_prompts == 1000 - 512
    assert "0/488" in capsys.readouterr().err


def test_nan_is_never_stored(tmp_path):
    class Broken(Counting):
        def encode_text(self, prompts):
            return super().encode_text(prompts) * np.nan

    with pytest.raises(FloatingPointError, match=r"NaN for 3 of 3 prompts, first 'a photo of"):
        encode_classes(Broken("mine"), PROMPTS, memory=tmp_path)
    encoder = Counting("mine")
    encode_classes(encoder, PROMPTS, memory=tmp_path)
    assert encoder.n_prompts == 3
