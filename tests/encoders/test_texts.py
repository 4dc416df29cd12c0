"""Many prompts are embedded in batches, with progress, and remembered within bounds."""

import numpy as np
import pytest

from sklearn_cdul import BaseEncoder
from sklearn_cdul.encoders import texts
from sklearn_cdul.encoders.texts import encode_classes


class Counting(BaseEncoder):
    """Embeds a prompt as the angle that it names."""

    temperature = 0.1

    def __init__(self):
        self.batches = []

    def encode_text(self, prompts):
        self.batches.append(len(prompts))
        angles = np.array([float(prompt) for prompt in prompts]) / 1000
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


@pytest.fixture
def encoder():
    return Counting()


def test_prompts_come_in_batches(encoder):
    classes = encode_classes(encoder, [[str(10 * k + i) for i in range(3)] for k in range(300)])
    assert encoder.batches == [256, 256, 256, 132]
    angles = np.arctan2(classes[:, 1], classes[:, 0])
    np.testing.assert_allclose(angles, [(10 * k + 1) / 1000 for k in range(300)], atol=1e-5)


def test_verbose_shows_the_progress_of_prompts(encoder, capsys):
    encode_classes(encoder, [[str(k)] for k in range(600)], verbose=True)
    assert "Encoding prompts:   0%|          | 0/600" in capsys.readouterr().err
    encode_classes(encoder, [[str(k)] for k in range(500)])
    assert capsys.readouterr().err == ""


def test_what_is_remembered_is_bounded_in_number_and_bytes(encoder, monkeypatch):
    lists = [[[str(k)], [str(k + 1)]] for k in range(20)]
    for prompts in lists:
        encode_classes(encoder, prompts)
    assert len(encoder._classes) == 16
    n_batches = len(encoder.batches)
    encode_classes(encoder, lists[-1])
    assert len(encoder.batches) == n_batches
    encode_classes(encoder, lists[0])
    assert len(encoder.batches) == n_batches + 1

    monkeypatch.setattr(texts, "_MAX_BYTES", 40)  # an entry has 16
    encode_classes(encoder, [["5"], ["7"]])
    assert [value.nbytes for value in encoder._classes.values()] == [16, 16]
    encode_classes(encoder, [[str(k)] for k in range(9)])  # 72 bytes
    assert sum(value.nbytes for value in encoder._classes.values()) <= 40


def test_prompts_of_any_characters_are_told_apart():
    class Lengths(BaseEncoder):
        temperature = 0.1

        def encode_text(self, prompts):
            codes = [sum(map(ord, prompt)) / 1e6 for prompt in prompts]
            return np.stack([np.cos(codes), np.sin(codes)], axis=1)

    encoder = Lengths()
    odd = ["caf\u00e9", "cafe\u0301", "\udcff", "\U0001f408"]
    together = encode_classes(encoder, [[prompt] for prompt in odd])
    for prompt, expected in zip(odd, together, strict=True):
        np.testing.assert_array_equal(encode_classes(encoder, [[prompt]]), [expected])
    assert len(np.unique(together, axis=0)) == 4
    assert len(encode_classes(encoder, [["a", "b"]])) == 1
    assert len(encode_classes(encoder, [["a"], ["b"]])) == 2
