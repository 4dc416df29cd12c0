import functools
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from numpy.testing import assert_array_equal
from PIL import Image
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.utils.multiclass import type_of_target

from sklearn_cdul import CDULClassifier, CLIPPseudoLabeler
from sklearn_cdul.encoders.clip import CLIPEncoder
from sklearn_cdul.exceptions import ImageError
from sklearn_cdul.images.decoding import decode
from sklearn_cdul.labels.neighbors import smooth_labels

NAMES = ["pizza", "cake", "coffee"]
# No snippets, small pictures, few epochs: these tests are about manners, not accuracy.
QUICK = {
    "pseudo_labeler": CLIPPseudoLabeler(NAMES, grid_size=1),
    "image_size": 64,
    "epochs": 3,
    "warmup_epochs": 1,
    "batch_size": 8,
    "random_state": 0,
}


@pytest.fixture(scope="module")
def photos(food_photos):
    return food_photos.data[:20]


@pytest.fixture(scope="module")
def fitted(photos):
    return CDULClassifier(NAMES, **QUICK).fit(photos)


@pytest.fixture(scope="module")
def embeddings(photos):
    return CLIPPseudoLabeler(NAMES, grid_size=2).embed(photos)


def test_predictions_have_the_promised_shapes_and_ranges(fitted, photos):
    logits, proba = fitted.decision_function(photos[:5]), fitted.predict_proba(photos[:5])
    assert logits.shape == proba.shape == (5, 3)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, 1 / (1 + np.exp(-logits)), rtol=1e-5)
    predicted = fitted.predict(photos[:5])
    assert predicted.dtype == np.int64
    assert_array_equal(predicted, proba >= fitted.thresholds_)
    assert type_of_target(predicted) == "multilabel-indicator"


def test_fitted_attributes(fitted):
    assert fitted.class_names_ == NAMES
    assert_array_equal(fitted.classes_, [[0, 1]] * 3)
    assert fitted.initial_pseudo_labels_.shape == fitted.pseudo_labels_.shape == (20, 3)
    assert fitted.thresholds_.shape == (3,)
    assert not hasattr(fitted, "n_features_in_")


def test_initial_labels_are_those_of_the_labeler(fitted, photos):
    assert_array_equal(
        fitted.initial_pseudo_labels_, CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(photos)
    )


def test_history_has_a_record_an_epoch(fitted):
    assert [record["epoch"] for record in fitted.history_] == [1, 2, 3]
    assert all(record["loss"] >= 0 for record in fitted.history_)
    assert [record["label_movement"] > 0 for record in fitted.history_] == [True, True, False]


def test_history_has_the_validation_map(photos, food_photos):
    y = food_photos.target[:20][:, [food_photos.target_names.index(name) for name in NAMES]]
    classifier = CDULClassifier(NAMES, **QUICK).fit(photos, X_val=photos, y_val=y)
    figures = [record["validation_map"] for record in classifier.history_]
    assert figures[-1] == pytest.approx(classifier.score(photos, y), abs=1e-6)
    with pytest.raises(ValueError, match="together"):
        CDULClassifier(NAMES, **QUICK).fit(photos, X_val=photos)


def test_labels_move_unless_the_interval_is_zero(fitted, photos):
    assert np.abs(fitted.pseudo_labels_ - fitted.initial_pseudo_labels_).max() > 0.01
    still = CDULClassifier(NAMES, **QUICK, update_interval=0, n_neighbors=0).fit(photos)
    np.testing.assert_allclose(still.pseudo_labels_, still.initial_pseudo_labels_, atol=2e-4)


def test_labels_are_mixed_with_those_of_photos_that_look_alike(photos):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1)
    settings = QUICK | {"update_interval": 0, "epochs": 1}
    classifier = CDULClassifier(**settings, n_neighbors=4, neighbor_weight=0.3).fit(photos)
    labels = labeler.fit_transform(photos)
    assert_array_equal(classifier.initial_pseudo_labels_, labels)
    expected = smooth_labels(labels, labeler.embed(photos)[:, 0], n_neighbors=4, weight=0.3)
    np.testing.assert_allclose(classifier.pseudo_labels_, expected, atol=2e-4)


