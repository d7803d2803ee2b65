"""g: refines a mask to the image's own boundaries by Felzenszwalb-Huttenlocher segmentation around its components."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label

from recursive_expand.segment.box import Area, Box
from recursive_expand.segment.felzenszwalb import felzenszwalb
from recursive_expand.segment.specks import drop_specks
from recursive_expand.segment.windows import window_image
from recursive_expand.settings import Refinement, Window

_EIGHT_NEIGHBOURS = np.ones((3, 3), bool)


def refine(
    mask: NDArray[np.uint8],
    hu: NDArray[np.int16],
    refinement: Refinement,
    window: Window,
    *,
    min_pixels: float = 1,
) -> NDArray[np.uint8]:
    """Refine every connected component of a slice's mask.

    The image around the components is cut into segments (Felzenszwalb and Huttenlocher, 2004): on each one's box
    plus `refinement.margin`, boxes that touch being taken together, so that a mask of a thousand specks never costs
    more than its whole slice. A segment belongs to a component, these being told apart by class, where at least
    `refinement.overlap` of it lies in the component. Then, by `refinement.mode`:

    - shrink: the component loses what lies in no such segment; the result lies within the mask;
    - grow: the component gains such segments; the result contains the mask;
    - objectness: the component becomes the union of such segments;
    - off: the mask is returned as it is.

    A pixel of one class never becomes another class. Where the result's Dice with the component is below
    `refinement.min_dice`, the component stays as it was.

    Args:
        mask: (R, C) uint8 class values, 0 background.
        hu: (R, C) int16, Hounsfield units.
        refinement: g's settings.
        window: the CT window in which g sees the image.
        min_pixels: whoever drops specks of fewer pixels afterwards says so here. Areas of specks alone that cannot
            grow (mode shrink) are then left as they are, which spares their segmentation.

    Returns:
        (R, C) uint8, a new array.

    Raises:
        ValueError: where mask and image have different shapes.
    """
    if mask.shape != hu.shape:
        raise ValueError(f"mask {mask.shape} and image {hu.shape} must have one shape")
    out = mask.copy()
    if refinement.mode == "off" or not mask.any():
        return out
    # Most of a slice is far from any component: the work is done on the part that is not.
    part = Box.around(mask).grown(refinement.margin, mask.shape).area
    mask, hu, refined = mask[part], hu[part], out[part]
    worth_it = drop_specks(mask, min_pixels=min_pixels) if refinement.mode == "shrink" else mask
    for area in _separate_areas(mask, refinement.margin):
        if worth_it[area].any():
            segments = felzenszwalb(
                window_image(hu[area], window),
                scale=refinement.scale,
                sigma=refinement.sigma,
                min_size=refinement.min_size,
            )
            refined[area] = _refine_area(mask[area], segments, refinement)
    return out


def _separate_areas(mask: NDArray[np.uint8], margin: int) -> list[Area]:
    """The boxes of a mask's components plus a margin, united until no two touch."""
    labels, _ = ndimage.label(mask, structure=_EIGHT_NEIGHBOURS)
    boxes = [
        (slice(max(0, rows.start - margin), rows.stop + margin), slice(max(0, cols.start - margin), cols.stop + margin))
        for rows, cols in ndimage.find_objects(labels)
    ]
    while True:
        covered = np.zeros(mask.shape, bool)
        for box in boxes:
            covered[box] = True
        labels, number = ndimage.label(covered)
        united: list[Area] = ndimage.find_objects(labels)
        if number == len(boxes):
            return united
        boxes = united


def _refine_area(mask: NDArray[np.uint8], segments: NDArray[np.int32], refinement: Refinement) -> NDArray[np.uint8]:
    """Refine the components of an area, all at once: arrays (h, w)."""
    labels = label(mask, connectivity=2)  # components of one class each
    pixels = np.flatnonzero(mask)
    values, segment_of_pixel = mask.ravel()[pixels], segments.ravel()[pixels]
    sizes = np.bincount(segments.ravel())
    # One entry for each pair of a component and a segment that share pixels.
    pairs, first, pair_of_pixel, covered = np.unique(
        labels.ravel()[pixels] * len(sizes) + segment_of_pixel,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    component, segment = np.divmod(pairs, len(sizes))
    belongs = covered >= refinement.overlap * sizes[segment]

    def by_component(weights: NDArray) -> NDArray:
        return np.bincount(component, weights=weights)

    before = by_component(covered)
    kept = before if refinement.mode == "grow" else by_component(covered * belongs)
    after = kept
    if refinement.mode != "shrink":
        # A component gains what is background or of its class in its segments.
        free = sizes - np.bincount(segment_of_pixel, minlength=len(sizes))
        of_class = np.bincount(values.astype(np.int64) * len(sizes) + segment_of_pixel)
        own = of_class[values[first].astype(np.int64) * len(sizes) + segment]
        after = kept + by_component((free[segment] + own - covered) * belongs)
    agrees = 2 * kept >= refinement.min_dice * (before + after)
    taken = belongs & agrees[component]
    stays = taken[pair_of_pixel] if refinement.mode == "shrink" else np.full(len(pixels), refinement.mode == "grow")
    stays |= ~agrees[component][pair_of_pixel]
    out = np.zeros_like(mask)
    out.ravel()[pixels[stays]] = values[stays]
    if refinement.mode == "shrink":
        return out
    # Classes are written in order, so that two that grow into the same background always settle it the same way.
    for value in np.unique(values):
        claimed = np.zeros(len(sizes), bool)
        claimed[segment[taken & (values[first] == value)]] = True
        out[claimed[segments] & (out == 0) & ((mask == value) | (mask == 0))] = value
    return out
