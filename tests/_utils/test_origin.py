"""What a classifier says it comes from names no folders of the machine."""

from pathlib import Path

import pytest

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul._utils.origin import encoder_name


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "bundled"),
        ({"model_name": "ViT-L-14", "pretrained": "openai"}, "ViT-L-14, openai"),
        ({"model_name": "ViT-B-32", "pretrained": Path("/data/mine/best.pt")}, "ViT-B-32, best.pt"),
        ({"model_name": "ViT-B-32", "pretrained": "C:\\mine\\best.pt"}, "ViT-B-32, best.pt"),
        ({"model_name": "local-dir:/data/mine/clip/"}, "clip"),
        ({"model_name": "hf-hub:timm/ViT-B-16-SigLIP"}, "hf-hub:timm/ViT-B-16-SigLIP"),
    ],
)
def test_an_encoder_is_called_by_its_names(parameters, name):
    assert encoder_name(CLIPPseudoLabeler(**parameters)) == name


def test_print_names_the_encoder(food_photos):
    labeler = CLIPPseudoLabeler(["cake", "salad"], grid_size=1)
    assert str(labeler) == repr(labeler)
    labeler.fit()
    assert str(labeler).splitlines() == [repr(labeler), "encoder: bundled"]
    model = CDULClassifier(pseudo_labeler=labeler, image_size=64, random_state=0)
    assert str(model) == repr(model)
    *parameters, origin = str(model.fit(food_photos.data[:12])).splitlines()
    assert "\n".join(parameters) == repr(model)
    assert origin.startswith("encoder: bundled; ")
    assert origin.endswith("; training: ridge; trained on: 12 photos")
