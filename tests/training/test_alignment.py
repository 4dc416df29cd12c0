"""The equations of the paper, and labels that move by them."""

import math
import os

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from sklearn_cdul.training.alignment import (
    LabelState,
    check_memory,
    in_words,
    kl_divergence,
    latents_from_labels,
    update_latents,
    update_speed,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_kl_divergence_follows_the_formula():
    y_u, v = torch.rand(50, 3), torch.randn(50, 3)
    y_p = torch.sigmoid(v)
    expected = y_u * (y_u / y_p).log() + (1 - y_u) * ((1 - y_u) / (1 - y_p)).log()
    assert_close(kl_divergence(y_u, v), expected, atol=1e-6, rtol=1e-4)


def test_kl_divergence_is_zero_where_label_and_prediction_agree():
    v = torch.linspace(-8, 8, 33)
    assert_close(kl_divergence(torch.sigmoid(v), v), torch.zeros(33), atol=1e-6, rtol=0)


def test_kl_divergence_accepts_hard_labels():
    assert_close(
        kl_divergence(torch.tensor([1.0, 0.0]), torch.zeros(2)), torch.full((2,), math.log(2))
    )


def test_gradient_in_the_logit_is_prediction_minus_label():
    y_u, v = torch.rand(20), torch.randn(20, requires_grad=True)
    kl_divergence(y_u, v).sum().backward()
    assert_close(v.grad, torch.sigmoid(v.detach()) - y_u)


def test_gradient_in_the_label_is_the_difference_of_the_logits():
    u, v = torch.randn(20, dtype=torch.float64), torch.randn(20, dtype=torch.float64)
    y_u = torch.sigmoid(u).requires_grad_()
    kl_divergence(y_u, v).sum().backward()
    assert_close(y_u.grad, u - v)


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_update_speed_is_a_gaussian_density_around_one_half(sigma):
    y = torch.linspace(0, 1, 11)
    expected = torch.distributions.Normal(0.5, sigma).log_prob(y).exp()
    assert_close(update_speed(y, sigma), expected)


def test_latents_step_toward_the_prediction_by_psi():
    u, v = torch.tensor([0.0, 2.0]), torch.tensor([1.0, -1.0])
    psi = update_speed(torch.sigmoid(u), 1.0)
    assert_close(update_latents(u, v, 1.0), u + psi * (v - u))
    assert_close(update_latents(u, v, 1.0, rate=0.5), u + 0.5 * psi * (v - u))


def test_an_unsure_label_takes_a_larger_share_of_the_way_than_a_sure_one():
    u = torch.tensor([0.0, 5.0])
    share = (update_latents(u, u + 1, sigma=0.3) - u) / 1
    assert share[0] > 2 * share[1] > 0


def test_latents_give_the_labels_back_and_stay_finite_at_zero_and_one():
    labels = torch.tensor([0.0, 0.2, 0.9, 1.0])
    latents = latents_from_labels(labels)
    assert latents.isfinite().all()
    assert_close(torch.sigmoid(latents), labels, atol=1.1e-4, rtol=0)


def test_an_update_starts_from_the_first_labels_unless_it_is_cumulative():
    labels, logits = torch.rand(12, 3), torch.randn(12, 3)
    for cumulative in (True, False):
        state = LabelState(latents_from_labels(labels))
        movement = state.update(logits, rate=0.5, sigma=1.0, cumulative=cumulative)
        once = update_latents(state.first, logits, 1.0, 0.5)
        assert_close(state.latents, once)
        assert movement == pytest.approx(float((torch.sigmoid(once) - labels).abs().mean()), 1e-4)
        state.update(logits, rate=0.5, sigma=1.0, cumulative=cumulative)
        assert_close(state.latents, update_latents(once, logits, 1.0, 0.5) if cumulative else once)


def test_observed_labels_never_move():
    observed = np.full((6, 3), np.nan)
    observed[0] = [1, 0, np.nan]
    labels = np.full((6, 3), 0.3)
    state = LabelState.of(labels, observed, np.array([0, 3]), torch.device("cpu"))
    state.update(torch.full((2, 3), 2.0), rate=1.0, sigma=1.0, cumulative=True)
    assert state.labels()[0, :2].tolist() == [1, 0]
    assert (state.labels()[1] > 0.3).all() and 0.3 < state.labels()[0, 2] < 1
    assert state.labels().dtype == torch.float32


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the system does not tell its memory")
def test_labels_without_room_are_refused_early(monkeypatch):
    pages = {"SC_PHYS_PAGES": 1_000_000, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)
    check_memory(100_000, 1000)
    with pytest.raises(MemoryError, match=r"20000 photos and 20000 classes.*13 GB.*has 4 GB"):
        check_memory(20_000, 20_000)


def test_the_progress_line_says_how_far_labels_moved():
    record = {"epoch": 2, "loss": 0.0059, "label_movement": 0.0123}
    assert in_words(record) == {"labels moved": "1.23%", "loss": "0.0059"}
    assert in_words({**record, "validation_map": 0.5})["validation mAP"] == "50.0%"
