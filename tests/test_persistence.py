import copy
import functools
import json
import pickle
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import onnx
import onnxruntime
import pytest
import skops.io
import timm
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from sklearn.exceptions import NotFittedError

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul._utils.origin import origin_of
from sklearn_cdul.images.items import check_images
from sklearn_cdul.images.pictures import PREPROCESSING
from sklearn_cdul.training import building
from sklearn_cdul.training.batches import PhotoSource
from sklearn_cdul.training.building import pack_network, unpack_network
from sklearn_cdul.training.network import PhotoNetwork
from tests.pages import python_blocks

NAMES = ["pizza", "cake", "café"]
GUIDE = Path(__file__).parents[1] / "docs" / "persistence.rst"
TRUSTED = ["sklearn_cdul.classifier.CDULClassifier", "sklearn_cdul.labeler.CLIPPseudoLabeler"]
QUICK = {
    "pseudo_labeler": CLIPPseudoLabeler(NAMES, grid_size=1),
    "image_size": 64,
    "precision": "float32",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:16]


@pytest.fixture(scope="module")
def fitted(photos):
    return CDULClassifier(NAMES, **QUICK).fit(photos)


@pytest.fixture(scope="module")
def fitted_callable(photos):
    network = functools.partial(timm.create_model, "test_resnet")
    return CDULClassifier(NAMES, **QUICK, network=network).fit(photos)


@pytest.fixture(scope="module")
def embeddings(photos):
    return CLIPPseudoLabeler(NAMES, grid_size=1).embed(photos)[:, 0]


@pytest.fixture(scope="module")
def fitted_embeddings(embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    return CDULClassifier(**QUICK | {"pseudo_labeler": labeler}).fit(embeddings)


def pixels(photos):
    source = PhotoSource(check_images(photos), image_size=64, device=torch.device("cpu"))
    return torch.cat(list(source.prediction({}))).numpy()


def code_of_the_guide(word):
    """The one Python example of docs/persistence.rst in which the word occurs."""
    if not GUIDE.exists():
        pytest.skip("this test reads a checkout of the source")
    (found,) = [block for block in python_blocks(GUIDE) if word in block]
    return found


# Files of Python


@pytest.mark.parametrize("kind", ["fitted", "fitted_callable", "fitted_embeddings"])
def test_a_pickle_gives_the_same_predictions_and_leaves_the_estimator_alone(
    kind, photos, embeddings, request
):
    classifier = request.getfixturevalue(kind)
    X = embeddings if kind == "fitted_embeddings" else photos
    network = classifier.network_
    loaded = pickle.loads(pickle.dumps(classifier))
    assert classifier.network_ is network
    assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    assert loaded.predict_names(X) == classifier.predict_names(X)


def test_files_hold_the_network_and_the_labels_and_no_clip(fitted, tmp_path):
    network_bytes = sum(value.nbytes for value in fitted.network_.state_dict().values())
    label_bytes = fitted.initial_pseudo_labels_.nbytes + fitted.pseudo_labels_.nbytes
    joblib.dump(fitted, tmp_path / "model.joblib")
    skops.io.dump(fitted, tmp_path / "model.skops")
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(fitted))
    for path in tmp_path.iterdir():
        size = path.stat().st_size - label_bytes
        # skops keeps each array in a file of its own inside a zip archive.
        assert network_bytes < size < 1.03 * network_bytes, path


def test_prediction_from_files_imports_no_clip_and_touches_no_cuda(photos, fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "model.joblib")
    skops.io.dump(fitted, tmp_path / "model.skops")
    code = (
        "import sys, torch\n"
        "for name in ('_lazy_init', 'init', 'current_device', 'get_rng_state', 'manual_seed'):\n"
        "    setattr(torch.cuda, name, lambda *args, **kwargs: sys.exit('CUDA was touched'))\n"
        "import joblib, skops.io\n"
        f"models = [joblib.load({str(tmp_path / 'model.joblib')!r}),\n"
        f"    skops.io.load({str(tmp_path / 'model.skops')!r}, trusted={TRUSTED})]\n"
        f"for model in models:\n"
        f"    assert model.set_params(device='cpu').predict({photos[:2]!r}).shape == (2, 3)\n"
        "assert 'open_clip' not in sys.modules, 'open_clip was imported'\n"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr


def test_a_saved_network_by_name_is_arrays_and_a_name(fitted):
    state = fitted.__getstate__()["network_"]
    assert state["architecture"] == "tf_efficientnet_lite2"
    assert {type(array) for array in state["arrays"].values()} == {np.ndarray}


def test_loading_leaves_the_global_random_state_alone(fitted):
    data = pickle.dumps(fitted)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pickle.loads(data)
    assert torch.equal(torch.rand(3), expected)


def test_networks_of_timm_are_built_anew_and_changed_ones_are_kept():
    network = PhotoNetwork(
        timm.create_model("test_resnet", num_classes=3),
        (0.4,) * 3,
        (0.2,) * 3,
        freeze_batch_norm=True,
    ).eval()
    network.architecture = "test_resnet"
    changed, half = copy.deepcopy(network), copy.deepcopy(network).half()
    changed.backbone.act1 = torch.nn.SiLU()
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    for model, kind in [(network, dict), (changed, PhotoNetwork), (half, PhotoNetwork)]:
        state = pack_network(model, 3)
        assert type(state) is kind
        loaded = unpack_network(state)
        with torch.inference_mode():
            torch.testing.assert_close(loaded.float()(pixels), model.float()(pixels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "hf-hub:somebody/something"}, "no network 'hf-hub"),
        ({"n_classes": 4}, r"do not fit.*timm 0\.0"),
    ],
)
def test_files_that_do_not_fit_the_installed_timm_say_so(changes, message, fitted):
    state = fitted.__getstate__()["network_"] | {"timm_version": "0.0"} | changes
    with pytest.raises(ValueError, match=message):
        unpack_network(state)


