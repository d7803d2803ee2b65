"""g: refines a mask to the image's own boundaries by Felzenszwalb-Huttenlocher segmentation of each component's box."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import felzenszwalb

from recursive_expand.segment.windows import window_image
from recursive_expand.task import Refinement, Window

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def refine(mask: NDArray[np.uint8], hu: NDArray[np.int16], refinement: Refinement, window: Window) -> NDArray[np.uint8]:
    """Refine every connected component of a slice's mask.

    The image around each component (its box plus `refinement.margin`) is cut into segments (Felzenszwalb and
    Huttenlocher, 2004). A segment belongs to the object where at least `refinement.overlap` of it lies in the
    component. Then, by `refinement.mode`:

    - shrink: the component loses what lies in no such segment; the result lies within the mask;
    - grow: the component gains such segments; the result contains the mask;
    - objectness: the component becomes the union of such segments;
    - off: the mask is returned as it is.

    A pixel of one class never becomes another class. Where the result's Dice with the component is below
    `refinement.min_agreement`, the component stays as it was.

    Args:
        mask: (R, C) uint8 class values, 0 background.
        hu: (R, C) int16, Hounsfield units.
        refinement: g's settings.
        window: the CT window in which g sees the image.

    Returns:
        (R, C) uint8, a new array.
    """
    if mask.shape != hu.shape:
        raise ValueError(f"mask {mask.shape} and image {hu.shape} must have one shape")
    if refinement.mode == "off":
        return mask.copy()
    out = np.zeros_like(mask)
    # Image boxes are segmented once a component; classes are written in order, so that two classes that grow into
    # the same background always settle it the same way.
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=1)[1:]) + 1:
        labels, _ = ndimage.label(mask == value, structure=_EIGHT_NEIGHBOURS)
        for number, found in enumerate(ndimage.find_objects(labels), start=1):
            box = _with_margin(found, refinement.margin, mask.shape)
            component = labels[box] == number
            free = (mask[box] == 0) | (mask[box] == value)
            refined = _refine_component(component, free, window_image(hu[box], window), refinement)
            part = out[box]
            part[refined & (part == 0)] = value
    return out


def _with_margin(found: tuple[slice, ...], margin: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, axis.start - margin), min(size, axis.stop + margin))
        for axis, size in zip(found, shape, strict=True)
    )


def _refine_component(
    component: NDArray[np.bool_], free: NDArray[np.bool_], image: NDArray[np.float64], refinement: Refinement
) -> NDArray[np.bool_]:
    """One component's refinement on its box: all arrays (h, w); `free` is where the component may lie."""
    segments = felzenszwalb(
        image, scale=refinement.scale, sigma=refinement.sigma, min_size=refinement.min_size, channel_axis=None
    )
    sizes = np.bincount(segments.ravel())
    covered = np.bincount(segments[component], minlength=len(sizes))
    belongs = ((covered > 0) & (covered >= refinement.overlap * sizes))[segments]
    if refinement.mode == "shrink":
        refined = component & belongs
    elif refinement.mode == "grow":
        refined = component | (belongs & free)
    else:
        refined = belongs & free
    agreement = 2 * np.count_nonzero(refined & component) / (np.count_nonzero(refined) + np.count_nonzero(component))
    return refined if agreement >= refinement.min_agreement else component
