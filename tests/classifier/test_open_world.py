"""Photos that show none of the classes get no name, nor do names get photos that nothing shows."""

import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.loading import BUNDLED_FOLDER
from sklearn_cdul.training.features import _FeatureReader
from tests.classifier.common import NAMES, gradients

SHOWN, ABSENT = ["bread", "cake", "pizza", "vegetable"], ["zebra", "airplane"]
SETTINGS = {"image_size": 160, "random_state": 0}


def labeler(names):
    return CLIPPseudoLabeler(names, grid_size=1)


@pytest.fixture(scope="module")
def paths(food_photos):
    return food_photos.data[:60]


@pytest.fixture(scope="module")
def model(paths, memory):
    with pytest.warns(UserWarning, match=r"No training photo seems to show 'zebra', 'airplane', 2"):
        return CDULClassifier(
            pseudo_labeler=labeler(SHOWN + ABSENT), memory=memory, **SETTINGS
        ).fit(paths)


def test_names_that_no_photo_shows_are_absent_and_predicted_for_none(model, paths):
    assert model.absent_classes_ == ABSENT
    assert (model.thresholds_[-2:] == 1).all()
    assert (model.auto_thresholds_ < 1).all()
    found = model.predict(paths)
    assert found[:, :4].any() and not found[:, 4:].any()


def test_a_threshold_of_ones_own_finds_an_absent_class_again(model, paths):
    own = pickle.loads(pickle.dumps(model)).set_thresholds({"zebra": 0.0})
    assert own.predict(paths[:12])[:, 4].all()
    assert not own.set_thresholds("auto").predict(paths[:12])[:, 4].any()


def test_annotations_keep_a_class_from_being_absent(model, paths, memory):
    own = pickle.loads(pickle.dumps(model))
    own.fit_thresholds(paths[:3], [["zebra"], [], ["bread"]])
    assert own.thresholds_[4] < 1 and own.thresholds_[5] == 1
    names = SHOWN + ABSENT
    observed = np.full((len(paths), len(names)), np.nan)
    observed[0, 4] = 1
    with pytest.warns(UserWarning, match="No training photo seems to show 'airplane', 1 of 6"):
        fitted = CDULClassifier(pseudo_labeler=labeler(names), memory=memory, **SETTINGS).fit(
            paths, observed=observed
        )
    assert "zebra" not in fitted.absent_classes_


def test_photos_of_something_else_get_no_name(model):
    random = np.random.default_rng(0)
    blank = [np.full((200, 200, 3), grey, np.uint8) for grey in (0, 128, 255)]
    noise = [random.integers(0, 256, (200, 200, 3), dtype=np.uint8) for _ in range(3)]
    assert not model.predict([*blank, *noise]).any()


def test_weight_0_turns_it_off(paths, memory):
    fitted = CDULClassifier(
        pseudo_labeler=labeler(SHOWN + ABSENT), zero_shot_weight=0, memory=memory, **SETTINGS
    ).fit(paths[:12])
    assert fitted.absent_classes_ == []
    assert fitted.network_.zero_shot is None
    assert (fitted.thresholds_ == fitted.auto_thresholds_).all()


def test_saved_networks_keep_it(model, paths):
    loaded = pickle.loads(pickle.dumps(model))
    assert type(loaded.network_) is type(model.network_)
    assert_allclose(loaded.predict_proba(paths[:4]), model.predict_proba(paths[:4]), atol=1e-6)


def test_cosines_keep_their_digits_where_layers_compute_in_bfloat16(model, paths):
    own = pickle.loads(pickle.dumps(model)).set_params(precision="bfloat16")
    assert_allclose(own.predict_proba(paths[:4]), model.predict_proba(paths[:4]), atol=0.05)


@pytest.mark.filterwarnings("ignore:No training photo seems to show")
def test_the_same_tower_under_another_name_has_the_same_background(model, paths):
    folder = f"local-dir:{BUNDLED_FOLDER}"
    same = CLIPPseudoLabeler(SHOWN + ABSENT, model_name=folder, grid_size=1)
    fitted = CDULClassifier(pseudo_labeler=same, **SETTINGS).fit(paths)
    assert fitted.absent_classes_ == ABSENT
    sizes = [len(m.network_.zero_shot.background) for m in (fitted, model)]
    assert sizes[0] == pytest.approx(sizes[1], abs=30)


def test_features_in_memory_serve_other_names(paths, tmp_path, monkeypatch):
    settings = SETTINGS | {"memory": tmp_path}
    CDULClassifier(pseudo_labeler=labeler(SHOWN), **settings).fit(paths[:12])
    # After the look at one grey picture nothing is read any more.
    read, sizes = _FeatureReader.forward, []
    monkeypatch.setattr(
        _FeatureReader, "forward", lambda self, x: sizes.append(len(x)) or read(self, x)
    )
    CDULClassifier(pseudo_labeler=labeler(NAMES), **settings).fit(paths[:12])
    assert sizes == [1]


@pytest.mark.parametrize(
    "settings",
    [{"training": gradients()}, {"network": "test_resnet"}],
    ids=["gradients", "another tower"],
)
def test_networks_that_are_not_the_encoders_tower_go_without(settings, paths):
    if isinstance(settings.get("network"), str):
        import timm

        settings = {"network": lambda num_classes: timm.create_model("test_resnet", num_classes=3)}
    fitted = CDULClassifier(
        pseudo_labeler=labeler(NAMES), **SETTINGS | {"image_size": 64} | settings
    ).fit(paths[:12])
    assert fitted.network_.zero_shot is None
    assert fitted.absent_classes_ == []
    assert isinstance(fitted.network_, torch.nn.Module)
