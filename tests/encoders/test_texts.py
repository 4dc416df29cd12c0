"""Many prompts are embedded in batches, with progress, and remembered within bounds."""

import numpy as np
import pytest

from sklearn_cdul import BaseEncoder
from sklearn_cdul.encoders import texts


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
    classes = encoder.encode_classes([[str(10 * k + i) for i in range(3)] for k in range(300)])
    assert encoder.batches == [256, 256, 256, 132]
    angles = np.arctan2(classes[:, 1], classes[:, 0])
    np.testing.assert_allclose(angles, [(10 * k + 1) / 1000 for k in range(300)], atol=1e-5)


def test_verbose_shows_the_progress_of_prompts(encoder, capsys):
    encoder.encode_classes([[str(k)] for k in range(600)], verbose=True)
    assert "Encoding prompts:   0%|          | 0/600" in capsys.readouterr().err
    encoder.encode_classes([[str(k)] for k in range(500)])
    assert capsys.readouterr().err == ""


def test_what_is_remembered_is_bounded_in_number_and_bytes(encoder, monkeypatch):
    lists = [[[str(k)], [str(k + 1)]] for k in range(20)]
    for prompts in lists:
        encoder.encode_classes(prompts)
    assert len(encoder._classes) == 16
    n_batches = len(encoder.batches)
    encoder.encode_classes(lists[-1])
    assert len(encoder.batches) == n_batches
    encoder.encode_classes(lists[0])
    assert len(encoder.batches) == n_batches + 1

    monkeypatch.setattr(texts, "_MAX_REMEMBERED_BYTES", 40)  # an entry has 16
    encoder.encode_classes([["5"], ["7"]])
    assert [value.nbytes for value in encoder._classes.values()] == [16, 16]
    encoder.encode_classes([[str(k)] for k in range(9)])  # 72 bytes
    assert sum(value.nbytes for value in encoder._classes.values()) <= 40


def test_prompts_of_any_characters_have_a_key():
    odd = [["caf\u00e9"], ["cafe\u0301"], ["\udcff"], ["\U0001f408"]]
    assert len({texts.key_of([prompts]) for prompts in odd}) == 4
    assert texts.key_of([["a", "b"]]) != texts.key_of([["a"], ["b"]])
