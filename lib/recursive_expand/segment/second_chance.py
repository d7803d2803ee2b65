"""The second chance of a rejected mask: what of it f was sure of, pixel by pixel, or the component it was surest of."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Kind = Literal["stricter", "components"]
"""How a rejected mask comes once more."""


def second_chance(mask: NDArray[np.uint8], ignore: NDArray[np.bool_], kind: Kind) -> NDArray[np.uint8]:
    """What of a slice's rejected mask is worth another look.

    Both rest on the ignore band, which is frozen with the mask: what of the mask lies outside of it is confident
    foreground.

    Args:
        mask: (R, C) class values.
        ignore: (R, C) bool, the ignore band.
        kind: `stricter`: the confident foreground. `components`: of several connected components (8 neighbours) of the
            foreground the one with most confident foreground, whole; nothing of a single one.

    Returns:
        (R, C) uint8, a part of the mask; empty where f was sure of nothing.
    """
    sure = np.where(ignore, np.uint8(0), mask)
    if kind == "stricter" or not sure.any():
        return sure
    labels, components = ndimage.label(mask > 0, np.ones((3, 3)))
    surest = np.bincount(labels[sure > 0]).argmax()
    return np.where(labels == surest, mask, np.uint8(0)) if components > 1 else np.zeros_like(mask)