def test_skops_needs_the_two_types_of_the_guide(fitted, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"model": fitted}
    exec(code_of_the_guide("skops.io"), names)
    assert names["TRUSTED"] == TRUSTED
    assert names["model"] is not fitted
    assert_array_equal(names["model"].predict_proba(photos), fitted.predict_proba(photos))
    assert skops.io.get_untrusted_types(file="model.skops") == TRUSTED


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": {"pizza": ["pizza", "flatbread"], "cake": ["cake"]}},
        {"threshold": [0.1, 0.2, 0.3], "neighbor_weight": np.float64(0.3)},
        {"random_state": np.random.RandomState(0)},
    ],
)
def test_skops_needs_no_more_types_for_other_parameters(changes, embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings", memory="folder")
    settings = QUICK | {"pseudo_labeler": labeler} | changes
    classifier = CDULClassifier(**settings).fit(embeddings)
    loaded = skops.io.loads(skops.io.dumps(classifier), trusted=TRUSTED)
    assert_array_equal(loaded.predict_proba(embeddings), classifier.predict_proba(embeddings))


def test_parameters_that_came_after_a_file_was_saved_get_their_defaults(fitted, photos):
    old = pickle.loads(pickle.dumps(fitted))
    newer = [(old, "regions"), (old, "training"), (old, "on_error")]
    newer += [(old.pseudo_labeler, "views"), (old.pseudo_labeler_, "background_classes")]
    for estimator, name in newer:
        delattr(estimator, name)
    from_pickle = pickle.loads(pickle.dumps(old))
    from_skops = skops.io.loads(skops.io.dumps(old), trusted=TRUSTED)
    for loaded in (from_pickle, from_skops):
        assert loaded.get_params()["regions"] == CDULClassifier().regions
        assert loaded.get_params()["pseudo_labeler__views"] == CLIPPseudoLabeler().views
        assert loaded.pseudo_labeler_.get_params()["background_classes"] is None
        assert loaded.image_size == fitted.image_size == 64
        assert_array_equal(loaded.predict_proba(photos), fitted.predict_proba(photos))


class LabelerOfFewParameters(CLIPPseudoLabeler):
    def __init__(self, classes=None, *, grid_size=2):
        super().__init__(classes, grid_size=grid_size)


def test_attributes_that_came_after_a_file_was_saved_have_defaults(fitted, photos):
    state = fitted.__getstate__()
    later = ("X_digest_", "auto_thresholds_", "history_", "calibration_", "auto_calibration_")
    for name in (*later, "absent_classes_"):
        del state[name]
    old = CDULClassifier.__new__(CDULClassifier)
    old.__setstate__(state)
    assert_array_equal(old.set_thresholds("auto").thresholds_, fitted.thresholds_)
    assert old.X_digest_ is None and old.history_ == old.absent_classes_ == []
    # Probabilities were the network's own then, and its thresholds are on the same scale.
    slope, offset, _ = fitted.calibration_.T
    before = (fitted.decision_function(photos) - offset) / slope
    assert_allclose(old.decision_function(photos), before, atol=1e-4)
    assert_array_equal(old.predict(photos), old.predict_proba(photos) >= fitted.thresholds_)


def test_a_subclass_gets_the_defaults_that_it_does_not_name_itself():
    old = LabelerOfFewParameters(NAMES)
    del old.grid_size, old.views
    loaded = pickle.loads(pickle.dumps(old))
    assert (loaded.grid_size, loaded.views) == (2, CLIPPseudoLabeler().views)


def test_paths_and_devices_are_text_in_files(photos, tmp_path):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path, device=torch.device("cpu"))
    classifier = CDULClassifier(
        **QUICK | {"pseudo_labeler": labeler},
        memory=tmp_path / "other",
        device=torch.device("cpu"),
    ).fit(photos[:4])
    data = pickle.dumps(classifier)
    assert b"pathlib" not in data
    assert b"torch" not in data
    loaded = pickle.loads(data)
    assert loaded.memory == str(tmp_path / "other")
    assert loaded.device == loaded.pseudo_labeler.device == "cpu"
    assert_array_equal(loaded.predict_proba(photos[:4]), classifier.predict_proba(photos[:4]))
    assert classifier.memory == tmp_path / "other"


