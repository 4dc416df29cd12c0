"""What fit promises: attributes, seeds, and errors before the long part."""

import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders import unload_encoders
from sklearn_cdul.training import RidgeTraining
from sklearn_cdul.training.building import build_photo_network
from tests.classifier.common import NAMES, QUICK, forbid_encoding, gradients


def test_fitted_attributes(fitted):
    assert fitted.class_names_ == NAMES
    assert_array_equal(fitted.classes_, [[0, 1]] * 3)
    assert fitted.initial_pseudo_labels_.shape == fitted.pseudo_labels_.shape == (20, 3)
    assert fitted.thresholds_.shape == (3,)
    assert not hasattr(fitted, "n_features_in_")


def test_history_has_a_record_an_epoch(fitted):
    assert [record["epoch"] for record in fitted.history_] == [1, 2, 3]
    assert all(record["loss"] >= 0 for record in fitted.history_)
    assert [record["label_movement"] > 0 for record in fitted.history_] == [True, True, False]


def test_the_same_seed_gives_the_same_network_whatever_y(fitted, photos):
    y = np.random.default_rng(1).integers(0, 2, size=(20, 3))
    again = CDULClassifier(NAMES, **QUICK).fit(photos, y)
    assert_array_equal(again.decision_function(photos), fitted.decision_function(photos))
    assert_array_equal(again.pseudo_labels_, fitted.pseudo_labels_)


def test_another_seed_matters_only_where_layers_are_trained(fitted, photos):
    def logits(**changes):
        return CDULClassifier(NAMES, **QUICK | changes).fit(photos).decision_function(photos)

    assert_array_equal(logits(random_state=1), fitted.decision_function(photos))
    trained = {"training": gradients(learning_rate=1e-4)}
    assert not np.array_equal(logits(random_state=1, **trained), logits(**trained))


def test_fit_leaves_the_global_random_state_alone(photos):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    CDULClassifier(NAMES, **QUICK).fit(photos[:4])
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "threshold", [0.2, np.array([0.1, 0.2, 0.3]), pd.Series([0.3, 0.2, 0.1], NAMES[::-1])]
)
def test_thresholds_may_be_given(threshold, photos):
    classifier = CDULClassifier(NAMES, **QUICK, threshold=threshold)
    classifier.fit(photos[:4])
    expected = threshold[NAMES] if isinstance(threshold, pd.Series) else threshold
    assert_array_equal(classifier.thresholds_, np.broadcast_to(expected, 3))


def test_torchs_default_precision_does_not_matter(photos):
    def predict():
        unload_encoders()
        model = CDULClassifier(NAMES, **QUICK).fit(photos[:4])
        return pickle.loads(pickle.dumps(model)).predict_proba(photos[:4])

    expected = predict()
    torch.set_default_dtype(torch.float64)
    try:
        found = predict()
    finally:
        torch.set_default_dtype(torch.float32)
        unload_encoders()
    assert_allclose(found, expected, atol=1e-4)


def no_output_layer(num_classes):
    layers = torch.nn.Conv2d(3, num_classes, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers)


def test_what_can_be_known_beforehand_fails_before_any_photo_is_encoded(photos, monkeypatch):
    forbid_encoding(monkeypatch)
    for changes, fit_arguments, message in [
        ({"network": "resnet10"}, {}, "resnet101"),
        ({"network": lambda num_classes: timm.create_model("resnet18")}, {}, "one logit per class"),
        ({"network": no_output_layer}, {}, 'Set training="gradients"'),
        ({"n_jobs": 0}, {}, "n_jobs"),
        ({"threshold": [0.5]}, {}, "3 classes"),
        ({}, {"observed": np.zeros((2, 3))}, "shape"),
        ({}, {"X_val": photos[:2], "y_val": np.zeros((3, 3))}, "y_val"),
    ]:
        with pytest.raises(ValueError, match=message):
            CDULClassifier(NAMES, **QUICK | changes).fit(photos[:4], **fit_arguments)


