"""Step A in closed form."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.special import expit
from torch import nn

from sklearn_cdul.training import linear_probe
from sklearn_cdul.training.alignment import LabelState, align, latents_from_labels
from sklearn_cdul.training.closed_form import ClosedForm
from sklearn_cdul.training.regions import mix_views


@pytest.fixture
def features():
    return np.random.default_rng(0).normal(size=(40, 5, 3)).astype(np.float32)


@pytest.fixture
def state(features):
    return LabelState(latents_from_labels(torch.from_numpy(expit(mix_views(features)[:, :2]))))


def test_the_layer_is_the_linear_probes(features, state):
    layer = nn.Linear(3, 2)
    step_a = ClosedForm(layer, features)
    logits, loss = step_a(state)
    weight, bias, left_out = linear_probe(features, state.labels())
    assert_allclose(layer.weight.detach(), weight, rtol=1e-5)
    assert_allclose(layer.bias.detach(), bias, rtol=1e-5)
    assert_allclose(logits, left_out, rtol=1e-6)
    assert 0 < loss < 0.1
    assert_allclose(step_a.seen(), mix_views(features @ weight.T + bias), atol=1e-5)


def test_beyond_what_is_fitted_predictions_are_left_out_anyhow(features, state, monkeypatch):
    monkeypatch.setattr("sklearn_cdul.training.closed_form.PROBE_PHOTOS", 25)
    torch.manual_seed(0)
    step_a = ClosedForm(nn.Linear(3, 2), features)
    step_a(state)
    seen, left_out = step_a.seen(), step_a.left_out
    equal = np.isclose(seen, left_out, atol=1e-6).all(axis=1)
    assert equal.sum() == 15
    some = ~equal
    assert_allclose(
        left_out[some], linear_probe(features[some], state.labels()[some])[2], rtol=1e-5
    )


def test_labels_that_have_not_moved_are_not_fitted_to_again(features, state, monkeypatch):
    step_a = ClosedForm(nn.Linear(3, 2), features)
    fits = []
    fit = step_a._probe.fit
    monkeypatch.setattr(step_a._probe, "fit", lambda labels: fits.append(labels) or fit(labels))
    settings = {"warmup_epochs": 2, "update_interval": 2, "update_rate": 0.5, "sigma": 1.0}
    align(step_a, state, epochs=6, cumulative_updates=False, **settings)
    assert len(fits) == 3  # labels moved after the second and the fourth