def test_training_begins_with_a_probe_of_some_photos(photos, monkeypatch):
    settings = QUICK | {"head_learning_rate": 0, "epochs": 1}

    def start(**changes):
        return CDULClassifier(**settings | changes).fit(photos).decision_function(photos)

    probed, plain = start(), start(linear_probe=False)
    assert np.ptp(plain, axis=0).max() < 1e-4
    assert np.ptp(probed, axis=0).max() > 0.1
    monkeypatch.setattr("sklearn_cdul.training.closed_form.PROBE_PHOTOS", 15)
    assert not np.array_equal(start(), probed)
    assert not np.array_equal(start(), start(random_state=1))


def test_a_learning_rate_of_zero_keeps_the_pretrained_layers(photos):
    unprobed = QUICK | {"linear_probe": False}
    classifier = CDULClassifier(**unprobed, head_learning_rate=0.01).fit(photos)
    untrained = CDULClassifier(**unprobed, head_learning_rate=0).fit(photos)
    arrays, start = (c.network_.state_dict() for c in (classifier, untrained))
    changed = {key for key in arrays if not (arrays[key] == start[key]).all()}
    assert changed == {"backbone.classifier.weight", "backbone.classifier.bias"}
    probed = CDULClassifier(**QUICK).fit(photos).network_.state_dict()
    changed = {key for key in probed if not (probed[key] == start[key]).all()}
    assert changed == {"backbone.classifier.weight", "backbone.classifier.bias"}


def test_observed_labels_reach_the_neighbours_and_stay(photos):
    observed = np.full((20, 3), np.nan)
    observed[:10] = [1, 0, 0]
    classifier = CDULClassifier(**QUICK | {"update_interval": 0, "epochs": 1}, n_neighbors=19)
    labels = classifier.fit(photos, observed=observed).pseudo_labels_
    assert_array_equal(labels[:10], observed[:10])
    without = classifier.fit(photos).pseudo_labels_
    assert (labels[10:, 0] > without[10:, 0]).all()


def test_the_same_seed_gives_the_same_network_whatever_y(fitted, photos):
    y = np.random.default_rng(1).integers(0, 2, size=(20, 3))
    again = CDULClassifier(NAMES, **QUICK).fit(photos, y)
    assert_array_equal(again.decision_function(photos), fitted.decision_function(photos))
    assert_array_equal(again.pseudo_labels_, fitted.pseudo_labels_)


def test_another_seed_matters_only_where_layers_are_trained(fitted, photos):
    def logits(**changes):
        return CDULClassifier(NAMES, **QUICK | changes).fit(photos).decision_function(photos)

    assert_array_equal(logits(random_state=1), fitted.decision_function(photos))
    trained = {"learning_rate": 1e-4, "epochs": 1}
    assert not np.array_equal(logits(random_state=1, **trained), logits(**trained))


def test_the_size_of_the_input_is_that_of_the_fit(photos):
    network = functools.partial(timm.create_model, "test_resnet")
    settings = QUICK | {"image_size": "auto", "network": network}
    classifier = CDULClassifier(**settings).fit(photos[:6])
    assert classifier.image_size_ == 224  # nothing is known of callables
    logits = classifier.decision_function(photos[:2])
    assert_array_equal(classifier.set_params(image_size=64).decision_function(photos[:2]), logits)


def test_fit_leaves_the_global_random_state_alone(photos):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    CDULClassifier(NAMES, **QUICK | {"epochs": 1}).fit(photos[:4])
    assert torch.equal(torch.rand(3), expected)


def test_predict_names_lists_the_names_above_their_thresholds(fitted, photos):
    named = fitted.predict_names(photos)
    for names, row in zip(named, fitted.predict(photos), strict=True):
        assert names == [name for name, one in zip(NAMES, row, strict=True) if one]


@pytest.mark.parametrize("threshold", [0.2, [0.1, 0.2, 0.3]])
def test_thresholds_may_be_given(threshold, photos):
    classifier = CDULClassifier(NAMES, **QUICK | {"epochs": 1}, threshold=threshold)
    classifier.fit(photos[:4])
    assert_array_equal(classifier.thresholds_, np.broadcast_to(threshold, 3))


