"""Files of weights load in the forms that people have, and with the activation they need."""

import argparse
import fractions
import os
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from safetensors.torch import save_file
from torch import nn

from sklearn_cdul.encoders.loading import load_encoder

PROMPTS = ["a cup", "a photo of a dog"]


@pytest.fixture
def architectures(monkeypatch, tiny_model):
    """Two that differ in their activation, under names as open_clip gives them."""
    import open_clip.factory

    configs = {
        **open_clip.factory._MODEL_CONFIGS,
        "Tiny": tiny_model,
        "Small": tiny_model,
        "Small-quickgelu": {**tiny_model, "quick_gelu": True},
    }
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", configs)


@pytest.fixture
def weights(tiny_folder):
    return torch.load(tiny_folder / "open_clip_pytorch_model.bin", weights_only=True)


@pytest.fixture
def expected(tiny):
    return tiny.encode_text(PROMPTS)


def load(name, file):
    return load_encoder(name, file, device="cpu", precision="float32")


@pytest.mark.parametrize(
    "content",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights},
        lambda weights: {"epoch": np.int64(1), "state_dict": weights, "loss": np.float32(0.5)},
        lambda weights: {
            "epoch": 3,
            "name": "run",
            "state_dict": {f"module.{name}": tensor for name, tensor in weights.items()},
            "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]},
            "rng": np.arange(3),
            "args": argparse.Namespace(lr=0.1),
        },
        lambda weights: {f"module._orig_mod.{name}": tensor for name, tensor in weights.items()},
        lambda weights: {"model": {f"model.{name}": t for name, t in weights.items()}},
        lambda weights: {"model_state_dict": weights},
    ],
    ids=["alone", "entry", "NumPy", "training run", "compiled", "wrapped", "another entry"],
)
def test_own_checkpoints_load(architectures, weights, content, expected, tmp_path):
    torch.save(content(weights), tmp_path / "epoch_1.pt")
    loaded = load("Tiny", tmp_path / "epoch_1.pt")
    assert_allclose(loaded.encode_text(PROMPTS), expected, atol=1e-6)
    import open_clip

    # The checkpoint says nothing of the preprocessing; open_clip takes OpenAI's.
    assert loaded.preprocessing.mean == open_clip.OPENAI_DATASET_MEAN


def test_safetensors_load(architectures, weights, expected, tmp_path):
    save_file(weights, tmp_path / "model.safetensors")
    assert_allclose(
        load("Tiny", tmp_path / "model.safetensors").encode_text(PROMPTS), expected, atol=1e-6
    )


def test_a_torchscript_archive_loads(architectures, weights, expected, tmp_path):
    torch.jit.script(Named(weights)).save(tmp_path / "scripted.pt")
    assert_allclose(
        load("Tiny", tmp_path / "scripted.pt").encode_text(PROMPTS), expected, atol=1e-6
    )


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_no_file_runs_code(architectures, weights, tmp_path):
    trap = Trap(str(tmp_path / "sprung"))
    torch.save({"state_dict": weights, "trap": trap}, tmp_path / "epoch_1.pt")
    with pytest.raises(ValueError, match="could run any code"):
        load("Tiny", tmp_path / "epoch_1.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_checkpoint_with_objects_says_how_to_save_the_weights_alone(
    architectures, weights, tmp_path
):
    file = tmp_path / "epoch_1.pt"
    torch.save({"state_dict": weights, "schedule": fractions.Fraction(1, 3)}, file)
    with pytest.raises(
        ValueError, match=r"object of type fractions.Fraction.*torch.save"
    ) as caught:
        load("Tiny", file)
    assert "weights_only=True" not in str(caught.value)
    assert len(str(caught.value)) < 800


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 no archive"])
def test_a_file_that_is_no_checkpoint_is_refused(architectures, content, tmp_path):
    (tmp_path / "weights.pt").write_bytes(content)
    with pytest.raises(ValueError, match=r"can't load .*weights.pt as weights of Tiny"):
        load("Tiny", tmp_path / "weights.pt")


def test_a_checkpoint_of_another_model_is_refused_in_few_words(tiny_folder):
    checkpoint = tiny_folder / "open_clip_pytorch_model.bin"
    with pytest.raises(ValueError, match=r"can't load .* as weights of ViT-S-32-alt") as caught:
        load("ViT-S-32-alt", checkpoint)
    assert len(str(caught.value)) < 800


# activation


class Named(nn.Module):
    """A module that scripts, with parameters of any names."""

    def __init__(self, weights):
        super().__init__()
        for name, tensor in weights.items():
            module, *path = self, *name.split(".")
            for part in path[:-1]:
                if not hasattr(module, part):
                    module.add_module(part, Empty())
                module = getattr(module, part)
            module.register_buffer(path[-1], tensor)

    def forward(self, x):
        return x


class Empty(nn.Module):
    def forward(self, x):
        return x


def test_openais_own_file_gets_quickgelu(architectures, weights, tmp_path, expected):
    """OpenAI publishes TorchScript archives in float16 with three numbers beside the weights."""
    torch.save(weights, tmp_path / "plain.pt")
    quick = load("Small-quickgelu", tmp_path / "plain.pt").encode_text(PROMPTS)
    assert np.abs(quick - expected).max() > 1e-3
    half = {name: tensor.half() for name, tensor in weights.items()}
    numbers = {"input_resolution": 32, "context_length": 12, "vocab_size": 49408}
    content = half | {name: torch.tensor(number) for name, number in numbers.items()}
    torch.jit.script(Named(content)).save(tmp_path / "ViT-B-32.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = load("Small", tmp_path / "ViT-B-32.pt")
    assert_allclose(loaded.encode_text(PROMPTS), quick, atol=2e-3)
    assert np.abs(loaded.encode_text(PROMPTS) - expected).max() > 1e-3


def test_a_file_that_does_not_tell_its_activation_gives_a_warning_with_both_names(
    architectures, weights, tmp_path, expected
):
    torch.save(weights, tmp_path / "plain.pt")
    with pytest.warns(UserWarning, match="'Small' computes with GELU.*'Small-quickgelu'") as caught:
        loaded = load("Small", tmp_path / "plain.pt")
    assert len(caught) == 1
    assert_allclose(loaded.encode_text(PROMPTS), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["Small-quickgelu", "Tiny"])
def test_where_there_is_no_choice_there_is_no_warning(
    architectures, weights, tmp_path, name, recwarn
):
    torch.save(weights, tmp_path / "plain.pt")
    load(name, tmp_path / "plain.pt")
    assert not [str(each.message) for each in recwarn if each.category is UserWarning]


@pytest.mark.slow
def test_openais_layout_of_a_real_architecture_gets_quickgelu(tmp_path, food_photos):
    """ViT-B-32 with random weights, once as open_clip makes it, once by path from an archive."""
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("ViT-B-32-quickgelu").eval()
    numbers = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
    content = model.state_dict() | {name: torch.tensor(n) for name, n in numbers.items()}
    torch.jit.script(Named(content)).save(tmp_path / "ViT-B-32.pt")
    loaded = load("ViT-B-32", tmp_path / "ViT-B-32.pt")
    with torch.inference_mode():
        tokens = open_clip.get_tokenizer("ViT-B-32")(PROMPTS)
        expected = model.encode_text(tokens, normalize=True).numpy()
    assert_allclose(loaded.encode_text(PROMPTS), expected, atol=1e-5)
