"""Batch normalisation's statistics at the end of a training: the mean over many batches, not over the last ten."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def gather_statistics(network: nn.Module, *, anew: bool) -> None:
    """From now on running means and variances are those of all batches since they were begun anew.

    While f learns they follow it, and rest on about ten batches: at the end, with weights that hardly move any more,
    that is noise, and f proposes with it (Wu and Johnson, "Rethinking Batch in BatchNorm", 2021, section 3).

    Args:
        network: changed in place.
        anew: forget what was gathered; False goes on, after an interruption.
    """
    for layer in _layers(network):
        if anew:
            layer.reset_running_stats()
        layer.momentum = None  # torch's name for the cumulative mean


def follow_statistics(network: nn.Module) -> None:
    """Running means and variances follow the last batches again, as of a network that was just built."""
    for layer in _layers(network):
        layer.momentum = 0.1


def _layers(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