def test_observed_labels_stay_as_they_were_given(photos):
    observed = np.full((20, 3), np.nan)
    observed[0] = [1, 0, np.nan]
    observed[7, 2] = 1
    classifier = CDULClassifier(NAMES, **QUICK).fit(photos, observed=observed)
    given = ~np.isnan(observed)
    assert_array_equal(classifier.initial_pseudo_labels_[given], observed[given])
    assert_array_equal(classifier.pseudo_labels_[given], observed[given])
    assert ((classifier.pseudo_labels_[~given] > 0) & (classifier.pseudo_labels_[~given] < 1)).all()


@pytest.mark.parametrize(
    ("observed", "message"),
    [(np.zeros((3, 3)), "shape"), (np.full((20, 3), 0.5), "1, 0 and NaN")],
)
def test_wrong_observed_labels_are_refused(observed, message, photos):
    with pytest.raises(ValueError, match=message):
        CDULClassifier(NAMES, **QUICK).fit(photos, observed=observed)


def test_observed_labels_in_a_data_frame_are_matched_by_name(photos):
    frame = pd.DataFrame(pd.NA, index=range(20), columns=["coffee", "cake", "pizza"], dtype="Int64")
    frame.loc[3, "coffee"] = 1
    classifier = CDULClassifier(NAMES, **QUICK | {"epochs": 1}).fit(photos, observed=frame)
    assert classifier.pseudo_labels_[3, NAMES.index("coffee")] == 1
    assert (classifier.pseudo_labels_ == 1).sum() == 1
    with pytest.raises(ValueError, match="Unknown: 'pie'"):
        classifier.fit(photos, observed=frame.rename(columns={"cake": "pie"}))


def no_output_layer(num_classes):
    layers = torch.nn.Conv2d(3, num_classes, 1), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    return torch.nn.Sequential(*layers)


