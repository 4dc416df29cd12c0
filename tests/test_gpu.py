"""On a CUDA device everything works as on a CPU, and gives nearly the same; needs such a device."""

import contextlib
import os
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.model_selection import GridSearchCV

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.compute.devices import resolve_device
from sklearn_cdul.compute.transfers import fetch, to_device
from sklearn_cdul.encoders.embedding import embed_photos
from sklearn_cdul.encoders.loading import load_encoder, unload_encoders
from sklearn_cdul.images.items import check_images
from sklearn_cdul.metrics import mean_average_precision
from sklearn_cdul.training import GradientTraining
from sklearn_cdul.training.batches import PhotoSource, epoch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

NAMES = ["bread", "cup", "fruit", "vegetable", "meat"]
# Mean and smallest cosine of an embedding with that of float32 on the CPU.
COSINES = {"float32": (0.9999, 0.999), "bfloat16": (0.99, 0.8), "float16": (0.9999, 0.999)}


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:24]


@pytest.fixture(scope="module")
def on_cpu(photos):
    """Embeddings (24, 10, d) in float32."""
    return embed_photos(load_encoder(device="cpu", precision="float32"), photos)


@pytest.fixture
def little_memory():
    """Lets this process have only so many bytes more than now."""

    def limit(n_bytes):
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(
            (torch.cuda.memory_reserved(0) + n_bytes) / total, 0
        )

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0, 0)
    unload_encoders()


class Given(CLIPPseudoLabeler):
    """Labels that are there, so that nothing but the training needs the GPU."""

    labels: np.ndarray

    def aggregate(self, embeddings):
        return self.labels


@pytest.fixture
def given(photos, monkeypatch):
    labels = np.eye(len(NAMES), dtype=np.float32)[np.arange(len(photos)) % len(NAMES)]
    monkeypatch.setattr(Given, "labels", labels, raising=False)
    return {"pseudo_labeler": Given(NAMES, device="cpu"), "n_neighbors": 0}


def fitted(photos, **changes):
    settings = {"random_state": 0, "device": "cuda"}
    return CDULClassifier(NAMES, **(settings | changes)).fit(photos)


def test_what_goes_there_comes_back():
    """Buffers are used again while copies are under way; a race would show as a wrong sum."""
    device, rng = torch.device("cuda"), np.random.default_rng(0)
    weights = torch.rand(2000, 2000, device=device)
    waiting = []
    for _ in range(100):
        array = rng.integers(0, 255, size=(2000, 2000), dtype=np.uint8)
        there = to_device(torch.from_numpy(array), device)
        (there.float() @ weights).sum()  # keeps the device busy
        waiting.append((array.sum(axis=1), fetch(there.long().sum(dim=1))))
    for expected, finish in waiting:
        np.testing.assert_array_equal(finish(), expected)


@pytest.mark.parametrize("precision", COSINES)
def test_embeddings_are_near_those_of_a_cpu(precision, photos, on_cpu):
    encoder = load_encoder(device="cuda", precision=precision)
    cosines = (embed_photos(encoder, photos, batch_size=50) * on_cpu).sum(axis=-1)
    print(precision, cosines.mean(), cosines.min())
    assert cosines.mean() > COSINES[precision][0]
    assert cosines.min() > COSINES[precision][1]


def test_auto_is_the_gpu_and_every_name_of_it_gives_the_same(photos):
    encoder = load_encoder()
    assert encoder.device.type == "cuda"
    assert encoder.dtype == torch.float16
    expected = embed_photos(encoder, photos[:4])
    for device in ("cuda", "cuda:0", torch.device("cuda", 0)):
        other = embed_photos(load_encoder(device=device), photos[:4])
        assert_allclose(other, expected, atol=1e-6)
    with pytest.raises(ValueError, match="not available"):
        load_encoder(device=f"cuda:{torch.cuda.device_count()}")


def test_a_batch_that_does_not_fit_is_halved(photos, on_cpu, little_memory):
    encoder = load_encoder(device="cuda", precision="float32")
    embed_photos(encoder, photos[:1])  # weights and libraries are there
    little_memory(300 * 2**20)
    embeddings = embed_photos(encoder, photos, batch_size=240)
    assert encoder._largest_batch < 240
    assert (embeddings * on_cpu).sum(axis=-1).min() > COSINES["float32"][1]


def test_if_not_even_one_view_fits_the_error_says_what_to_do(photos, little_memory):
    encoder = load_encoder(device="cuda", precision="float32")
    embed_photos(encoder, photos[:1])
    little_memory(0)
    filling = []  # what is free within reserved blocks goes, too
    for size in (2**21, 2**19, 2**16, 2**10):
        with contextlib.suppress(torch.cuda.OutOfMemoryError):
            while True:
                filling.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    with pytest.raises(torch.cuda.OutOfMemoryError, match='device="cpu"'):
        embed_photos(encoder, photos[:1])


def test_training_that_does_not_fit_says_what_to_set(photos, given, little_memory):
    little_memory(200 * 2**20)
    with pytest.raises(torch.cuda.OutOfMemoryError, match="Set batch_size or image_size lower"):
        training = GradientTraining(learning_rate=1e-4, batch_size=24, head_init="mean")
        fitted(photos, **given, training=training, precision="float32")


