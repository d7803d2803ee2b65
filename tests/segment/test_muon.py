"""muon.py: orthogonalised steps for hidden convolutions, Adam's for everything else."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recursive_expand.segment.muon import COEFFICIENTS, ITERATIONS, MOST_ROWS, Muon, orthogonalised
from recursive_expand.segment.network import build_network


def _as_published(matrix):
    """Newton and Schulz's iteration on the matrix itself, in double precision."""
    a, b, c = COEFFICIENTS
    x = matrix.double() / matrix.double().norm()
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@settings(deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 90), seed=st.integers(0, 99), decades=st.floats(0, 4))
def test_the_iteration_on_the_gram_matrix_is_the_published_one(rows, columns, seed, decades):
    """Also of matrices whose singular values lie decades apart."""
    torch.manual_seed(seed)
    u, s, v = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
    matrix = u @ torch.diag(torch.logspace(0, -decades, len(s))) @ v
    found = orthogonalised(matrix)
    torch.testing.assert_close(found.double(), _as_published(matrix), rtol=0, atol=5e-3)
    torch.testing.assert_close(orthogonalised(matrix.T), found.T, rtol=0, atol=5e-3)
    assert float(torch.linalg.svdvals(found).max()) < 1.3


def test_wide_layers_are_taken_in_blocks():
    torch.manual_seed(0)
    matrix = torch.randn(2 * MOST_ROWS, 4 * MOST_ROWS)
    blocks = [orthogonalised(matrix[:MOST_ROWS]), orthogonalised(matrix[MOST_ROWS:])]
    assert torch.equal(orthogonalised(matrix), torch.cat(blocks))
    values = torch.linalg.svdvals(blocks[0])
    assert float(values.min()) > 0.6 and float(values.max()) < 1.3


def test_nothing_follows_from_no_gradient():
    assert not orthogonalised(torch.zeros(3, 5)).any()


@pytest.fixture
def networks():
    """Twice the same: 2 channels in, 3 out, and a hidden convolution and a transposed one."""
    torch.manual_seed(0)
    first = nn.Sequential(
        nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 3), nn.ConvTranspose2d(16, 8, 3), nn.Conv2d(8, 3, 1)
    )
    return first, copy.deepcopy(first)


def _learn(network, optimizer):
    torch.manual_seed(1)
    optimizer.zero_grad()
    network(torch.randn(2, 2, 9, 9)).square().mean().backward()
    optimizer.step()


def test_hidden_convolutions_turn_and_the_rest_is_adam_s(networks):
    mine, adam_s = networks
    before = copy.deepcopy(mine)
    _learn(mine, Muon(mine, 1e-3, outer=(2, 3)))
    _learn(adam_s, torch.optim.Adam(adam_s.parameters(), 1e-3))
    for (name, now), then, other in zip(mine.named_parameters(), before.parameters(), adam_s.parameters(), strict=True):
        if name not in ("2.weight", "3.weight"):
            torch.testing.assert_close(now, other, rtol=0, atol=1e-6)
            continue
        change = (now - then).detach().movedim(1 if name[0] == "3" else 0, 0).flatten(1)
        made, read = change.shape
        values = torch.linalg.svdvals(change) / (10 * 1e-3 * max(1, made / read) ** 0.5)
        assert float(values[:3].min()) > 0.6 and float(values.max()) < 1.3  # three logits: a gradient of rank 3


def test_three_steps_are_those_of_nesterov_s_momentum(networks):
    """Against the rule as published, on plain matrices."""
    network, copied = networks
    optimizer = Muon(network, 1e-3, outer=(2, 3))
    now, momentum = copied[2].weight.detach().clone(), torch.zeros(16, 72)
    for step in range(3):
        gradient = torch.randn(16, 8, 3, 3, generator=torch.Generator().manual_seed(step))
        network[2].weight.grad = gradient.clone()
        optimizer.step()
        momentum = 0.95 * momentum + 0.05 * gradient.flatten(1)
        update = _as_published(0.95 * momentum + 0.05 * gradient.flatten(1)).float()
        now -= 10 * 1e-3 * update.reshape(now.shape)
    torch.testing.assert_close(network[2].weight.detach(), now, rtol=0, atol=1e-4)


def test_a_closure_is_asked_first_and_its_loss_returned(networks):
    network, other = networks
    one, two = (Muon(n, 1e-3, outer=(2, 3)) for n in (network, other))
    for _ in range(2):

        def closure():
            one.zero_grad()
            torch.manual_seed(1)
            loss = network(torch.randn(2, 2, 9, 9)).square().mean()
            loss.backward()
            return loss

        assert one.step(closure).item() > 0
        _learn(other, two)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize(("kind", "hidden"), [("residual", {"down": 5, "up": 1}), ("unet2015", {"down": 9, "up": 2})])
def test_hidden_convolutions_of_our_networks(make_settings, kind, hidden):
    """All but those that read the images (2 channels) and make the logits (3)."""
    network = build_network(make_settings(network={"kind": kind, "channels": (4, 8, 16)}))
    down, up = Muon(network, 1e-3, outer=(2, 3)).param_groups[1:]
    assert {"down": len(down["params"]), "up": len(up["params"])} == hidden
    assert not any({2, 3} & {*w.shape[:2]} for w in down["params"] + up["params"])


def test_weights_that_are_held_stay(networks):
    network, _ = networks
    network[2].weight.requires_grad_(False)
    before = network[2].weight.clone()
    optimizer = Muon(network, 1e-3, outer=(2, 3))
    _learn(network, optimizer)
    assert torch.equal(network[2].weight, before) and network[2].weight not in optimizer.state


def test_a_share_of_the_rate_is_one_of_all_rates(networks):
    network, _ = networks
    optimizer = Muon(network, 1e-3, outer=(2, 3))
    optimizer.set_share_of_rate(0.5)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([5e-4, 5e-3, 5e-3])