def test_what_can_be_known_beforehand_fails_before_any_photo_is_encoded(photos, monkeypatch):
    def encode(*args, **kwargs):
        raise AssertionError("a photo was encoded")

    monkeypatch.setattr("sklearn_cdul.encoders.clip.CLIPEncoder.encode_images", encode)
    for changes, fit_arguments, message in [
        ({"network": "resnet10"}, {}, "resnet101"),
        ({"network": lambda num_classes: timm.create_model("resnet18")}, {}, "one logit a class"),
        ({"network": no_output_layer, "learning_rate": 0}, {}, "learning_rate=0"),
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
    monkeypatch.setattr("sklearn_cdul.training.trainer.align", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        classifier.set_params(classes=["cat", "dog"]).fit(photos[:4])
    assert classifier.predict_names(photos[:5]) == before


def test_unreadable_photos_are_left_out_of_the_score(fitted, photos, tmp_path):
    y = np.tile(np.eye(3, dtype=int), (7, 1))[:20]
    classifier = pickle.loads(pickle.dumps(fitted))
    classifier.pseudo_labeler_.on_error = "nan"
    with pytest.warns(UserWarning, match="1 of 21"):
        score = classifier.score([*photos, tmp_path / "missing.jpg"], np.vstack([y, [1, 1, 1]]))
    assert score == pytest.approx(fitted.score(photos, y))


def test_classes_may_come_with_the_labeler(photos):
    classifier = CDULClassifier(**QUICK | {"epochs": 1}).fit(photos[:4])
    assert classifier.class_names_ == NAMES
    assert not hasattr(classifier.pseudo_labeler, "class_names_")
    classifier = CDULClassifier(["egg", "tea"], **QUICK | {"epochs": 1})
    assert classifier.fit(photos[:4]).class_names_ == ["egg", "tea"]


def test_without_a_labeler_the_embedded_clip_labels_whole_and_snippets(photos):
    classifier = CDULClassifier(NAMES, image_size=64, epochs=1, random_state=0).fit(photos[:3])
    assert classifier.pseudo_labeler_.grid_size == 3
    assert_array_equal(
        classifier.initial_pseudo_labels_, CLIPPseudoLabeler(NAMES).fit_transform(photos[:3])
    )


def test_one_class_works_but_says_that_the_softmax_has_nothing_to_compare(photos):
    classifier = CDULClassifier(["egg"], **QUICK | {"epochs": 1})
    with pytest.warns(UserWarning, match="only class"):
        classifier.fit(photos[:4])
    assert classifier.predict(photos[:3]).shape == (3, 1)


def test_embeddings_train_a_linear_network(embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings")
    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": labeler}).fit(embeddings)
    assert classifier.n_features_in_ == 256
    whole = classifier.predict_proba(embeddings[:, 0])
    assert_array_equal(classifier.predict_proba(embeddings), whole)


def test_embeddings_of_unreadable_photos_are_left_out(embeddings):
    labeler = CLIPPseudoLabeler(NAMES, input="embeddings", on_error="nan")
    broken = embeddings.copy()
    broken[2] = np.nan
    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": labeler}).fit(broken)
    unread = np.isnan(classifier.predict_proba(broken)).all(axis=1)
    assert np.flatnonzero(unread).tolist() == [2]
    assert np.isfinite(np.delete(classifier.predict_proba(broken), 2, axis=0)).all()


def test_a_callable_network_trains(photos):
    network = functools.partial(timm.create_model, "resnet18")
    classifier = CDULClassifier(NAMES, **QUICK | {"epochs": 1}, network=network).fit(photos[:6])
    assert np.isfinite(classifier.predict_proba(photos[:3])).all()


def test_unreadable_training_photos_are_left_out(photos, tmp_path):
    images = [str(tmp_path / "missing.jpg"), *photos[:6]]
    classifier = CDULClassifier(**QUICK | {"epochs": 1})
    classifier = clone(classifier).set_params(pseudo_labeler__on_error="nan")
    with pytest.warns(UserWarning, match="1 of 7"):
        classifier.fit(images)
    assert np.isnan(classifier.pseudo_labels_).all(axis=1).tolist() == [True] + [False] * 6
    with pytest.warns(UserWarning, match="1 of 7"):
        proba = classifier.predict_proba(images)
    assert np.isnan(proba[0]).all()
    assert np.isfinite(proba[1:]).all()
    with pytest.warns(UserWarning, match="1 of 7"):
        assert_array_equal(classifier.predict(images)[0], [0, 0, 0])


def test_no_readable_photo_is_an_error(tmp_path):
    classifier = clone(CDULClassifier(**QUICK)).set_params(pseudo_labeler__on_error="nan")
    with (
        pytest.warns(UserWarning, match="1 of 1"),
        pytest.raises(ValueError, match="None of the images in X can be used"),
    ):
        classifier.fit([str(tmp_path / "missing.jpg")])


class CountedDecoding:
    def __init__(self, monkeypatch):
        self.items = []
        monkeypatch.setattr("sklearn_cdul.images.photos.decode", self)

    def __call__(self, item, *rest):
        self.items.append(item)
        return decode(item, *rest)


@pytest.mark.parametrize("memory", ["nothing in memory", "embeddings in memory"])
def test_fit_decodes_each_photo_once(memory, photos, monkeypatch, tmp_path):
    photos = photos[:6]
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path)
    if memory == "embeddings in memory":
        labeler.embed(photos)
    counted = CountedDecoding(monkeypatch)
    # Of the usual size: for smaller ones, JPEG files are decoded at another scale than for CLIP.
    settings = QUICK | {"image_size": 224, "epochs": 2, "pseudo_labeler": labeler}
    CDULClassifier(**settings).fit(photos)
    assert sorted(counted.items) == sorted(photos)


def test_fit_decodes_photos_twice_where_clip_needs_another_scale(photos, monkeypatch):
    # The training pictures are of 64 pixels: like those of 56, from a quarter of these photos.
    photos = [path for path in photos if min(Image.open(path).size) >= 256]
    counted = CountedDecoding(monkeypatch)
    kept = CDULClassifier(**QUICK | {"image_size": 56}).fit(photos)
    assert sorted(counted.items) == sorted(2 * photos)
    monkeypatch.setattr("sklearn_cdul.training.batches._KEEP_DECODED_BYTES", 0)
    streamed = CDULClassifier(**QUICK | {"image_size": 56}).fit(photos)
    assert_array_equal(streamed.predict_proba(photos), kept.predict_proba(photos))


def test_a_labeler_that_labels_in_its_own_way_is_used_by_fit(photos, monkeypatch):
    class Inverted(CLIPPseudoLabeler):
        def transform(self, X):
            return 1 - super().transform(X)

    class Sharpened(CLIPPseudoLabeler):
        def aggregate(self, embeddings):
            return super().aggregate(embeddings) ** 2

    views = []
    encode_views = CLIPEncoder.encode_views
    monkeypatch.setattr(
        CLIPEncoder,
        "encode_views",
        lambda encoder, batch: views.append(len(batch)) or encode_views(encoder, batch),
    )
    usual = CLIPPseudoLabeler(NAMES, grid_size=1).fit_transform(photos)
    for kind, expected in ((Inverted, 1 - usual), (Sharpened, usual**2)):
        views.clear()
        settings = QUICK | {"epochs": 1, "pseudo_labeler": kind(NAMES, grid_size=1)}
        classifier = CDULClassifier(**settings).fit(photos)
        np.testing.assert_allclose(classifier.initial_pseudo_labels_, expected, atol=1e-6)
        assert sum(views) == len(photos)  # nothing was encoded twice


def test_a_labeler_that_gives_data_frames_is_fine(photos):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1).set_output(transform="pandas")
    classifier = CDULClassifier(**QUICK | {"epochs": 1, "pseudo_labeler": labeler}).fit(photos[:4])
    assert isinstance(classifier.initial_pseudo_labels_, np.ndarray)


def test_fits_in_threads_encode_at_the_same_time_and_repeat_their_results(fitted, photos):
    together = threading.Barrier(2, timeout=60)

    class Meeting(CLIPPseudoLabeler):
        def transform(self, X):
            together.wait()  # for the transform of the other fit
            return super().transform(X)

    labeler = Meeting(NAMES, grid_size=1)
    models = [CDULClassifier(**QUICK | {"pseudo_labeler": labeler}) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        for model in pool.map(lambda model: model.fit(photos), models):
            assert_array_equal(model.predict_proba(photos), fitted.predict_proba(photos))


def test_an_unreadable_photo_is_named(fitted, photos, tmp_path):
    missing = tmp_path / "missing.jpg"
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        fitted.predict([photos[0], missing])
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        CDULClassifier(NAMES, **QUICK).fit([photos[0], missing])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"network": "resnet10000"}, "network"),
        ({"threshold": 1.5}, "threshold"),
        ({"threshold": [0.1, 0.2]}, "3 classes"),
        ({"threshold": "best"}, "threshold"),
        ({"sigma": 0.0}, "sigma"),
        ({"device": "tpu7"}, "device"),
        ({"precision": "int4"}, "precision"),
        ({"classes": ["a", "a"]}, "a"),
    ],
)
def test_wrong_parameters_are_refused_in_fit(changes, message, photos):
    settings = {"classes": NAMES, **QUICK, "epochs": 1, **changes}
    with pytest.raises(ValueError, match=message):
        CDULClassifier(**settings).fit(photos[:4])


