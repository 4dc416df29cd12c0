import math

import pytest
import torch
from torch.testing import assert_close

from sklearn_cdul.training.alignment import (
    GradientSteps,
    LabelState,
    align,
    kl_divergence,
    latents_from_labels,
    update_latents,
    update_speed,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def unobserved(n, k):
    return torch.full((n, k), torch.nan)


def linear_problem(n=12, k=3, d=4):
    inputs, labels = torch.randn(n, d), torch.rand(n, k)
    network = torch.nn.Linear(d, k)
    state = LabelState(latents_from_labels(labels), unobserved(n, k))

    def batches():
        for indices in torch.randperm(n).split(5):
            yield indices, inputs[indices]

    return network, state, batches


def run(network, state, batches, **changes):
    settings = {
        "epochs": 4,
        "warmup_epochs": 2,
        "update_interval": 1,
        "update_rate": 1.0,
        "sigma": 1.0,
        "cumulative_updates": False,
    }
    optimizer = torch.optim.SGD(network.parameters(), lr=changes.pop("lr", 0.1))
    forward = changes.pop("forward", lambda network, inputs: network(inputs))
    step_a = GradientSteps(network, optimizer, batches, forward=forward)
    return align(step_a, state, **(settings | changes))


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


def test_first_update_uses_the_predictions_of_the_epoch_it_follows():
    network, state, batches = linear_problem()
    before = state.latents.clone()
    # With a learning rate of 0 the predictions of step A are those of the untouched network.
    every = {int(i): x for indices, xs in batches() for i, x in zip(indices, xs, strict=True)}
    inputs = torch.stack([every[i] for i in range(12)])
    history = run(network, state, batches, lr=0.0, epochs=3, warmup_epochs=2)
    expected = update_latents(before, network(inputs).detach(), 1.0)
    assert_close(state.latents, expected)
    assert [record["label_movement"] > 0 for record in history] == [False, True, False]


@pytest.mark.parametrize(
    ("warmup", "interval", "updates_after"),
    [(2, 1, [2, 3, 4, 5]), (1, 2, [1, 3, 5]), (3, 2, [3, 5]), (9, 1, []), (1, 0, [])],
)
def test_updates_come_on_schedule_and_never_after_the_last_epoch(warmup, interval, updates_after):
    network, state, batches = linear_problem()
    history = run(network, state, batches, epochs=6, warmup_epochs=warmup, update_interval=interval)
    assert [r["epoch"] for r in history if r["label_movement"] > 0] == updates_after


@pytest.mark.parametrize("cumulative", [True, False])
def test_updates_start_from_the_first_labels_unless_they_are_cumulative(cumulative):
    network, state, batches = linear_problem()
    first = state.latents.clone()
    every = {int(i): x for indices, xs in batches() for i, x in zip(indices, xs, strict=True)}
    logits = network(torch.stack([every[i] for i in range(12)])).detach()
    # With a learning rate of 0 all predictions are the same.
    run(network, state, batches, lr=0.0, epochs=4, cumulative_updates=cumulative)
    once = update_latents(first, logits, 1.0)
    assert_close(state.latents, update_latents(once, logits, 1.0) if cumulative else once)


def test_without_updates_the_labels_stay():
    network, state, batches = linear_problem()
    before = state.latents.clone()
    run(network, state, batches, update_interval=0)
    assert_close(state.latents, before, atol=0, rtol=0)


def test_no_forward_pass_beyond_step_a():
    network, state, batches = linear_problem()
    calls = []

    def counting(network, inputs):
        calls.append(len(inputs))
        return network(inputs)

    run(network, state, batches, epochs=5, forward=counting)
    assert sum(calls) == 5 * 12


def test_observed_labels_never_move():
    network, state, batches = linear_problem()
    state.observed[0] = torch.tensor([1.0, 0.0, torch.nan])
    state.observed[5, 1] = 1.0
    run(network, state, batches, epochs=6)
    assert state.labels()[0, :2].tolist() == [1.0, 0.0]
    assert state.labels()[5, 1] == 1.0
    assert 0 < state.labels()[0, 2] < 1


def test_training_lowers_the_loss():
    network, state, batches = linear_problem()
    history = run(network, state, batches, epochs=30, update_interval=0, lr=0.5)
    assert history[-1]["loss"] < 0.8 * history[0]["loss"]


def test_history_reports_the_mean_divergence():
    network, state, batches = linear_problem()
    labels = state.labels()
    every = {int(i): x for indices, xs in batches() for i, x in zip(indices, xs, strict=True)}
    logits = network(torch.stack([every[i] for i in range(12)]))
    expected = kl_divergence(labels, logits).mean().item()
    history = run(network, state, batches, epochs=1, lr=0.0)
    assert history[0]["loss"] == pytest.approx(expected, rel=1e-5)
