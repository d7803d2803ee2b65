"""The snapshots of a round's training: kept beside its model, and asked with it when it proposes."""

from __future__ import annotations

from pathlib import Path

from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.ledger import RoundRecord
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.snapshots import snapshot_epochs, snapshot_file, snapshot_files
from recursive_expand.segment.weights import take_up_weights


def keep_snapshots(
    recursion: Recursion, round_index: int, checkpoint: Path, epochs: int, *, promoted: bool
) -> list[str]:
    """Put the snapshots of a training that is over among the models.

    Args:
        recursion: under the round's settings.
        round_index: the round.
        checkpoint: its training's.
        epochs: its training's.
        promoted: whether its model is not the old one; else the old one's snapshots go on with it.

    Returns:
        Their SHA-256, oldest first; none with `Method.snapshots` 0, or where nothing was trained.
    """
    if not recursion.settings.method.snapshots:
        return []
    if not promoted:
        before = recursion.ledger.rounds.get(round_index - 1) if round_index else None
        return before.report.get("snapshots", []) if before else []
    files = [snapshot_file(checkpoint, epoch) for epoch in snapshot_epochs(epochs, recursion.settings.method.snapshots)]
    return [take_up_weights(file, recursion.workspace.models) for file in files if file.is_file()]


def drop_snapshot_files(checkpoint: Path) -> None:
    """Remove what a training left beside its checkpoint, once the model is published."""
    for file in snapshot_files(checkpoint):
        file.unlink(missing_ok=True)


def round_predictor(recursion: Recursion, round_: RoundRecord) -> Predictor:
    """What a round proposes with: its model and, to tell how sure its masks are, its snapshots.

    Args:
        recursion: under the round's settings.
        round_: has its model.

    Raises:
        RecursiveExpandError: weights are missing or are not what the ledger recorded.
    """
    assert round_.model is not None
    snapshots = [recursion.network(sha256) for sha256 in round_.report.get("snapshots", [])]
    return Predictor(recursion.settings, recursion.network(round_.model), choose_device(), snapshots=snapshots)