def test_verbose_shows_progress(photos, capsys):
    CDULClassifier(NAMES, **QUICK | {"epochs": 1}, verbose=True).fit(photos[:4])
    assert "Training" in capsys.readouterr().err


@pytest.mark.slow
def test_the_network_learns_more_than_clip_tells_at_a_glance(food_photos):
    train = food_photos.split == "train"
    paths = np.array(food_photos.data, dtype=object)
    whole = CLIPPseudoLabeler(food_photos.target_names, grid_size=1).fit()
    classifier = CDULClassifier(food_photos.target_names, random_state=0).fit(paths[train])
    X, y = paths[~train], food_photos.target[~train]
    assert classifier.score(X, y) > whole.score(X, y)


def test_training_on_a_cpu_is_in_float32_unless_another_precision_is_named(photos):
    def fit(precision):
        settings = QUICK | {"epochs": 1, "precision": precision, "device": "cpu"}
        return CDULClassifier(**settings).fit(photos[:8]).network_.state_dict()

    auto, single, half = (fit(precision) for precision in ("auto", "float32", "bfloat16"))
    assert all((auto[key] == single[key]).all() for key in auto)
    assert any((half[key] != single[key]).any() for key in half)


def test_validation_labels_that_cannot_be_scored_with_fail_before_training(photos):
    classifier = CDULClassifier(**QUICK)
    with pytest.raises(ValueError, match="only 0 and 1"):
        classifier.fit(photos[:4], X_val=photos[:2], y_val=[[2, 0, 0], [0, 0, 0]])
    with pytest.raises(ValueError, match="No class has"):
        classifier.fit(photos[:4], X_val=photos[:2], y_val=np.zeros((2, 3)))


