"""Wrong names of models are an error before anything is downloaded, with the right words."""

import importlib.util
import json

import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders import names
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.exceptions import WeightsUnavailableError


@pytest.mark.parametrize(
    ("name", "message"),
    [("ViT-B32", "Close: .*ViT-B-32"), ("embeded", "bundled"), ("xyzzy", "list_models")],
)
def test_an_unknown_model_is_an_error_with_close_names(name, message):
    with pytest.raises(ValueError, match=f"model_name='{name}' is no model.*{message}"):
        load_encoder(name, device="cpu")


def test_an_unknown_tag_is_an_error_with_the_tags():
    with pytest.raises(ValueError, match=r"neither a file nor a tag of ViT-B-32.*openai"):
        load_encoder("ViT-B-32", "opnai", device="cpu")


def test_a_tag_for_a_model_with_its_own_weights_is_refused():
    with pytest.raises(ValueError, match="brings its own weights"):
        load_encoder("bundled", "openai", device="cpu")


def test_an_architecture_without_weights_is_an_error_with_its_best_tags():
    with pytest.raises(ValueError, match=r"'ViT-B-32' alone has random weights.*Set pretrained to"):
        CLIPPseudoLabeler(["cup", "fork"], model_name="ViT-B-32", device="cpu").fit()
    with pytest.raises(ValueError, match='"datacomp_xl_s13b_b90k", "laion2b_s34b_b79k"'):
        load_encoder("ViT-B-32", device="cpu")
    with pytest.raises(ValueError, match='for instance "openai", "yfcc15m", "cc12m"'):
        load_encoder("RN50", device="cpu")
    with pytest.raises(ValueError, match="open_clip has none for it: set pretrained to the path"):
        load_encoder("ViT-S-32-alt", device="cpu")


@pytest.mark.parametrize(
    ("name", "pretrained"),
    [
        ("local-dir:/no/such/folder", None),
        ("ViT-B-32", "/no/such/checkpoint.pt"),
        ("ViT-B-32", "checkpoint.safetensors"),
        ("hf-hub:no-such-owner/no-such-model", None),
        ("ViT-B-32", "laion2b_s34b_b79k"),
    ],
)
def test_weights_that_cant_be_had_are_an_error_that_names_offline_choices(name, pretrained):
    # conftest.py keeps huggingface_hub offline; the last one must not be in its cache.
    with pytest.raises(WeightsUnavailableError) as caught:
        load_encoder(name, pretrained, device="cpu")
    for choice in ('model_name="bundled"', "local-dir:", 'pretrained="/path/to/checkpoint"'):
        assert choice in str(caught.value)


@pytest.mark.parametrize("scheme", ["", "hf-hub:", "https://huggingface.co/"])
@pytest.mark.parametrize(
    ("repository", "words"),
    [
        ("openai/clip-vit-base-patch32", 'model_name="ViT-B-32", pretrained="openai"'),
        ("openai/clip-vit-large-patch14-336", 'model_name="ViT-L-14-336", pretrained="openai"'),
        ("google/siglip-base-patch16-224", 'model_name="ViT-B-16-SigLIP", pretrained="webli"'),
    ],
)
def test_a_checkpoint_of_transformers_is_answered_with_open_clips_words(scheme, repository, words):
    with pytest.raises(ValueError, match=f"a checkpoint of transformers.*{words}"):
        load_encoder(scheme + repository, device="cpu")


def test_open_clips_words_for_checkpoints_of_transformers_exist():
    import open_clip

    assert set(names._OF_TRANSFORMERS.values()) <= set(open_clip.list_pretrained())


def test_a_repository_without_its_scheme_is_answered_with_the_scheme():
    repository = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    words = rf'"hf-hub:{repository}", or model_name="ViT-B-32", pretrained="laion2b_s34b_b79k"'
    for name in (repository, f"https://huggingface.co/{repository}/"):
        with pytest.raises(ValueError, match=words):
            load_encoder(name, device="cpu")
    with pytest.raises(ValueError, match=r'write "hf-hub:someone/model".*open_clip_config.json'):
        load_encoder("someone/model", device="cpu")


def test_a_folder_or_a_file_as_a_name_is_answered_with_where_it_belongs(tmp_path):
    with pytest.raises(ValueError, match=f'write model_name="local-dir:{tmp_path}"'):
        load_encoder(str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match=f"{tmp_path}' is a folder"):
        load_encoder("ViT-B-32", tmp_path, device="cpu")
    file = tmp_path / "epoch_1.pt"
    file.touch()
    with pytest.raises(ValueError, match="It is a file: give it as pretrained"):
        load_encoder(str(file), device="cpu")


def test_a_repository_without_a_config_of_open_clip_is_called_that(monkeypatch):
    """A stand-in for the hub, which tests can't reach."""
    import open_clip.factory

    class EntryNotFoundError(OSError):
        pass

    def missing(*args, **kwargs):
        raise EntryNotFoundError("404 Client Error")

    monkeypatch.setattr(open_clip.factory, "download_pretrained_from_hf", missing)
    with pytest.raises(WeightsUnavailableError, match=r"someone/model has no such file.*transfo"):
        load_encoder("hf-hub:someone/model", device="cpu")


@pytest.mark.parametrize(
    ("name", "pretrained"),
    [("ViT-B-16-SigLIP", "webli"), ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k")],
)
def test_a_missing_package_is_said_before_weights_are_downloaded(name, pretrained, monkeypatch):
    import open_clip.factory

    for function in ("download_pretrained", "download_pretrained_from_hf"):
        monkeypatch.setattr(open_clip.factory, function, lambda *_, **__: pytest.fail("downloaded"))
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "transformers" else find_spec(name),
    )
    with pytest.raises(ImportError, match="pip install transformers sentencepiece") as caught:
        load_encoder(name, pretrained, device="cpu")
    assert f"model_name={name!r} needs the package transformers" in str(caught.value)


def test_a_folder_with_a_tokenizer_of_transformers_says_so(tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = {**tiny_model["text_cfg"], "hf_tokenizer_name": "bert-base-uncased"}
    config = {"model_cfg": {**tiny_model, "text_cfg": text}, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ImportError, match="needs the package transformers"):
        load_encoder(f"local-dir:{tmp_path}", device="cpu")


def test_a_folder_without_weights_is_never_filled_at_random(tmp_path, tiny_model):
    config = {"model_cfg": tiny_model, "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="can't load"):
        load_encoder(f"local-dir:{tmp_path}", device="cpu")
