"""Leave slices out of a volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recursive_expand.cases import Geometry, SeriesReference, Volume


def keep_slices(volume: Volume, numbers: Sequence[int]) -> Volume:
    """The volume with these slices alone.

    Args:
        volume: the whole.
        numbers: slices that stay, ascending, at least one.

    Returns:
        A volume whose affine places the first and the last slice right, and those between at their mean distance.
    """
    geometry = volume.geometry
    if len(numbers) == geometry.shape[0]:
        return volume
    axis = geometry.orientation.axes[0]
    affine = geometry.affine.copy()
    affine[:3, 3] += affine[:3, axis] * numbers[0]
    if len(numbers) > 1:
        affine[:3, axis] *= (numbers[-1] - numbers[0]) / (len(numbers) - 1)
    native_shape = list(geometry.native_shape)
    native_shape[axis] = len(numbers)
    i, j, k = native_shape
    # The same orientation, also where one slice is left and its axis could be taken for another.
    kept = Geometry((i, j, k), affine, geometry.orientation)
    return Volume(np.ascontiguousarray(volume.hu[list(numbers)]), kept, _kept_reference(volume.series, numbers))


def _kept_reference(series: SeriesReference | None, numbers: Sequence[int]) -> SeriesReference | None:
    """The way back for the slices that stay."""
    if series is None:
        return None
    places = np.concatenate([[0.0], np.cumsum(series.slice_spacings_mm)])
    return replace(
        series,
        sop_instance_uids=tuple(series.sop_instance_uids[number] for number in numbers),
        positions=series.positions[list(numbers)],
        slice_spacings_mm=np.diff(places[list(numbers)]),
        frame_numbers=tuple(series.frame_numbers[number] for number in numbers if series.frame_numbers),
    )
