"""The region `head`: the body's box, on slices that may hold brain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recursive_expand.segment.regions.body import Body

SOFT_TISSUE_HU = (-10, 120)
"""Brain, cerebrospinal fluid, muscle and blood, fresh or clotted, lie within these."""
_CORE_CM2 = 0.5
_GRID_MM = 2.0


class Head(Body):
    """A head in air: what lies on the table is the head, and slices without brain hold no blood."""

    def worth_a_look(self, hu: NDArray[np.int16], spacing: tuple[float, float]) -> bool:
        """See `has_brain`."""
        return has_brain(hu, spacing)


def has_brain(hu: NDArray[np.int16], spacing: tuple[float, float]) -> bool:
    """Whether a slice may hold brain, and so blood.

    Skipping a slice with blood is a safety failure, proposing on one without is only slow: the answer is False only
    where the slice has no patch of soft tissue, scalp included, of about 1.5 cm2 or more. Air, tables and the last
    millimetres above the vertex are such slices.

    Args:
        hu: (R, C) int16, Hounsfield units.
        spacing: mm between rows and between columns. Beyond what a CT can have (0.1 to 5 mm) it is not believed
            and any soft tissue counts.

    Returns:
        False where f can be left out.
    """
    believed = all(0.1 <= mm <= 5 for mm in spacing)
    step_r, step_c = (max(1, round(_GRID_MM / mm)) if believed else 1 for mm in spacing)
    rows = hu[::step_r, : hu.shape[1] // step_c * step_c]
    # Means along the row quieten the noise of thin slices, which would break the tissue up.
    means = rows.reshape(rows.shape[0], -1, step_c).mean(axis=2, dtype=np.float32)
    soft = (means >= SOFT_TISSUE_HU[0]) & (means <= SOFT_TISSUE_HU[1])
    if not believed:
        return bool(soft.any())
    # Partial volume makes a rim of "soft tissue" on every table and bone: only what has neighbours counts.
    core = soft[1:-1, 1:-1] & soft[:-2, 1:-1] & soft[2:, 1:-1] & soft[1:-1, :-2] & soft[1:-1, 2:]
    pixel_cm2 = step_r * spacing[0] * step_c * spacing[1] / 100
    return float(core.sum()) * pixel_cm2 >= _CORE_CM2
