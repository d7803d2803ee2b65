"""Muon: f learns its synthetic heads in half as many steps as with Adam."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
RATE = 10.0
"""Rate of orthogonalised steps as a multiple of Adam's; both follow the same schedule."""
COEFFICIENTS = 3.4445, -4.7750, 2.0315
"""Of the quintic x (a + b x^2 + c x^4), which drives singular values of 0.002 to 1 near 1 when applied five times."""
ITERATIONS = 5
MOST_ROWS = 128
"""Wider layers are taken in blocks of so many rows: the cost of a step grows with their cube."""


class Muon(torch.optim.Adam):
    """Momentum, orthogonalised, for convolutions between hidden layers; Adam for all other weights.

    Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024). A step changes all directions of a
    layer's weights by as much, not mostly the few that gradients agree on. torch.optim.Muon takes matrices alone, and
    its iteration on the matrix itself costs a CPU core three times as much.

    Args:
        network: what it trains.
        learning_rate: Adam's.
        outer: how many channels images and logits have: convolutions with as many on a side are left to Adam, a
            hidden one that happens to have as many included.
    """

    def __init__(self, network: nn.Module, learning_rate: float, *, outer: Collection[int]) -> None:
        turned = {id(m.weight) for m in network.modules() if isinstance(m, nn.ConvTranspose2d)}
        weights = list(network.parameters())
        hidden = [w for w in weights if w.ndim == 4 and not {*w.shape[:2]} & {*outer}]
        inner = {id(w) for w in hidden}
        groups: list[dict[str, Any]] = [
            {"params": [w for w in weights if id(w) not in inner], "initial_lr": learning_rate},
            # Of transposed convolutions the second axis is what they make.
            {"params": [w for w in hidden if id(w) not in turned], "initial_lr": RATE * learning_rate, "made": 0},
            {"params": [w for w in hidden if id(w) in turned], "initial_lr": RATE * learning_rate, "made": 1},
        ]
        super().__init__(groups, lr=learning_rate, fused=weights[0].device.type == "cpu" or None)
        self.set_share_of_rate(1.0)

    def set_share_of_rate(self, share: float) -> None:
        """All rates from now on, as a share of the first ones."""
        for group in self.param_groups:
            group["lr"] = group["initial_lr"] * share

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Change the weights by their gradients, once."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if "made" in group:
                for weights in group["params"]:
                    self._step(weights, group)
        super().step()
        return loss

    def _step(self, weights: Tensor, group: dict[str, Any]) -> None:
        gradient = weights.grad
        if gradient is None:
            return
        state = self.state[weights]
        if not state:
            state |= {"step": torch.zeros(()), "momentum_buffer": torch.zeros_like(gradient)}  # Adam looks for "step"
        state["step"] += 1
        momentum = state["momentum_buffer"]
        momentum.lerp_(gradient, 1 - MOMENTUM)
        update = gradient.lerp(momentum, MOMENTUM).permute(0, 2, 3, 1)  # Nesterov's; as channels_last lies in memory
        change = orthogonalised(update.flatten(1) if group["made"] == 0 else update.flatten(0, 2))
        made = weights.shape[group["made"]]
        read = weights.numel() / made
        change = change.reshape(update.shape).permute(0, 3, 1, 2)
        weights.add_(change, alpha=-group["lr"] * max(1.0, made / read) ** 0.5)
        weights.grad = None  # Adam passes over it


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix with its singular values moved near 1, by Newton and Schulz's iteration.

    The iteration runs on the Gram matrix: X -> p(X X^T) X with p a polynomial, and all powers of one matrix commute, so
    that the long side is multiplied twice and not ten times.

    Args:
        matrix: (M, N) float; blocks of `MOST_ROWS` of its shorter side are taken each for itself.

    Returns:
        (M, N).
    """
    if len(matrix) > matrix.shape[1]:
        return orthogonalised(matrix.T).T
    if len(matrix) > MOST_ROWS:
        return torch.cat([orthogonalised(block) for block in matrix.split(MOST_ROWS)])
    a, b, c = COEFFICIENTS
    matrix = matrix / (matrix.norm() + 1e-7)
    gram, product = matrix @ matrix.T, None
    for iteration in range(ITERATIONS):
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        polynomial.diagonal().add_(a)
        product = polynomial if product is None else polynomial @ product
        if iteration < ITERATIONS - 1:
            gram = polynomial @ gram @ polynomial
    assert product is not None
    return product @ matrix
