"""Snapshots: weights on f's way to a model, whose disagreement tells how sure a mask is."""

from __future__ import annotations

from pathlib import Path

from recursive_expand.segment.weights import SUFFIX


def snapshot_epochs(epochs: int, snapshots: int) -> tuple[int, ...]:
    """After which epochs of a training weights are kept.

    Args:
        epochs: the training's.
        snapshots: how many are wanted.

    Returns:
        Numbers of finished epochs, evenly over the second half without its end, where the model itself is; fewer
        where the training is too short.
    """
    wanted = (epochs * (snapshots + n) // (2 * snapshots) for n in range(snapshots))
    return tuple(sorted({epoch for epoch in wanted if 0 < epoch < epochs}))


def snapshot_file(checkpoint: Path, epoch: int) -> Path:
    """Where the weights after an epoch lie until the round publishes its model: beside its checkpoint."""
    return checkpoint.with_name(f"{checkpoint.stem}-snapshot-{epoch}{SUFFIX}")


def snapshot_files(checkpoint: Path) -> list[Path]:
    """What lies there, in the order of the epochs' numbers as text; epochs of an earlier attempt may be among them."""
    return sorted(checkpoint.parent.glob(f"{checkpoint.stem}-snapshot-*{SUFFIX}"))