def test_the_papers_settings_are_parameters_and_differ_from_the_defaults():
    classifier, default = CDULClassifier(**CDULClassifier.paper_settings()), CDULClassifier()
    assert classifier.get_params() != default.get_params()
    assert (classifier.epochs, classifier.warmup_epochs, classifier.update_interval) == (
        100,
        10,
        10,
    )
    assert classifier.cumulative_updates
    assert classifier.n_neighbors == 0
    assert not classifier.linear_probe


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


def test_a_network_that_gives_nan_is_an_error_and_no_unreadable_photo(fitted, photos):
    classifier = pickle.loads(pickle.dumps(fitted))
    with torch.no_grad():
        classifier.network_.backbone.classifier.bias[1] = torch.nan
    with pytest.raises(FloatingPointError, match=r'NaN.* 3 of 3 photos.*X\[0\].*"float32"'):
        classifier.predict(photos[:3])


def test_a_training_that_diverges_says_so(photos):
    classifier = CDULClassifier(**QUICK | {"epochs": 2}, learning_rate=1e30)
    with pytest.raises(FloatingPointError, match=r"loss became nan.*learning_rate"):
        classifier.fit(photos[:8])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (
            lambda given: np.where(np.arange(3) == 1, np.nan, given),
            r"gave nan for X\[0\], column 1",
        ),
        (lambda given: given * 7, r"in \[0, 1\]; it gave"),
        (lambda given: given[:, :2], r"shape \(4, 3\); it gave \(4, 2\)"),
    ],
)
def test_a_labeler_of_ones_own_must_give_labels(labels, message, photos):
    class Own(CLIPPseudoLabeler):
        def transform(self, X):
            return labels(super().transform(X))

    classifier = CDULClassifier(**QUICK | {"pseudo_labeler": Own(NAMES, grid_size=1)})
    with pytest.raises(ValueError, match=message):
        classifier.fit(photos[:4])


def test_bad_photos_and_memory_need_no_labeler_of_ones_own(photos, tmp_path, monkeypatch):
    images = [str(tmp_path / "missing.jpg"), *photos[:5]]
    settings = QUICK | {"epochs": 1, "on_error": "nan", "memory": tmp_path / "memory"}
    classifier = CDULClassifier(**settings)
    with pytest.warns(UserWarning, match="1 of 6"):
        classifier.fit(images)
    assert classifier.pseudo_labeler_.on_error == "nan"
    assert classifier.pseudo_labeler.on_error == "raise"
    with pytest.warns(UserWarning, match="1 of 6"):
        assert np.isnan(classifier.predict_proba(images)[0]).all()
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        classifier.set_params(on_error="raise").predict(images)

    def encode(*args):
        raise AssertionError("a photo was encoded")

    monkeypatch.setattr(CLIPEncoder, "encode_views", encode)
    classifier.fit(photos[:5])


def test_verbose_shows_the_bars_of_the_labeler_too(photos, capsys):
    CDULClassifier(**QUICK | {"epochs": 1, "verbose": True}).fit(photos[:4])
    shown = capsys.readouterr().err
    assert "Encoding" in shown
    assert "Training" in shown


@pytest.mark.parametrize("where", ["training", "validation"])
def test_a_bad_photo_at_the_end_is_found_before_any_is_encoded(
    where, photos, tmp_path, monkeypatch
):
    def encode(*args):
        raise AssertionError("a photo was encoded")

    monkeypatch.setattr(CLIPEncoder, "encode_views", encode)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(Path(photos[0]).read_bytes()[:5000])
    y = np.ones((3, 3))
    arguments = {"X_val": [*photos[:2], cut], "y_val": y} if where == "validation" else {}
    images = [*photos[:5], cut] if where == "training" else photos
    with pytest.raises(ImageError, match=r'cut\.jpg.*on_error="nan"'):
        CDULClassifier(**QUICK).fit(images, **arguments)
    if where == "training":
        with pytest.raises(ImageError, match=r"X\[5\]"):
            CLIPPseudoLabeler(NAMES).fit_transform(images)


