"""Bone, scalp, orbits, air sinuses and the table on one slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.anatomy import Anatomy
from recursive_expand.phantom.canvas import Canvas, Plane, Tissue
from recursive_expand.phantom.outline import Polar, Ring

TABLE_BONE_HU = 1250.0
DIPLOE_HU = 750.0
FAT_HU = -85.0
MUSCLE_HU = 52.0
SKIN_HU = 50.0

_Image = NDArray[np.float32]


def paint_table(canvas: Canvas, plane: Plane) -> None:
    """Paint the head holder: a thin shell below the head, fixed to the image."""
    x, y = plane.columns[None, :], plane.rows[:, None]
    distance = np.hypot(x, y + 40) - 156
    shell = np.where(y > 40, 0.9 - np.abs(distance), -99).astype(np.float32)
    canvas.paint(plane.coverage(shell) * min(1.0, 1.8 / plane.pixel), 420, Tissue.TABLE)
    foam = np.where(y > 30, np.minimum(distance, 0) + 7, -99)
    canvas.paint(plane.coverage(np.minimum(foam, -distance).astype(np.float32)) * 0.06, -500, Tissue.AIR)


def paint_outside(
    canvas: Canvas, plane: Plane, polar: Polar, ring: Ring, anatomy: Anatomy, swelling: NDArray[np.float64]
) -> None:
    """Paint scalp and skull as shells; the brain is painted into them afterwards.

    Args:
        canvas: painted so far: air and table.
        plane: the slice.
        polar: the slice seen from the middle of the brain.
        ring: the outline on this slice.
        anatomy: the head.
        swelling: (ANGLES,) thickness of a scalp haematoma, mm.
    """
    haematoma = polar.lookup(swelling)
    skin = polar.lookup(ring.skin) + haematoma - polar.radius
    outside_bone = polar.radius - polar.lookup(ring.outer)
    if plane.heights[0] < 24:
        skin = np.maximum(skin, _face(plane, ring))
    canvas.paint(plane.coverage(skin), SKIN_HU, Tissue.SCALP)
    canvas.paint(plane.coverage(skin - 2.2), FAT_HU, Tissue.SCALP)
    if plane.heights[0] < 62:
        lateral = 4.5 * np.clip(1 - ((plane.y + 18) / 40) ** 2, 0, 1) * np.clip((62 - plane.height) / 25, 0, 1)
        canvas.paint(
            plane.coverage((lateral - outside_bone + 0.6).astype(np.float32)) * plane.coverage(skin - 2.2),
            MUSCLE_HU,
            Tissue.SCALP,
        )
    if swelling.any():
        blood = np.minimum(haematoma - 0.6 - outside_bone, skin - 2.2)
        canvas.paint(plane.coverage(blood), 62, Tissue.EXTRACRANIAL)
    shell = -outside_bone
    canvas.paint(plane.coverage(shell), TABLE_BONE_HU, Tissue.BONE)
    texture = anatomy.texture.at(plane.z, plane.rows, plane.columns)
    diploe = np.minimum(shell, -polar.depth) - 1.7
    canvas.paint(plane.coverage(diploe), DIPLOE_HU + 60 * texture, Tissue.BONE)


def _face(plane: Plane, ring: Ring) -> _Image:
    """Signed distance to the face's skin: brow, lids and nose stand out of the oval."""
    front = float(ring.inner[len(ring.inner) // 4])
    brow = plane.ellipsoid((0, -(front - 26), -8), (57, 47, 34))
    nose = plane.ellipsoid((0, -(front + 14), -16), (13, 22, 22))
    return np.maximum(brow, nose)


def paint_skull_base(canvas: Canvas, plane: Plane, anatomy: Anatomy, ring: Ring, wobble: _Image) -> None:
    """Paint what stands inside the oval on low slices: orbits, sinuses, sphenoid and petrous bone.

    Args:
        canvas: painted so far, blood included: bone displaces it.
        plane: the slice.
        anatomy: the head.
        ring: the outline on this slice.
        wobble: (R, C) the anatomy's field, which makes air cells.
    """
    if plane.heights[0] > 48:
        return
    front = float(ring.inner[len(ring.inner) // 4])
    _paint_frontal_sinus(canvas, plane, anatomy, front)
    if plane.heights[0] > 18:
        return
    bone = np.full(plane.x.shape, -99, np.float32)
    for side in (-1, 1):
        mirror = (float(side), 1, 1, 1)
        petrous = np.array([(64.0, 20, -3, 10), (44, 8, -1, 8), (17, -8, 1, 4)]) * mirror
        wing = np.array([(60, -36, 6, 4), (36, -33, 7, 3), (13, -24, 9, 2.5)]) * mirror
        bone = np.maximum.reduce([bone, plane.chain(petrous, flatten=1.1), plane.chain(wing, flatten=0.8)])
    bone = np.maximum(bone, plane.ellipsoid((0, -30, -2), (15, 16, 12)))
    bone = np.maximum(bone, plane.ellipsoid((0, -(front + 42) / 2 - 4, -6), (13, (front - 30) / 2, 17)))
    # Dorsum sellae.
    bone = np.maximum(bone, plane.chain(np.array([(-5.0, -12, 7, 2), (5, -12, 7, 2)])))
    orbits = np.full(plane.x.shape, -99, np.float32)
    for side in (-1, 1):
        orbits = np.maximum(orbits, plane.ellipsoid((side * 32, -(front - 14), -6), (18, 27, 19)))
    # The orbits are open in front.
    bone = np.maximum(bone, np.minimum(orbits + 2.5, plane.y + front + 3))
    canvas.paint(plane.coverage(bone), TABLE_BONE_HU - 150 + 120 * wobble, Tissue.BONE)
    # Air: ethmoid and sphenoid sinuses with septa, mastoid cells.
    ethmoid = plane.ellipsoid((0, -(front + 42) / 2 - 4, -6), (11, (front - 34) / 2, 14))
    sphenoid = plane.ellipsoid((0, -31, -3), (12, 12, 8))
    septa = np.minimum(np.abs(plane.x), np.abs((plane.y + 4 * wobble) % 14 - 7)) - 0.7
    air = np.minimum(np.maximum(ethmoid, sphenoid), septa)
    canvas.paint(plane.coverage(air), -980, Tissue.AIR)
    for side in (-1, 1):
        mastoid = plane.ellipsoid((side * 60, 24, -5), (8, 9, 10))
        cells = np.minimum(mastoid, 1.6 * np.sin(plane.x * 1.1 + wobble) * np.sin(plane.y * 1.1 - wobble) + 0.2)
        canvas.paint(plane.coverage(cells.astype(np.float32)), -800, Tissue.AIR)
    _paint_orbits(canvas, plane, front, orbits)


def _paint_frontal_sinus(canvas: Canvas, plane: Plane, anatomy: Anatomy, front: float) -> None:
    middle, height = (0.0, -(front + 2.0), 22.0), 20.0
    width = anatomy.frontal_sinus
    canvas.paint(plane.coverage(plane.ellipsoid(middle, (width + 4, 8.5, height + 5))), TABLE_BONE_HU, Tissue.BONE)
    air = plane.ellipsoid(middle, (width, 5.0, height))
    air = np.minimum(air, np.abs(plane.x - 1.5) - 0.7)
    canvas.paint(plane.coverage(air.astype(np.float32)), -980, Tissue.AIR)


def _paint_orbits(canvas: Canvas, plane: Plane, front: float, orbits: _Image) -> None:
    if orbits.max() < 0:
        return
    canvas.paint(plane.coverage(orbits), FAT_HU, Tissue.EXTRACRANIAL)
    for side in (-1, 1):
        nerve = np.array([(side * 32, -(front - 5), -5, 1.8), (side * 15, -(front - 38), -4, 1.8)])
        rectus = np.array([(side * 45, -(front - 2), -5, 2.0), (side * 20, -(front - 36), -4, 1.2)])
        within = plane.coverage(orbits)
        for muscle in (nerve, rectus):
            canvas.paint(plane.coverage(plane.chain(muscle)) * within, 42, Tissue.EXTRACRANIAL)
        globe = plane.ellipsoid((side * 32, -(front + 3), -5), (12, 12, 12))
        canvas.paint(plane.coverage(globe), 45, Tissue.EXTRACRANIAL)
        canvas.paint(plane.coverage(globe - 1.3), 8, Tissue.EXTRACRANIAL)
        lens = plane.ellipsoid((side * 32, -(front + 11.5), -5), (4.5, 2.0, 4.5))
        canvas.paint(plane.coverage(lens), 75, Tissue.EXTRACRANIAL)