def test_a_fit_that_fails_leaves_the_last_one_as_it_was(fitted, photos, monkeypatch):
    classifier = pickle.loads(pickle.dumps(fitted))
    before = classifier.predict_names(photos[:5])
    monkeypatch.setattr("sklearn_cdul.classifier.digest_of_X", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        classifier.set_params(classes=["cat", "dog"]).fit(photos[:4])
    assert classifier.predict_names(photos[:5]) == before


def test_fits_in_threads_encode_at_the_same_time_and_repeat_their_results(fitted, photos):
    together = threading.Barrier(2, timeout=60)

    class Meeting(CLIPPseudoLabeler):
        def aggregate(self, embeddings):
            together.wait()  # for the labels of the other fit
            return super().aggregate(embeddings)

    labeler = Meeting(NAMES, grid_size=1)
    models = [CDULClassifier(**QUICK | {"pseudo_labeler": labeler}) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for model in pool.map(lambda model: model.fit(photos), models):
            assert_array_equal(model.predict_proba(photos), fitted.predict_proba(photos))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": gradients(epochs=0)}, "epochs"),
        ({"training": "adam"}, "training"),
        ({"network": "resnet10000"}, "network"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": [0.1, 0.2]}, "3 classes"),
        ({"threshold": "best"}, "threshold"),
        ({"training": RidgeTraining(sigma=0.0)}, "sigma"),
        ({"device": "tpu7"}, "device"),
        ({"precision": "int4"}, "precision"),
        ({"classes": ["a", "a"]}, "a"),
    ],
)
def test_wrong_parameters_are_refused_in_fit(changes, message, photos):
    settings = {"classes": NAMES, **QUICK, **changes}
    with pytest.raises(ValueError, match=message):
        CDULClassifier(**settings).fit(photos[:4])


def test_verbose_shows_progress(photos, capsys):
    CDULClassifier(NAMES, **QUICK, verbose=True).fit(photos[:4])
    assert "Training" in capsys.readouterr().err


@pytest.mark.slow
def test_the_network_learns_more_than_clip_tells_at_a_glance(food_photos):
    train = food_photos.split == "train"
    paths = np.array(food_photos.data, dtype=object)
    whole = CLIPPseudoLabeler(food_photos.target_names, grid_size=1).fit()
    classifier = CDULClassifier(food_photos.target_names, random_state=0).fit(paths[train])
    X, y = paths[~train], food_photos.target[~train]
    assert classifier.score(X, y) > whole.score(X, y)


def test_the_papers_settings_train_all_layers_and_move_labels_after_the_warm_up(photos):
    settings = QUICK | CDULClassifier.paper_settings() | {"network": "bundled"}
    model = CDULClassifier(**settings).set_params(
        training__epochs=3, training__warmup_epochs=2, training__learning_rate=1e-3
    )
    model.fit(photos[:8])
    assert [record["label_movement"] > 0 for record in model.history_] == [False, True, False]
    fresh = build_photo_network("bundled", len(NAMES)).state_dict()
    first = next(key for key in fresh if key.endswith("conv_stem.weight"))
    assert not (model.network_.state_dict()[first] == fresh[first]).all()


@pytest.mark.parametrize("switch", [torch.no_grad, torch.inference_mode])
def test_fit_trains_where_gradients_are_switched_off(switch, fitted, photos, embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    on_embeddings = CDULClassifier(**QUICK | {"pseudo_labeler": labeler})
    expected = on_embeddings.fit(embeddings).predict_proba(embeddings)
    with switch():
        classifier = CDULClassifier(NAMES, **QUICK).fit(photos)
        on_embeddings.fit(embeddings)
        assert not torch.is_grad_enabled()
    assert_array_equal(classifier.predict_proba(photos), fitted.predict_proba(photos))
    assert_array_equal(on_embeddings.predict_proba(embeddings), expected)


def test_warnings_point_to_the_line_of_the_user(photos, tmp_path):
    y = pd.DataFrame(np.eye(3), columns=NAMES[::-1])
    images = [*photos[:2], str(tmp_path / "missing.jpg")]
    classifier = CDULClassifier(**QUICK | {"on_error": "nan"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.set_params(classes=["猫", "7", "cat"]).fit(images)
        classifier.set_params(classes=NAMES).fit(images, y)
        classifier.predict(images)
        CLIPPseudoLabeler(["cat"], grid_size=1, on_error="nan").fit_transform(images)
    assert len(caught) >= 7
    assert {warning.filename for warning in caught} == {__file__}
