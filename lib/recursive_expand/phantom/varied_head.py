"""One slice of a head as varied as heads are: true densities and the exact mask, before any scanner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.anatomy import Anatomy
from recursive_expand.phantom.bleeds import Bleed, Epidural, paint_bleeds, pressure_of
from recursive_expand.phantom.brain import paint_brain
from recursive_expand.phantom.canvas import Canvas, Plane
from recursive_expand.phantom.findings import Findings
from recursive_expand.phantom.outline import ANGLES, Polar, Ring
from recursive_expand.phantom.skull import paint_outside, paint_skull_base
from recursive_expand.phantom.streams import stream
from recursive_expand.phantom.surroundings import Surroundings
from recursive_expand.phantom.varied_bleeds import draw_bleeds, layer_blood
from recursive_expand.phantom.varied_fields import SlabField

EXTENT_MM = (211.2, 172.8)
"""Rows and columns of a slice: a head's box."""
HEIGHTS = (-12.0, 116.0)
"""Between which the slice lies, mm above the orbitomeatal level."""
THICKNESS = (0.6, 7.0)
"""mm: thick slices average what lies in them."""
LEVEL = 0.3
"""Share of slices along the orbitomeatal line."""
TILT, LEAN = 24.0, 7.0
"""Most degrees by which the others are tilted: chin up or down, and to a side."""


@dataclass(frozen=True)
class Painted:
    """A slice before the scanner.

    Attributes:
        hu: (R, C) float32, true densities.
        mask: (R, C) uint8, 0 or a bleed type's place in CLASSES + 1.
        depth: (R, C) float32, mm inwards from the inner table, negative outside; -99 above the brain.
        pixel: mm.
    """

    hu: NDArray[np.float32]
    mask: NDArray[np.uint8]
    depth: NDArray[np.float32]
    pixel: float


def paint_varied(seed: int, number: int, *, pixel: float) -> Painted:
    """Paint a slice of a head of its own.

    Args:
        seed, number: decide everything.
        pixel: mm; rows and columns follow from `EXTENT_MM`.
    """
    rng = stream(seed, "varied head", number)
    anatomy = _anatomy(rng)
    z = _height(rng)
    thickness = float(rng.uniform(*THICKNESS))
    plane = _plane(rng, z, pixel, _slope(stream(seed, "tilt", number)))
    surroundings, findings = Surroundings(rng), Findings(rng, plane)
    if findings.enhanced_sinuses is not None:
        anatomy = replace(anatomy, sinus_hu=findings.enhanced_sinuses)
    apart = thickness / 3 * float(np.hypot(1, np.hypot(*plane.slope)))  # along the head's axis
    heights = (z,) if thickness < 2.5 else (z, z - apart, z + apart)
    planes = [replace(plane, z=height) for height in heights]
    rings = [anatomy.outline.on(one) for one in planes]
    bleeds = draw_bleeds(rng, plane, rings[0])
    layers = [
        _painted(one, ring, anatomy, bleeds, surroundings, findings) for one, ring in zip(planes, rings, strict=True)
    ]
    for layer, _ in layers:
        layer_blood(layer, plane, bleeds, np.random.default_rng([seed, number]))
    middle, depth = layers[0]
    hu = np.mean([layer.hu for layer, _ in layers], axis=0, dtype=np.float32)
    mask = middle.mask
    if len(layers) > 1:
        # Blood is what fills most of the slice's thickness.
        filled = np.sum([layer.mask > 0 for layer, _ in layers], axis=0) >= 2
        value = np.maximum.reduce([layer.mask for layer, _ in layers])
        mask = np.where(filled, np.where(mask > 0, mask, value), 0).astype(np.uint8)
    return Painted(hu, mask, depth, pixel)


def _height(rng: np.random.Generator) -> float:
    """Most slices from where most bleeds are, some from the vertex, where bone at a slant looks like blood."""
    choice = rng.random()
    if choice < 0.4:
        return float(np.clip(rng.normal(46, 17), *HEIGHTS))
    return float(rng.uniform(*HEIGHTS)) if choice < 0.88 else float(rng.uniform(92, HEIGHTS[1]))