def test_fit_and_predict_are_near_those_of_a_cpu(food_photos):
    train, test = (food_photos.split == part for part in ("train", "test"))
    paths = np.array(food_photos.data, dtype=object)
    scores, answers = {}, {}
    for device, precision in [("cpu", "float32"), ("cuda", "float32"), ("cuda", "auto")]:
        model = CDULClassifier(
            food_photos.target_names, random_state=0, device=device, precision=precision
        ).fit(list(paths[train]))
        answers[device, precision] = model.predict_proba(list(paths[test]))
        scores[device, precision] = mean_average_precision(
            food_photos.target[test], answers[device, precision]
        )
    print(scores)
    reference = answers["cpu", "float32"]
    assert_allclose(answers["cuda", "float32"], reference, atol=0.02)
    assert np.abs(answers["cuda", "auto"] - reference).mean() < 0.02
    for score in scores.values():
        assert abs(score - scores["cpu", "float32"]) < 0.01


def test_training_pictures_are_those_of_a_cpu(photos):
    sources = [
        PhotoSource(check_images(photos), image_size=96, device=torch.device(device))
        for device in ("cpu", "cuda")
    ]
    epochs = []
    for source in sources:
        torch.manual_seed(0)
        epochs.append([(i.cpu(), pictures.cpu().int()) for i, pictures in epoch(source, 10)])
    for (here, expected), (there, pictures) in zip(*epochs, strict=True):
        assert torch.equal(here, there)
        assert (pictures - expected).abs().max() <= 2


@pytest.mark.parametrize("settings", [{}, {"training": GradientTraining(batch_size=8)}])
def test_a_seed_repeats_a_fit(settings, photos):
    first, second = (fitted(photos, **settings).predict_proba(photos) for _ in range(2))
    assert_allclose(first, second, atol=0.01)


def test_all_layers_learn(photos, given):
    training = GradientTraining(12, learning_rate=3e-4, update_interval=0, head_init="mean")
    model = fitted(photos, **given, training=training)
    assert model.history_[-1]["loss"] < 0.8 * model.history_[0]["loss"]
    assert next(model.network_.parameters()).device.type == "cuda"


def test_a_model_fitted_on_a_gpu_predicts_where_there_is_none(photos, tmp_path):
    model = fitted(photos, device="auto")
    expected = model.predict_proba(photos[:6])
    (tmp_path / "model.pickle").write_bytes(pickle.dumps(model))
    joblib.dump(photos[:6], tmp_path / "photos")
    script = """if True:  # so that it may be indented
        import joblib, pickle, sys
        import torch
        assert not torch.cuda.is_available()
        model = pickle.load(open(sys.argv[1] + "/model.pickle", "rb"))
        photos = joblib.load(sys.argv[1] + "/photos")
        joblib.dump(model.predict_proba(photos), sys.argv[1] + "/answers")
    """
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert_allclose(joblib.load(tmp_path / "answers"), expected, atol=0.03)
    again = pickle.loads(pickle.dumps(model))
    assert next(again.network_.parameters()).device.type == "cpu"
    assert_allclose(again.predict_proba(photos[:6]), expected, atol=0.01)  # back on the GPU


def test_an_encoder_leaves_the_gpu_and_comes_back(photos):
    encoder = load_encoder(device="cuda", precision="float32")
    before = embed_photos(encoder, photos[:2])
    encoder.offload()
    assert encoder._model.logit_scale.device.type == "cpu"
    assert_allclose(embed_photos(encoder, photos[:2]), before, atol=1e-5)


def test_embeddings_of_a_gpu_are_kept_and_of_a_broken_photo_nothing_is(photos, tmp_path):
    """Batches run one ahead; what was begun before the broken photo is stored."""
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 no photo")
    labeler = CLIPPseudoLabeler(NAMES, memory=tmp_path / "kept", device="cuda", batch_size=20)
    labeler.set_params(on_error="nan").fit()
    first = labeler.transform([*photos[:5], broken, *photos[5:9]])
    assert np.isnan(first[5]).all() and np.isfinite(np.delete(first, 5, axis=0)).all()
    again = labeler.transform([*photos[:5], broken, *photos[5:9]])
    np.testing.assert_array_equal(first, again)


def test_prediction_marks_a_broken_photo(photos, tmp_path):
    model = fitted(photos, on_error="nan")
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no photo")
    with pytest.warns(UserWarning, match="1 of 3 images"):
        answers = model.predict_proba([photos[0], broken, photos[1]])
    assert np.isnan(answers[1]).all() and np.isfinite(answers[[0, 2]]).all()
    assert_allclose(answers[[0, 2]], model.predict_proba(photos[:2]), atol=0.01)


def test_vectors_made_elsewhere_train_on_a_gpu():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 1, 256)).astype(np.float32)
    answers = {}
    for device in ("cpu", "cuda"):
        labeler = CLIPPseudoLabeler(NAMES, input="embeddings", device=device)
        model = CDULClassifier(pseudo_labeler=labeler, device=device, random_state=0)
        answers[device] = model.fit(vectors).predict_proba(vectors)
    assert_allclose(answers["cuda"], answers["cpu"], atol=1e-3)


def test_processes_of_a_search_share_the_gpu(food_photos, tmp_path):
    labeler = CLIPPseudoLabeler(food_photos.target_names, memory=tmp_path, device="cuda")
    search = GridSearchCV(labeler, {"global_weight": [0.3, 0.7]}, cv=2, n_jobs=2, refit=False)
    search.fit(food_photos.data[:16], food_photos.target[:16])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_a_fork_of_a_process_that_used_the_gpu_takes_the_cpu(in_a_fork):
    torch.zeros(1, device="cuda")

    def look():
        with pytest.warns(UserWarning, match="forked"):
            assert resolve_device("auto").type == "cpu"

    assert in_a_fork(look) == 0
