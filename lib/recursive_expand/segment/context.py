"""Context: the slices beside a slice, which f sees as further input channels (2.5-D)."""

from __future__ import annotations

from torch import Tensor


def seen_slices(number: int, slices: int, context: int) -> tuple[int, ...]:
    """The slices that f sees for one of them, in the order of their positions.

    Args:
        number: the slice, from 0.
        slices: how many the volume has.
        context: how many are seen on each side (`Method.context`).

    Returns:
        2 * context + 1 numbers, `number` in the middle; where the volume ends, its last slice is repeated.

    Examples:
        seen_slices(0, 5, 1)  # (0, 0, 1)
    """
    return tuple(min(max(n, 0), slices - 1) for n in range(number - context, number + context + 1))


def repeated(hu: Tensor, context: int) -> Tensor:
    """Slices that have none beside them, as f sees them: each is its own neighbour.

    Args:
        hu: (B, H, W), Hounsfield units.
        context: `Method.context`.

    Returns:
        `hu` itself without context, else (B, 2 * context + 1, H, W).
    """
    return hu.unsqueeze(1).expand(-1, 2 * context + 1, -1, -1) if context else hu