# ONNX


@pytest.mark.parametrize("n", [1, 2, 16])
def test_onnx_gives_the_probabilities_for_any_batch_size(n, exported, photos):
    fitted, onnx_file = exported
    session = onnxruntime.InferenceSession(onnx_file)
    (found,) = session.run(["probabilities"], {"pixels": pixels(photos[:n])})
    assert found.dtype == np.float32
    assert_allclose(found, fitted.predict_proba(photos[:n]), atol=1e-4)
    # The photos differ, so agreement means something.
    assert np.ptp(fitted.predict_proba(photos), axis=0).max() > 0.1


def test_onnx_of_embeddings(fitted_embeddings, embeddings, tmp_path, capfd):
    path = tmp_path / "model.onnx"
    path.write_text("something else")
    fitted_embeddings.export_onnx(str(path))
    assert capfd.readouterr().out == ""
    session = onnxruntime.InferenceSession(path)
    assert "image_size" not in session.get_modelmeta().custom_metadata_map
    for n in (1, 16):
        (found,) = session.run(["probabilities"], {"embeddings": embeddings[:n]})
        assert_allclose(found, fitted_embeddings.predict_proba(embeddings[:n]), atol=1e-4)


def test_onnx_stores_what_prediction_needs_and_nothing_of_this_machine(exported):
    fitted, onnx_file = exported
    stored = onnxruntime.InferenceSession(onnx_file).get_modelmeta().custom_metadata_map
    assert {key: json.loads(value) for key, value in stored.items()} == {
        "format": 1,
        "class_names": NAMES,
        "thresholds": fitted.thresholds_.tolist(),
        "image_size": 64,
        "preprocessing": PREPROCESSING,
        "origin": origin_of(fitted),
    }
    model = onnx.load(onnx_file)
    for weights in model.graph.initializer:
        weights.ClearField("raw_data")  # their bytes spell anything by chance
    data = model.SerializeToString()
    assert b"site-packages" not in data
    assert b".py" not in data


def test_the_guide_shows_how_photos_become_pixels(
    exported, food_photos, tmp_path, monkeypatch, capsys
):
    fitted, onnx_file = exported
    # Not those of the training: one of them may lie on a threshold, on either side after rounding.
    photos = food_photos.data[16:32]
    turned = Image.open(photos[0]).resize((700, 450))
    turned.getexif()[0x0112] = 6  # orientation: a quarter turn
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    turned.convert("L").save(tmp_path / "grey.png")
    paths = [*photos, tmp_path / "turned.jpg", tmp_path / "grey.png"]
    monkeypatch.chdir(onnx_file.parent)
    names = {"paths": paths}
    code = code_of_the_guide("onnxruntime")
    assert "sklearn" not in code
    exec(code, names)
    assert_allclose(names["probabilities"], fitted.predict_proba(paths), atol=1e-4)
    assert capsys.readouterr().out == f"{fitted.predict_names(paths)}\n"


def test_onnx_of_a_callable_network_leaves_the_classifier_alone(fitted_callable, photos, tmp_path):
    def describe():
        modules = [(m, m.training, getattr(m, "inplace", None)) for m in network.modules()]
        return modules, dict(vars(fitted_callable))

    network = fitted_callable.network_
    network.backbone.fc.train()
    before, weights = describe(), copy.deepcopy(network.state_dict())
    fitted_callable.export_onnx(tmp_path / "model.onnx")
    assert describe() == before
    after = network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in weights.items())

    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for n in (1, 5):
        (found,) = session.run(None, {"pixels": pixels(photos[:n])})
        assert_allclose(found, fitted_callable.predict_proba(photos[:n]), atol=1e-4)


def test_onnx_export_without_its_packages_says_what_to_install(fitted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"sklearn-cdul\[onnx\]"):
        fitted.export_onnx(tmp_path / "model.onnx")


def test_onnx_export_needs_a_fitted_classifier(tmp_path):
    with pytest.raises(NotFittedError):
        CDULClassifier(NAMES).export_onnx(tmp_path / "model.onnx")


def test_a_file_that_names_a_larger_network_is_refused_before_that_is_built(fitted, monkeypatch):
    state = fitted.__getstate__()["network_"] | {"architecture": "resnet101"}
    build, devices = building._build, []
    monkeypatch.setattr(building, "_build", lambda *size: devices.append(size[-1]) or build(*size))
    with pytest.raises(ValueError, match=r"do not fit the network 'resnet101'"):
        unpack_network(state)
    assert devices == ["meta"]
