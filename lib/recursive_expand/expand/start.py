"""What f begins the recursion with: fresh weights, those that synthetic heads taught it, or an earlier study's."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from recursive_expand.errors import InputError
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion, choose_device
from recursive_expand.segment.pretrain import cache_folder, pretrained
from recursive_expand.segment.weights import SUFFIX, load_weights


def first_network(recursion: Recursion, progress: Progress) -> nn.Module:
    """f before round 0.

    Args:
        recursion: under the round's settings.
        progress: shows how far the pretraining is.

    Raises:
        InputError: the weights that `pretrain` names are not there or do not fit, or the task's classes are none that
            synthetic heads show.
    """
    pretrain = recursion.settings.method.pretrain
    network = recursion.network(None)  # seeds torch: what follows does not depend on what was drawn before
    if pretrain == "none":
        return network
    if pretrain != "synthetic":
        load_weights(network, _weights_of(recursion, pretrain), pretrain)
        return network

    def on_step(done: int, total: int, loss: float) -> None:
        if not begun:
            progress.begin("learning from synthetic heads", total)
            begun.append(True)
        progress.step(done, f"slices, loss {loss:.4f}")

    begun: list[bool] = []
    return pretrained(recursion.settings, choose_device(), on_step=on_step)


def _weights_of(recursion: Recursion, sha256: str) -> Path:
    """Where the weights with this hash lie: in this workspace, or in the user's cache folder."""
    cached = cache_folder() / f"{sha256}{SUFFIX}"
    for path in (recursion.workspace.model(sha256), cached):
        if path.is_file():
            return path
    raise InputError(
        f"pretrain {sha256}", f"copy these weights to {recursion.workspace.model(sha256)} or to {cached.parent}"
    )
