"""The plain path: f over a whole slice in float32, with no shortcut. What the fast path is held against."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from recursive_expand.cases import AIR_HU
from recursive_expand.segment.box import Box
from recursive_expand.segment.network import size_multiple
from recursive_expand.segment.resample import to_native, to_working, working_shape
from recursive_expand.segment.windows import apply_windows
from recursive_expand.settings import Settings


@torch.inference_mode()
def predict_plain(
    settings: Settings, network: nn.Module, hu: NDArray[np.int16], spacing: tuple[float, float] | None = None
) -> NDArray[np.float32]:
    """Class probabilities of one slice.

    Args:
        settings: windows, context and working spacing.
        network: f, in eval mode, on any device.
        hu: (R, C) int16, Hounsfield units; with `Method.context` (2 * context + 1, R, C), its neighbours around it.
        spacing: mm between rows and between columns; needed only where `Method.working_spacing` is set.

    Returns:
        (K + 1, R, C) float32; their argmax over the first axis is f's mask.
    """
    device = next(network.parameters()).device
    rows, columns = hu.shape[-2:]
    shape = working_shape((rows, columns), spacing, settings.method.working_spacing)
    working = to_working(torch.from_numpy(np.array(hu))[None], shape)
    box = Box.whole(shape).aligned(size_multiple(settings))
    padding = (0, box.shape[1] - shape[1], 0, box.shape[0] - shape[0])
    padded = functional.pad(working, padding, value=AIR_HU).to(device)
    logits = network(apply_windows(padded, settings.task.windows))[:, :, : shape[0], : shape[1]]
    return to_native(logits, (rows, columns))[0].softmax(0).cpu().numpy()
