"""f and g as a `BasicInferTask`: MONAI's transforms, whole slices, Felzenszwalb as a post transform."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch
from monai.inferers.inferer import Inferer
from monai.transforms.intensity.dictionary import ScaleIntensityRanged
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.post.dictionary import Activationsd, AsDiscreted
from monai.transforms.transform import MapTransform
from monai.transforms.utility.dictionary import ConcatItemsd, CopyItemsd, EnsureChannelFirstd, EnsureTyped, Transposed
from monailabel.interfaces.tasks.infer_v2 import InferType
from monailabel.tasks.infer.basic_infer import BasicInferTask
from monailabel.transform.post import Restored
from numpy.typing import NDArray
from skimage.segmentation import felzenszwalb
from torch import Tensor, nn

from recursive_expand.segment.refine import refine
from recursive_expand.segment.specks import drop_specks
from recursive_expand.segment.windows import window_image
from recursive_expand.settings import Refinement, Settings, Window

SLICES_AT_ONCE = 8
scikit_felzenszwalb = partial(felzenszwalb, channel_axis=None)
"""What a stock g takes; ours has it compiled."""
_COLUMNS_ROWS = (0, 2, 1, 3)
"""(channel, column, row, slice) to (channel, row, column, slice), and back."""


class StockInfer(BasicInferTask):
    """The stock path.

    Args:
        settings: windows and refinement.
        network: f, in eval mode.
        every_slice: whether g cuts slices without any mask too, as a transform that knows of no shortcut does.
    """

    def __init__(self, settings: Settings, network: nn.Module, *, every_slice: bool = True) -> None:
        super().__init__(
            path=None,
            network=network,
            type=InferType.SEGMENTATION,
            labels=settings.task.label_names,
            dimension=3,
            description="stock",
            config={"device": "cpu"},
        )
        self._settings = settings
        self._every_slice = every_slice

    def pre_transforms(self, data: Any = None) -> Sequence[Callable]:
        """Load, and one channel for each CT window."""
        names = [f"window_{number}" for number in range(len(self._settings.task.windows))]
        ranges = [
            ScaleIntensityRanged(
                keys=name,
                a_min=window.level - window.width / 2,
                a_max=window.level + window.width / 2,
                b_min=0.0,
                b_max=1.0,
                clip=True,
            )
            for name, window in zip(names, self._settings.task.windows, strict=True)
        ]
        return [
            LoadImaged(keys="image", reader="ITKReader"),
            EnsureChannelFirstd(keys="image"),
            EnsureTyped(keys="image"),
            Transposed(keys="image", indices=_COLUMNS_ROWS),
            CopyItemsd(keys="image", times=len(names) + 1, names=["hu", *names]),
            *ranges,
            ConcatItemsd(keys=names, name="image"),
        ]

    def inferer(self, data: Any = None) -> Inferer:
        """Slices as a batch."""
        return SliceBatches()

    def post_transforms(self, data: Any = None) -> Sequence[Callable]:
        """Classes, then g, then back onto the image's grid."""
        return [
            Activationsd(keys="pred", softmax=True),
            AsDiscreted(keys="pred", argmax=True),
            FelzenszwalbSlicesd(keys="pred", settings=self._settings, every_slice=self._every_slice),
            Transposed(keys="pred", indices=_COLUMNS_ROWS),
            Restored(keys="pred", ref_image="image"),
        ]


class SliceBatches(Inferer):
    """Run a 2-D network over a volume (1, C, R, C, slices), some slices at a time."""

    def __call__(self, inputs: Tensor, network: Callable[..., Tensor], *args: Any, **kwargs: Any) -> Tensor:
        """(1, K + 1, R, C, slices) logits."""
        slices = torch.as_tensor(inputs)[0].permute(3, 0, 1, 2)
        logits = torch.cat([network(part.contiguous()) for part in slices.split(SLICES_AT_ONCE)])
        return logits.permute(1, 2, 3, 0)[None]


class FelzenszwalbSlicesd(MapTransform):
    """g over whole slices, by the same rules as ours; then the same specks are dropped.

    Args:
        keys: the mask, (1, R, C, slices). The image is `hu`.
        settings: g's, and the window in which it sees the image.
        every_slice: see `StockInfer`.
    """

    def __init__(self, keys: str, settings: Settings, *, every_slice: bool) -> None:
        super().__init__(keys)
        self._refinement, self._window = settings.method.refinement, settings.task.windows[0]
        self._every_slice = every_slice

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Refine every slice."""
        out = dict(data)
        volume = np.asarray(data["hu"][0])
        min_pixels = self._refinement.min_area / math.prod(data["hu"].pixdim[:2].tolist())
        for key in self.keys:
            masks = np.asarray(data[key][0]).astype(np.uint8)
            refined = np.zeros_like(masks)
            for k in range(masks.shape[-1]):
                mask, hu = masks[..., k], volume[..., k].astype(np.int16)
                if mask.any():
                    with mock.patch("recursive_expand.segment.refine.felzenszwalb", scikit_felzenszwalb):
                        cut = refine_whole_slice(mask, hu, self._refinement, self._window)
                    refined[..., k] = drop_specks(cut, min_pixels=min_pixels)
                elif self._every_slice:
                    arguments = self._refinement.model_dump(include={"scale", "sigma", "min_size"})
                    scikit_felzenszwalb(window_image(hu, self._window), **arguments)
            out[key] = torch.from_numpy(refined)[None]
        return out


def refine_whole_slice(
    mask: NDArray[np.uint8], hu: NDArray[np.int16], refinement: Refinement, window: Window, *, min_pixels: float = 1
) -> NDArray[np.uint8]:
    """g as `refine`, with one segmentation of the whole slice; arguments and result are the same."""
    everything = refinement.model_copy(update={"margin": max(hu.shape)})
    return refine(mask, hu, everything, window, min_pixels=min_pixels)