def _anatomy(rng: np.random.Generator) -> Anatomy:
    anatomy = Anatomy.draw(int(rng.integers(2**31)), field=SlabField.draw)
    scale = rng.uniform(0.9, 1.12)
    outline = replace(
        anatomy.outline,
        half_width=rng.uniform(58, 75) * scale,
        half_length=rng.uniform(73, 92) * scale,
        egg=rng.uniform(0, 0.12),
        harmonics=np.stack([rng.uniform(0, 0.025, 3), rng.uniform(0, 2 * np.pi, 3)], 1),
        bone=rng.uniform(3, 10),
        scalp=rng.uniform(2.5, 9),
    )
    wide = rng.uniform(0.6, 2.1)
    return replace(
        anatomy,
        outline=outline,
        ventricles={name: points * (1, 1, 1, wide) for name, points in anatomy.ventricles.items()},
        atrophy=rng.uniform(-0.4, 1.2),  # below 0: no CSF parts the brain from the skull
        dura_hu=rng.uniform(42, 76),
        sinus_hu=rng.uniform(44, 74),
    )


def _slope(rng: np.random.Generator) -> tuple[float, float]:
    """By how much a slice rises to the left and back: gantries tilt, chins lie high or low, heads lean to a side."""
    if rng.random() < LEVEL:
        return 0.0, 0.0
    lean, tilt = np.tan(np.radians([rng.uniform(-most, most) for most in (LEAN, TILT)]))
    return float(lean), float(tilt)


def _plane(rng: np.random.Generator, z: float, pixel: float, slope: tuple[float, float]) -> Plane:
    rows, columns = (round(extent / pixel) for extent in EXTENT_MM)
    down = ((np.arange(rows) - (rows - 1) / 2) * pixel).astype(np.float32) - np.float32(rng.uniform(-6, 6))
    across = ((np.arange(columns) - (columns - 1) / 2) * pixel).astype(np.float32) - np.float32(rng.uniform(-5, 5))
    turn = np.radians(rng.uniform(-12, 12))
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    x = cosine * across[None, :] + sine * down[:, None]
    y = -sine * across[None, :] + cosine * down[:, None]
    # The head's own coordinates are the slice's seen from above.
    x, y = (axis * np.float32(1 / np.hypot(1, rise)) for axis, rise in zip((x, y), slope, strict=True))
    return Plane(x, y, z, pixel, down, across, slope)


def _painted(
    plane: Plane,
    ring: Ring,
    anatomy: Anatomy,
    bleeds: Sequence[Bleed],
    surroundings: Surroundings,
    findings: Findings,
) -> tuple[Canvas, NDArray[np.float32]]:
    """A thin slice, and each pixel's depth below the inner table."""
    canvas = Canvas.of_air(plane.x.shape)
    nowhere = np.full(plane.x.shape, -99, np.float32)
    surroundings.paint_holder(canvas, plane)
    if not ring.skin.any():
        return canvas, nowhere
    ring, swelling = surroundings.around(ring)
    epidural = [bleed for bleed in bleeds if isinstance(bleed, Epidural)]
    over = sum((bleed.scalp_swelling(ring) for bleed in epidural), start=np.zeros(ANGLES))
    polar = Polar.of(plane, ring)
    texture = anatomy.wobble.at(plane.z + 11, plane.rows, plane.columns)
    paint_outside(canvas, plane, polar, ring, anatomy, np.maximum(swelling, over))
    surroundings.paint_muscles(canvas, plane, polar, ring, texture)
    if not ring.inner.any():
        return canvas, nowhere
    spaces = paint_brain(canvas, plane, anatomy, polar, ring, pressure_of(bleeds, ring))
    findings.paint_below(canvas, plane, spaces)
    paint_bleeds(canvas, plane, spaces, bleeds)
    findings.paint_above(canvas, plane, spaces, anatomy)
    paint_skull_base(canvas, plane, anatomy, ring, spaces.wobble)
    surroundings.paint_face(canvas, plane, texture)
    return canvas, polar.depth
