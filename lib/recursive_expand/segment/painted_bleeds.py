"""Synthetic bleeds painted into real slices without blood: real heads and scanners, exact masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from recursive_expand.phantom.acquisition import DENSEST_BLOOD_HU, WINDOWED, WINDOWS
from recursive_expand.phantom.anatomy import Anatomy
from recursive_expand.phantom.bleeds import paint_bleeds, pressure_of
from recursive_expand.phantom.brain import Spaces
from recursive_expand.phantom.canvas import Canvas, Plane
from recursive_expand.phantom.findings import Findings
from recursive_expand.phantom.scanner import Scanner
from recursive_expand.phantom.varied_bleeds import draw_bleeds, layer_blood
from recursive_expand.phantom.varied_fields import SlabField
from recursive_expand.segment.fitted_head import FittedHead

HEIGHTS_MM = (34.0, 88.0)
"""Between which a slice with an oval outline lies; where exactly is not known, and which bleeds are likely there is
drawn."""
DECOYS_ALONE = 0.2
"""Share of slices without a bleed; of the others most hold at least so much blood, mm2."""
LEAST_BLOOD_MM2 = 30.0
_ATTEMPTS = 5
CSF_BELOW_BRAIN_HU = 11.0
"""Fluid is darker than the brain by more."""
VENTRICLE_DEPTH_MM = 22.0
"""Deeper fluid is in the ventricles, the rest in sulci."""
_SULCUS_MM = 13.0
_YIELDING_MM = 30.0
"""Over what depth the brain gives way to blood that lifts it off the skull."""
_EDGE_MM = 1.5
_NOWHERE = -99.0


def paint_bleeds_into(
    hu: NDArray[np.int16], spacing: tuple[float, float], rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.uint8]] | None:
    """Paint bleeds, and what is taken for them, into a slice that holds neither.

    The bleeds are those of the synthetic heads (`phantom/varied_bleeds.py`), in the slice's own outline, ventricles and
    sulci; blood between brain and skull pushes the brain inwards. Beside them are, as in synthetic heads, calcium,
    dense vessels, old infarcts, drains and air, which are not in the mask; a fifth of the slices gets these alone. The
    slice then goes through another scanner on top of its own: blur, kernel, noise, drift, gamma and often a display
    window.

    Args:
        hu: (R, C) int16 HU of a slice without blood; rows towards posterior, columns towards the patient's left.
        spacing: mm between rows and between columns.
        rng: decides everything.

    Returns:
        (R, C) int16 HU and (R, C) uint8, a bleed's place in `phantom.CLASSES` + 1; None where the slice has no outline
        (`FittedHead.of`).
    """
    head = FittedHead.of(hu, spacing)
    if head is None:
        return None
    bloody = rng.random() >= DECOYS_ALONE
    for _ in range(_ATTEMPTS):
        canvas, plane = _painted(hu.astype(np.float32), head, rng, bloody=bloody)
        if not bloody or np.count_nonzero(canvas.mask) * plane.pixel**2 >= LEAST_BLOOD_MM2:
            break
    imaged = _imaged_again(canvas.hu, plane, rng)
    return imaged, np.where(imaged > DENSEST_BLOOD_HU, 0, canvas.mask).astype(np.uint8)


def _painted(
    hu: NDArray[np.float32], head: FittedHead, rng: np.random.Generator, *, bloody: bool
) -> tuple[Canvas, Plane]:
    z = float(rng.uniform(*HEIGHTS_MM))
    head = replace(head, plane=replace(head.plane, z=z), ring=replace(head.ring, height=z))
    plane = head.plane
    anatomy = Anatomy.draw(int(rng.integers(2**31)), field=SlabField.draw)
    findings, bleeds = Findings(rng, plane), draw_bleeds(rng, plane, head.ring) if bloody else []
    lifted = head.polar.lookup(pressure_of(bleeds, head.ring).thickness)
    before = _pushed_in(hu, head, lifted)
    canvas = Canvas(before.copy(), np.zeros(hu.shape, np.uint8), np.zeros(hu.shape, np.uint8))
    spaces = _spaces(before, head, anatomy, lifted)
    findings.paint_below(canvas, plane, spaces)
    paint_bleeds(canvas, plane, spaces, bleeds)
    layer_blood(canvas, plane, bleeds, rng)
    findings.paint_above(canvas, plane, spaces, anatomy)
    # What is painted has no noise of its own; all else has the slice's.
    grain = rng.standard_normal(hu.shape, dtype=np.float32) * _noise_of(before, head)
    canvas.hu += np.where(canvas.hu != before, ndimage.gaussian_filter(grain, 0.5) / 0.56, 0)
    return canvas, plane


def _pushed_in(hu: NDArray[np.float32], head: FittedHead, lifted: NDArray[np.float32]) -> NDArray[np.float32]:
    """The slice whose brain blood has lifted off the skull: near the blood by its thickness, deep inside by nothing."""
    depth = head.polar.depth
    came_from = depth - lifted * np.exp(-np.clip(depth - lifted, 0, None) / _YIELDING_MM)
    # Behind the blood, which shares its border's voxels with it, is bone on one side and cortex on the other.
    came_from = np.where(depth < lifted / 2, -_EDGE_MM, np.maximum(came_from, np.minimum(depth, _EDGE_MM)))
    rows, columns = np.nonzero((lifted > 0.05) & (depth > -_EDGE_MM) & (np.abs(depth - came_from) > 0.05))
    if not len(rows):
        return hu
    outwards = 1 + (depth - came_from)[rows, columns] / np.maximum(head.polar.radius[rows, columns], 1)
    source = head.pixels(head.plane.x[rows, columns] * outwards, head.plane.y[rows, columns] * outwards)
    out = hu.copy()
    out[rows, columns] = ndimage.map_coordinates(hu, source, order=1, mode="nearest")
    return out


def _spaces(hu: NDArray[np.float32], head: FittedHead, anatomy: Anatomy, lifted: NDArray[np.float32]) -> Spaces:
    """What the slice shows of ventricles and sulci, as the synthetic heads know theirs."""
    plane = head.plane
    smooth = ndimage.gaussian_filter(hu, 1.0 / plane.pixel)
    depth = head.polar.depth
    fluid = (smooth < np.median(hu[head.soft]) - CSF_BELOW_BRAIN_HU) & (depth > 1)
    deep = ndimage.binary_opening(fluid & (depth > VENTRICLE_DEPTH_MM), iterations=max(1, round(1.0 / plane.pixel)))
    nowhere = np.full(hu.shape, _NOWHERE, np.float32)
    sides = {"left": deep & (plane.x > 0), "right": deep & (plane.x <= 0)}
    ventricles = {name: _signed_distance(side, plane.pixel) for name, side in sides.items()}
    shallow = fluid & ~deep & (depth < VENTRICLE_DEPTH_MM)
    to_sulcus = ndimage.distance_transform_edt(~shallow) * plane.pixel if shallow.any() else -nowhere
    inside = plane.coverage(depth) * ndimage.gaussian_filter(head.soft.astype(np.float32), 0.5)
    return Spaces(
        polar=head.polar,
        ring=head.ring,
        inside=inside,
        cortex_depth=depth - lifted,
        sulci=to_sulcus.astype(np.float32),
        sulcus_share=(np.clip(1 - depth / _SULCUS_MM, 0, 1) * (depth > 0)).astype(np.float32),
        ventricles={**ventricles, "third": nowhere, "fourth": nowhere},
        cisterns={},
        brain=inside * ~fluid,
        wobble=anatomy.wobble.at(plane.z, plane.rows, plane.columns),
        texture=anatomy.texture.at(plane.z, plane.rows, plane.columns),
    )


def _signed_distance(mask: NDArray[np.bool_], pixel: float) -> NDArray[np.float32]:
    if not mask.any():
        return np.full(mask.shape, _NOWHERE, np.float32)
    apart = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
    return (apart * pixel).astype(np.float32)


def _noise_of(hu: NDArray[np.float32], head: FittedHead) -> float:
    """Standard deviation of the brain's noise, HU: what differs from its neighbourhood, robust against edges."""
    residual = (hu - ndimage.gaussian_filter(hu, 1.0))[head.soft & (head.polar.depth > 5)]
    return float(1.4826 * np.median(np.abs(residual - np.median(residual)))) if len(residual) else 0.0


def _imaged_again(hu: NDArray[np.float32], plane: Plane, rng: np.random.Generator) -> NDArray[np.int16]:
    """What another scanner and display make of a slice that one has imaged already."""
    scanner = Scanner(
        thickness=5.0,
        field_of_view=240.0,
        tilt=0.0,
        blur=rng.uniform(0, 0.8),
        sharpening=rng.uniform(0, 0.25) if rng.random() < 0.3 else 0.0,
        noise=rng.uniform(0, 5),
        grain=rng.uniform(0.2, 1.2),
        drift=rng.normal(0, 3),
        cupping=rng.uniform(-2, 5),
    )
    contrast = 1 + rng.uniform(-0.12, 0.15)
    hu = np.where(hu > -200, hu + (np.clip(hu, -60, 120) - 35) * (contrast - 1), hu)
    imaged = scanner.image(hu, plane, seed=int(rng.integers(2**31)), index=0)
    if rng.random() >= WINDOWED:
        return imaged
    low, high = WINDOWS[int(rng.integers(len(WINDOWS)))]
    grey = np.clip((imaged - low) / (high - low), 0, 1) ** np.exp(rng.normal(0, 0.06))
    return np.rint(np.rint(grey * 255) / 255 * (high - low) + low).astype(np.int16)
