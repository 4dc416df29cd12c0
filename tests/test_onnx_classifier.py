"""An exported classifier predicts as the one it came from, with three packages and no PyTorch."""

import io
import json
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import sklearn_cdul
from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler, load_onnx, onnx_classifier
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.review import LabelReport

NAMES = ["pizza", "cake", "café"]
OTHER_GRAPH = Path(sklearn_cdul.__file__).parent / "compute/graphs/bundled_int8.onnx"


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[16:32]


@pytest.fixture(scope="module")
def fitted(exported):
    return exported[0]


@pytest.fixture(scope="module")
def path(exported):
    return exported[1]


@pytest.fixture(scope="module")
def embeddings(photos):
    vectors = CLIPPseudoLabeler(NAMES, grid_size=1).embed(photos)[:, 0]
    return pd.DataFrame(vectors, columns=[f"feature {i}" for i in range(vectors.shape[1])])


@pytest.fixture(scope="module")
def fitted_embeddings(embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    return CDULClassifier(pseudo_labeler=labeler, random_state=0).fit(embeddings)


@pytest.fixture(scope="module")
def embeddings_path(fitted_embeddings, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "embeddings.onnx"
    fitted_embeddings.export_onnx(path)
    return path


def changed(path, target, **metadata):
    """A copy of a file with other metadata; None takes a value away."""
    model = onnx.load(path)
    texts = {each.key: each.value for each in model.metadata_props} | metadata
    del model.metadata_props[:]
    kept = {key: text for key, text in texts.items() if text is not None}
    onnx.helper.set_model_props(model, kept)
    target.write_bytes(model.SerializeToString())
    return target


# Predictions


def assert_same_predictions(model, fitted, X):
    expected = fitted.predict_proba(X)
    found = model.predict_proba(X)
    assert_allclose(found, expected, atol=1e-5)
    assert found.dtype == expected.dtype == np.float32
    labels = model.predict(X)
    assert_array_equal(labels, fitted.predict(X))
    assert labels.dtype == np.int64
    assert model.predict_names(X) == fitted.predict_names(X)
    return expected


@pytest.mark.parametrize("n_jobs", [None, 1, 3])
def test_predictions_are_those_of_the_classifier(path, fitted, photos, n_jobs):
    model = load_onnx(path, n_jobs=n_jobs)
    assert model.class_names_ == NAMES
    assert_array_equal(model.thresholds_, fitted.thresholds_)
    assert model.image_size_ == 64
    assert repr(model).startswith("<ONNXClassifier of images, 3 classes, encoder bundled, network")
    expected = assert_same_predictions(model, fitted, photos)
    assert len(np.unique(fitted.predict(photos))) == 2
    for index in (0, 5):
        alone = model.predict_proba(photos[index : index + 1])
        assert_allclose(alone, expected[index : index + 1], atol=1e-5)


def test_photos_come_in_every_form_that_the_classifier_takes(path, fitted, photos, tmp_path):
    turned = Image.open(photos[0]).resize((700, 450))
    turned.getexif()[0x0112] = 6  # orientation: a quarter turn
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    clear = Image.new("RGBA", (90, 70), (200, 30, 30, 100))
    deep = Image.fromarray(np.arange(4800, dtype=np.uint16).reshape(60, 80))
    X = [
        photos[0],
        Path(photos[1]),
        open(photos[2], "rb"),  # noqa: SIM115
        io.BytesIO(Path(photos[3]).read_bytes()),
        Path(photos[4]).read_bytes(),
        Image.open(photos[5]),
        np.asarray(Image.open(photos[6])),
        tmp_path / "turned.jpg",
        clear,
        deep,
    ]
    with X[2]:
        assert_same_predictions(load_onnx(path), fitted, X)
    assert_same_predictions(load_onnx(path), fitted, np.zeros((2, 50, 40, 3), dtype=np.uint8))


def test_a_photo_that_cannot_be_read_gives_the_errors_of_the_classifier(path, fitted, photos):
    model = load_onnx(path)
    for X in ([photos[0], "missing.jpg"], [photos[0], b"\xff\xd8no photo"], [], photos[0], [1.5]):
        with pytest.raises((ValueError, TypeError)) as expected:
            fitted.predict(X)
        with pytest.raises(expected.type) as found:
            model.predict(X)
        assert str(found.value) == str(expected.value)
    with pytest.raises(ImageError) as caught:
        model.predict([photos[0], "missing.jpg"])
    assert (caught.value.index, caught.value.path) == (1, "missing.jpg")


def test_a_file_that_goes_away_after_the_check_is_an_error_too(path, photos, monkeypatch):
    monkeypatch.setattr(onnx_classifier, "check_files", lambda *_, **__: None)
    with pytest.raises(ImageError, match=r"X\[1\] \(missing.jpg\).*on_error"):
        load_onnx(path).predict([photos[0], "missing.jpg"])


def test_on_error_nan_gives_nan_and_no_names(path, photos):
    model = load_onnx(path, on_error="nan")
    X = [photos[0], "missing.jpg", photos[1]]
    with pytest.warns(UserWarning, match=r"1 of 3 images.*missing\.jpg"):
        probabilities = model.predict_proba(X)
    assert_array_equal(np.isnan(probabilities).any(axis=1), [False, True, False])
    with pytest.warns(UserWarning, match="1 of 3"):
        assert model.predict(X)[1].tolist() == [0, 0, 0]
    with pytest.warns(UserWarning, match="1 of 3"):
        assert model.predict_names(X)[1] == []


def test_embeddings_give_the_predictions_of_the_classifier(
    embeddings_path, fitted_embeddings, embeddings, monkeypatch
):
    model = load_onnx(embeddings_path)
    assert not hasattr(model, "image_size_")
    assert model.n_features_in_ == fitted_embeddings.n_features_in_
    expected = assert_same_predictions(model, fitted_embeddings, embeddings)
    vectors = embeddings.to_numpy()
    views = np.stack([vectors, np.zeros_like(vectors)], axis=1)
    monkeypatch.setattr(onnx_classifier, "_AT_ONCE", 5)
    for X in (vectors, vectors.astype(np.float64), list(vectors), views):
        assert_allclose(model.predict_proba(X), expected, atol=1e-5)


def test_embeddings_that_do_not_fit_are_refused(embeddings_path, embeddings):
    model, vectors = load_onnx(embeddings_path), embeddings.to_numpy()
    holes = vectors.copy()
    holes[1, 3] = np.nan
    for X, message in (
        (vectors[:, :-1], r"X must have shape \(n, \d+\)"),
        (vectors[:0], "at least one row"),
        (vectors[0], "X must have shape"),
        (np.full_like(vectors, "a", dtype=object), "X must be an array of numbers"),
        (["a.jpg"], 'input="images"'),
        (embeddings[embeddings.columns[::-1]], "the names and the order"),
        (holes, "contains NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message):
            model.predict(X)
    model = load_onnx(embeddings_path, on_error="nan")
    assert_array_equal(np.isnan(model.predict_proba(holes)).all(axis=1), np.arange(16) == 1)
    with pytest.raises(ValueError, match="infinity"):
        model.predict(np.where(np.isnan(holes), np.inf, holes))


def test_nan_from_the_network_is_no_prediction(embeddings_path, embeddings, tmp_path):
    model = onnx.load(embeddings_path)
    mean = next(array for array in model.graph.initializer if array.name.endswith("mean"))
    mean.raw_data = np.full(embeddings.shape[1], np.nan, np.float32).tobytes()
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(FloatingPointError, match=r"NaN for X\[0\]"):
        load_onnx(tmp_path / "model.onnx").predict(embeddings)


# What it needs


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


OTHERS = """
own = {"sklearn_cdul", "numpy", "PIL", "onnxruntime", "__main__", "__mp_main__"}
others = {name.split(".")[0] for name in sys.modules} - own - set(sys.stdlib_module_names)
print(sorted(name for name in others - before if not name.startswith(("_", "cython"))))
"""


def test_nothing_is_imported_but_numpy_pillow_and_onnxruntime(
    path, photos, embeddings_path, embeddings, tmp_path
):
    np.save(tmp_path / "embeddings.npy", embeddings.to_numpy())
    code = """
import sys
before = {name.split(".")[0] for name in sys.modules}
import numpy as np
from sklearn_cdul import load_onnx
from sklearn_cdul.exceptions import ImageError
model = load_onnx(sys.argv[1])
assert model.predict(sys.argv[4:]).shape == (2, 3)
assert len(model.predict_names(sys.argv[4:5])) == 1
try:
    model.predict([sys.argv[4], "missing.jpg"])
except ImageError as error:
    assert error.index == 1
assert load_onnx(sys.argv[2], n_jobs=-1).predict(np.load(sys.argv[3])).shape == (16, 3)
"""
    files = [path, embeddings_path, tmp_path / "embeddings.npy", *photos[:2]]
    assert run(code + OTHERS, *files).strip() == "[]"


def test_the_command_line_predicts_with_no_more(path, photos):
    code = """
import sys
before = {name.split(".")[0] for name in sys.modules}
from sklearn_cdul.cli import main
assert main(["predict", "--quiet", *sys.argv[1:]]) == 0
"""
    lines = run(code + OTHERS, path, *photos[:2]).splitlines()
    assert lines[0] == "path,labels"
    assert lines[-1] == "[]"


def test_without_onnxruntime_it_says_what_to_install(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install onnxruntime"):
        load_onnx(path)


def test_the_file_may_go_away_and_the_model_may_be_pickled(path, fitted, photos, tmp_path):
    copy = tmp_path / "copy.onnx"
    copy.write_bytes(path.read_bytes())
    model = load_onnx(copy, n_jobs=2)
    copy.unlink()
    for each in (model, pickle.loads(pickle.dumps(model))):
        assert_allclose(each.predict_proba(photos), fitted.predict_proba(photos), atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_can_use_it(path, photos, in_a_fork):
    model = load_onnx(path, n_jobs=2)
    expected = model.predict_proba(photos)

    def child():
        assert_allclose(model.predict_proba(photos), expected, atol=1e-5)
        assert_allclose(model.predict_proba(photos[:1]), expected[:1], atol=1e-5)

    assert in_a_fork(child) == 0
    assert_allclose(model.predict_proba(photos), expected, atol=1e-5)


def test_a_report_takes_it(path, fitted, photos):
    report, expected = (LabelReport.from_estimator(m, photos) for m in (load_onnx(path), fitted))
    assert_allclose(report.scores, expected.scores, atol=1e-5)
    assert_array_equal(report.thresholds, expected.thresholds)
    assert report.class_names == expected.class_names == NAMES


def test_verbose_shows_the_phases(path, photos, capsys):
    load_onnx(path).predict(photos[:2])
    assert capsys.readouterr().err == ""
    load_onnx(path, verbose=True).predict(photos[:2])
    error = capsys.readouterr().err
    assert "Checking photos" in error
    assert "Predicting" in error


def test_without_tqdm_there_are_no_bars(path, photos, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    assert len(load_onnx(path, verbose=True).predict(photos[:2])) == 2
    assert capsys.readouterr().err == ""


# Files that can't be used


def test_files_of_others_and_of_other_versions_are_refused(path, tmp_path):
    (tmp_path / "text.onnx").write_text("no graph")
    (tmp_path / "cut.onnx").write_bytes(path.read_bytes()[:5000])
    other = tmp_path / "other.onnx"
    preparing = json.dumps({"resize": "cropped"})
    for file, message in (
        (tmp_path / "text.onnx", "text.onnx is not an ONNX file that onnxruntime"),
        (tmp_path / "cut.onnx", "cut.onnx is not an ONNX file"),
        (OTHER_GRAPH, "bundled_int8.onnx was not written by CDULClassifier.export_onnx"),
        (changed(path, tmp_path / "old.onnx", format=None), "by an older version.*Export"),
        (changed(path, tmp_path / "new.onnx", format="2"), "by a newer version"),
        (changed(path, tmp_path / "way.onnx", preprocessing=preparing), "another way.*cropped"),
        (changed(path, tmp_path / "no.onnx", preprocessing=None), "another way"),
        (changed(path, tmp_path / "json.onnx", thresholds="[0.1,"), "json.onnx are damaged"),
        (changed(path, tmp_path / "few.onnx", thresholds="[0.1]"), "each of the 3 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            load_onnx(file)
    with pytest.raises(FileNotFoundError, match=r"other\.onnx"):
        load_onnx(other)


def test_metadata_that_are_no_text_are_refused(embeddings_path, tmp_path, capsys):
    damaged = tmp_path / "damaged.onnx"
    data = Path(embeddings_path).read_bytes()
    damaged.write_bytes(data.replace(b"thresholds", b"thre\xffholds"))
    with pytest.raises(ValueError, match=r"damaged\.onnx (is damaged|is not an ONNX file)"):
        load_onnx(damaged)
    assert capsys.readouterr().out == ""  # onnxruntime prints when it tries again


def test_wrong_parameters_are_refused(path):
    with pytest.raises(ValueError, match="on_error"):
        load_onnx(path, on_error="ignore")
    with pytest.raises(ValueError, match="n_jobs"):
        load_onnx(path, n_jobs=0)