def test_warnings_point_to_the_line_of_the_user(photos, tmp_path):
    y = pd.DataFrame(np.eye(3), columns=NAMES[::-1])
    images = [*photos[:2], str(tmp_path / "missing.jpg")]
    classifier = CDULClassifier(**QUICK | {"epochs": 1, "on_error": "nan"})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        classifier.set_params(classes=["猫", "7", "cat"]).fit(images)
        classifier.set_params(classes=NAMES).fit(images, y)
        classifier.predict(images)
        CLIPPseudoLabeler(["cat"], grid_size=1, on_error="nan").fit_transform(images)
    assert len(caught) >= 7
    assert {warning.filename for warning in caught} == {__file__}


def test_paths_and_devices_are_text_in_files(photos, tmp_path):
    labeler = CLIPPseudoLabeler(NAMES, grid_size=1, memory=tmp_path, device=torch.device("cpu"))
    classifier = CDULClassifier(
        **QUICK | {"pseudo_labeler": labeler, "epochs": 1},
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


class TokenNetwork(torch.nn.Module):
    """Its output layer sees several vectors a photo, and their answers are averaged."""

    def __init__(self, num_classes):
        super().__init__()
        self.patches = torch.nn.Conv2d(3, 8, 16, stride=16)
        self.head = torch.nn.Linear(8, num_classes)

    def get_classifier(self):
        return self.head

    def forward(self, pixels):
        return self.head(self.patches(pixels).flatten(2).transpose(1, 2)).mean(dim=1)


def test_a_network_whose_output_layer_sees_several_vectors_a_photo_trains(photos):
    classifier = CDULClassifier(**QUICK | {"epochs": 1}, network=TokenNetwork).fit(photos[:6])
    assert np.isfinite(classifier.predict_proba(photos[:3])).all()


def test_validation_labels_may_be_what_score_takes(photos):
    y = [["cake"], ["pizza", "coffee"], []]
    for y_val in (y, csr_array([[0, 1, 0], [1, 0, 1], [0, 0, 0]])):
        classifier = CDULClassifier(**QUICK | {"epochs": 1})
        classifier.fit(photos[:6], X_val=photos[:3], y_val=y_val)
        figure = classifier.history_[-1]["validation_map"]
        assert figure == pytest.approx(classifier.score(photos[:3], y))
    with pytest.raises(ValueError, match="y_val must have shape"):
        classifier.fit(photos[:6], X_val=photos[:2], y_val=[[0, 1, 0]])


def test_validation_photos_that_cannot_be_read_cost_the_figure_and_not_the_training(
    photos, tmp_path
):
    X_val, y_val = [*photos[:2], str(tmp_path / "missing.jpg")], [[0, 0, 0], [0, 0, 0], [1, 1, 1]]
    classifier = CDULClassifier(**QUICK | {"epochs": 1, "on_error": "nan"})
    with pytest.warns(UserWarning, match="1 of 3"):
        classifier.fit(photos[:4], X_val=X_val, y_val=y_val)
    assert np.isnan(classifier.history_[0]["validation_map"])
    with (
        pytest.warns(UserWarning, match="1 of 3"),
        pytest.raises(ValueError, match=r"None of the images with a positive label.*2 of 3 could"),
    ):
        classifier.score(X_val, y_val)


def test_nan_of_the_network_is_told_by_the_place_of_the_photo_in_X(photos, tmp_path, monkeypatch):
    images = [str(tmp_path / "missing.jpg"), *photos[:5]]
    classifier = CDULClassifier(**QUICK | {"epochs": 1, "on_error": "nan", "linear_probe": False})
    monkeypatch.setattr(
        "sklearn_cdul.training.logits.forward",
        lambda network, inputs, precision: torch.full((len(inputs), 3), torch.nan),
    )
    with (
        pytest.warns(UserWarning, match="1 of 6"),
        pytest.raises(FloatingPointError, match=r"5 of 5 photos, the first X\[1\]"),
    ):
        classifier.fit(images)
