"""Wrong names of models are an error before anything is downloaded, with what to write instead."""

import json
import sys

import pytest

from sklearn_cdul import CLIPPseudoLabeler
from sklearn_cdul.encoders.loading import load_encoder
from sklearn_cdul.exceptions import WeightsUnavailableError


@pytest.fixture
def without_transformers(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)


@pytest.mark.parametrize(
    ("name", "near"), [("ViT-B32", "ViT-B-32"), ("vit-l-14", "ViT-L-14"), ("bundeld", "bundled")]
)
def test_an_unknown_model_is_an_error_with_near_names(name, near):
    with pytest.raises(ValueError, match=f"'{name}' is not a model.*Near names: .*{near}"):
        load_encoder(name, device="cpu")


def test_a_model_that_is_near_none_is_answered_with_where_the_list_is():
    with pytest.raises(ValueError, match=r"open_clip.list_models\(\) has all"):
        load_encoder("xyzzy", device="cpu")


def test_an_unknown_tag_is_an_error_with_the_nearest_and_all_tags():
    message = r"'opnai' is neither a file nor a tag of ViT-B-32.*mean 'openai'.*laion2b_s34b_b79k"
    with pytest.raises(ValueError, match=message):
        load_encoder("ViT-B-32", "opnai", device="cpu")


@pytest.mark.parametrize("name", ["bundled", "hf-hub:owner/name", "local-dir:folder"])
def test_a_tag_for_a_model_with_its_own_weights_is_refused(name):
    with pytest.raises(ValueError, match="brings its own weights, so pretrained='openai'"):
        load_encoder(name, "openai", device="cpu")


def test_an_architecture_alone_is_refused_since_its_weights_are_random():
    with pytest.raises(ValueError, match=r"'ViT-B-32' alone has random.*Tags.*laion2b_s34b_b79k"):
        CLIPPseudoLabeler(["cup", "fork"], model_name="ViT-B-32", device="cpu").fit()
    with pytest.raises(ValueError, match=r"path of a checkpoint. Tags of ViT-S-32-alt: none"):
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


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch32", "someone/model"])
def test_a_checkpoint_of_transformers_is_answered_with_what_open_clip_takes(name):
    words = r'"hf-hub:OWNER/NAME".*transformers have none.*"ViT-B-32", pretrained="openai"'
    with pytest.raises(ValueError, match=f"'{name}' is not a model of open_clip.*{words}"):
        load_encoder(name, device="cpu")
    with pytest.raises(WeightsUnavailableError, match=words):
        load_encoder(f"hf-hub:{name}", device="cpu")


@pytest.mark.parametrize("form", ["{}", "https://huggingface.co/{}/"])
def test_a_repository_that_open_clip_knows_is_answered_with_its_words(form):
    repository = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
    words = f'"ViT-B-32", pretrained="laion2b_s34b_b79k", or "hf-hub:{repository}"'
    with pytest.raises(ValueError, match=words):
        load_encoder(form.format(repository), device="cpu")


def test_a_folder_or_a_file_as_a_name_is_answered_with_where_it_belongs(tmp_path):
    with pytest.raises(ValueError, match=f'write model_name="local-dir:{tmp_path}"'):
        load_encoder(str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match=f"{tmp_path}' is a folder"):
        load_encoder("ViT-B-32", tmp_path, device="cpu")
    file = tmp_path / "epoch_1.pt"
    file.touch()
    with pytest.raises(ValueError, match="Give a file as pretrained"):
        load_encoder(str(file), device="cpu")


@pytest.mark.parametrize(
    ("name", "pretrained"),
    [("ViT-B-16-SigLIP", "webli"), ("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k")],
)
def test_a_missing_package_is_said_before_weights_are_looked_for(
    name, pretrained, without_transformers
):
    with pytest.raises(ImportError, match="pip install transformers sentencepiece") as caught:
        load_encoder(name, pretrained, device="cpu")
    assert f"model_name={name!r} needs the package transformers" in str(caught.value)


def test_a_folder_with_a_tokenizer_of_transformers_says_so(
    tmp_path, tiny_model, without_transformers
):
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
