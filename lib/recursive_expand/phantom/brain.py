"""The inside of the skull on one slice: CSF spaces, grey and white matter, dura."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recursive_expand.phantom.anatomy import SULCUS_CELLS, Anatomy
from recursive_expand.phantom.canvas import Canvas, Plane, Tissue
from recursive_expand.phantom.outline import ANGLES, Polar, Ring
from recursive_expand.phantom.streams import spline_weights

CSF_HU = 7.0
GREY_HU = 38.0
WHITE_HU = 28.5

_SULCUS_CELL = 13.0
"""Height of a sulcus's lattice cell, mm."""
_SULCUS_LENGTH = 20.0
"""Its depth, mm: sulci run inwards, hence longer than the cells round the head."""

_TURNS = 720

_Image = NDArray[np.float32]


@dataclass(frozen=True)
class Bulge:
    """A ball that pushes its surroundings towards the midline.

    Attributes:
        centre: x, y, z, mm.
        radius: mm.
        towards: 1: to the left, -1: to the right.
    """

    centre: tuple[float, float, float]
    radius: float
    towards: int


@dataclass(frozen=True)
class Pressure:
    """What bleeds do to the brain on one slice.

    Attributes:
        thickness: (ANGLES,) mm by which blood lifts the brain off the inner table.
        shift: mm by which the midline moves towards the left (negative: right).
        level: height in mm where the shift is largest.
        bulges: what bleeds within the brain push aside.
    """

    thickness: NDArray[np.float64]
    shift: float = 0.0
    level: float = 0.0
    bulges: tuple[Bulge, ...] = ()


@dataclass(frozen=True)
class Spaces:
    """One slice's spaces, (R, C) float32 each; distances in mm, positive inside.

    Attributes:
        polar: the slice seen from the middle of the brain.
        ring: its outline.
        inside: coverage of the intracranial space.
        cortex_depth: mm inwards from the surface of the (lifted) brain.
        sulci: distance to the middle of the nearest sulcus (always positive; 99 where there is none).
        sulcus_share: 1 at the brain's surface, falling to 0 at a sulcus's floor.
        ventricles: compartment to signed distance.
        cisterns: name to signed distance: sylvian fissures and basal cisterns.
        brain: coverage of the brain's tissue.
        wobble: the anatomy's field here.
        texture: the anatomy's field here.
    """

    polar: Polar
    ring: Ring
    inside: _Image
    cortex_depth: _Image
    sulci: _Image
    sulcus_share: _Image
    ventricles: dict[str, _Image]
    cisterns: dict[str, _Image]
    brain: _Image
    wobble: _Image
    texture: _Image

    @property
    def ventricle_distance(self) -> _Image:
        """(R, C) signed distance to the nearest ventricle, mm, positive inside."""
        return np.maximum.reduce(list(self.ventricles.values()))


def paint_brain(canvas: Canvas, plane: Plane, anatomy: Anatomy, polar: Polar, ring: Ring, pressure: Pressure) -> Spaces:
    """Paint everything inside the skull except blood and calcifications.

    Args:
        canvas: painted so far: air, table, scalp, skull.
        plane: the slice.
        anatomy: the head.
        polar: the slice seen from the middle of the brain.
        ring: the head's outline on this slice.
        pressure: what bleeds do to the brain here.

    Returns:
        The spaces, in which blood collects.
    """
    wobble = anatomy.wobble.at(plane.z, plane.rows, plane.columns)
    texture = anatomy.texture.at(plane.z, plane.rows, plane.columns)
    slow = anatomy.slow.at(plane.z, plane.rows, plane.columns)
    dx = _displacement(plane, pressure)
    inside = plane.coverage(polar.depth)
    plane = _bent(plane, anatomy)
    lifted = polar.lookup(pressure.thickness)
    depth = polar.depth - lifted
    ventricles = {
        name: plane.chain(points, flatten=_FLATTEN.get(name, 0.6), dx=dx) for name, points in anatomy.ventricles.items()
    }
    cisterns = _cisterns(plane, anatomy, ring, dx)
    sulci, share = _sulci(plane, anatomy, polar, ring, depth)

    canvas.paint(inside, CSF_HU, Tissue.CSF)
    brain = _brain_coverage(plane, anatomy, depth, sulci, share, lifted) * inside
    midline = (np.abs(plane.x - 0.35 * dx) + np.where(_has_falx(plane), 0, 99)).astype(np.float32)
    brain *= 1 - plane.coverage((0.9 + 1.2 * anatomy.atrophy) * np.clip(1.3 - depth / 45, 0, 1) - midline)
    grey = _grey(plane, depth + 0.9 * wobble, sulci + 0.6 * wobble, share, midline, dx)
    hu = WHITE_HU + (GREY_HU - WHITE_HU) * grey + 0.9 * texture + 0.8 * slow
    canvas.paint(brain, hu, Tissue.WHITE)
    canvas.tissue[(canvas.tissue == Tissue.WHITE) & (grey >= 0.5)] = Tissue.GREY
    for signed in (*ventricles.values(), *cisterns.values()):
        # Thick slices cut these walls at a slant: their borders are soft.
        canvas.paint(np.clip(signed / (plane.pixel + 1.0) + 0.5, 0, 1) * inside, CSF_HU, Tissue.CSF)
    _paint_dura(canvas, plane, anatomy, inside, polar, ring, midline)
    return Spaces(polar, ring, inside, depth, sulci, share, ventricles, cisterns, brain, wobble, texture)


_FLATTEN = {"third": 0.2, "fourth": 0.4}


def _bent(plane: Plane, anatomy: Anatomy) -> Plane:
    """The plane with its coordinates bent a little, so that no structure looks drawn with a ruler."""
    along = anatomy.slow.at(plane.z + 37, plane.rows, plane.columns)
    fine = anatomy.wobble.at(plane.z + 53, plane.rows, plane.columns)
    across = anatomy.wobble.at(plane.z - 41, plane.rows, plane.columns)
    return replace(plane, x=plane.x + 0.9 * across + 0.5 * along, y=plane.y + 1.2 * along + 0.9 * fine)


def _displacement(plane: Plane, pressure: Pressure) -> _Image:
    reach = np.exp(-(((plane.height - pressure.level) / 38) ** 2))
    moved = pressure.shift * reach * np.exp(-((plane.y / 45) ** 2))
    for bulge in pressure.bulges:
        x, y, z = bulge.centre
        square = (plane.x - x) ** 2 + (plane.y - y) ** 2 + 1.5 * (plane.height - z) ** 2
        moved = moved + bulge.towards * bulge.radius * np.exp(-square / (1.7 * bulge.radius) ** 2)
    return moved.astype(np.float32)


def _has_falx(plane: Plane) -> NDArray[np.bool_]:
    z = plane.height
    below = (plane.y < -40) | (plane.y > np.where(np.greater(z, 28), 46, 999))
    return np.where(np.greater(z, 64), True, below & np.greater_equal(z, 16))


def _brain_coverage(
    plane: Plane, anatomy: Anatomy, depth: _Image, sulci: _Image, share: _Image, lifted: _Image
) -> _Image:
    # Pressure empties the sulci next to a bleed.
    room = np.clip(1 - lifted / 2.5, 0, 1)
    rim = (0.8 + 1.6 * anatomy.atrophy) * room
    width = (0.6 + 0.75 * anatomy.atrophy) * (0.35 + 0.65 * share) * np.maximum(room, 0.15)
    thin = np.minimum(1, 2 * width / plane.pixel)
    inside_sulcus = np.clip((width - sulci) / plane.pixel + 0.5, 0, 1) * thin * (share > 0)
    return plane.coverage(depth - rim) * (1 - 0.9 * inside_sulcus)


def _sulci(plane: Plane, anatomy: Anatomy, polar: Polar, ring: Ring, depth: _Image) -> tuple[_Image, _Image]:
    if plane.heights[1] < 12 or ring.inner.max() == 0:
        return np.full(depth.shape, 99, np.float32), np.zeros(depth.shape, np.float32)
    mean_radius = float(ring.inner.mean())
    along_z = spline_weights(np.array([plane.z / _SULCUS_CELL + 2]), anatomy.sulci.shape[0])[0]
    plane_lattice = np.tensordot(along_z, anatomy.sulci, axes=1)
    around, inwards = _sulcus_weights(plane_lattice.shape[1])
    table = around @ plane_lattice @ inwards.T
    step = 2 * np.pi * mean_radius / _TURNS
    steep = np.hypot(np.gradient(table, axis=0) / step, np.gradient(table, axis=1) / 0.5)
    distance = np.abs(table) / np.maximum(steep, 0.06)
    where = np.stack([polar.angle * np.float32(_TURNS / ANGLES), np.clip(depth, 0, 58) * 2])
    floor = 13 + 9 * np.clip((plane.height - 60) / 40, 0, 1)
    share = np.clip(1 - depth / floor, 0, 1) * (depth > -1) * np.greater_equal(plane.height, 12)
    return map_coordinates(distance.astype(np.float32), where, order=1, mode="grid-wrap"), share.astype(np.float32)


@cache
def _sulcus_weights(depths: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the sulci's lattice, round the head (_TURNS, cells) and inwards (depths of 0.5 mm, `depths`)."""
    around = spline_weights(np.arange(_TURNS) / _TURNS * SULCUS_CELLS, SULCUS_CELLS, periodic=True)
    return around, spline_weights(np.arange(0, 60, 0.5) / _SULCUS_LENGTH + 1, depths)


def _grey(plane: Plane, depth: _Image, sulci: _Image, share: _Image, midline: _Image, dx: _Image) -> _Image:
    ribbon = np.maximum(4.2 - depth, 3.3 - sulci - 40 * (share <= 0.05))
    ribbon = np.maximum(ribbon, 2.6 - midline + 0.9 * (sulci > 3))
    nuclei = plane.between(26, 56)
    if nuclei.any():
        for side in (-1, 1):
            for centre, radii in _NUCLEI:
                x, y, z = centre
                nucleus = plane.ellipsoid((side * x, y, z), radii, dx=dx)
                ribbon = np.where(nuclei, np.maximum(ribbon, nucleus), ribbon)
    grey = np.clip(ribbon / max(1.2, plane.pixel) + 0.5, 0, 1)
    if plane.heights[0] < 14:
        # Cerebellum and brainstem: little contrast.
        grey = np.where(np.less(plane.height, 14), np.clip(0.45 + ribbon / 8, 0.2, 0.75), grey)
    return grey.astype(np.float32)


_NUCLEI = (
    ((14.5, -20, 46), (4.5, 10, 12)),  # head of the caudate nucleus
    ((22.5, -4, 42), (6.0, 14, 12)),  # lentiform nucleus
    ((9.5, 8, 42), (7.0, 12, 12)),  # thalamus
    ((34.0, -4, 40), (2.2, 18, 16)),  # insular cortex
)


def _cisterns(plane: Plane, anatomy: Anatomy, ring: Ring, dx: _Image) -> dict[str, _Image]:
    wide = 0.7 + 0.6 * anatomy.atrophy
    found: dict[str, _Image] = {}
    for name, side in (("left sylvian", 1), ("right sylvian", -1)):
        lateral = float(ring.inner[ANGLES // 2])
        opening = [(lateral - 1, -22, 31, 2.2), (lateral - 9, -19, 32, 1.4), (43, -16, 34, 1.2), (38.5, -9, 36, 1.7)]
        insular = [(33, -24, 36, 0.9), (38, -12, 37, 1.7), (39.5, 0, 38, 1.4), (36, 14, 42, 0.9)]
        behind = [(39.5, 2, 40, 1.1), (48, 10, 44, 1.0), (lateral - 3, 17, 47, 1.5)]
        for part, points in (("opening", opening), ("insula", insular), ("behind", behind)):
            chain = np.array(points, np.float64) * (side, 1, 1, wide)
            found[f"{name} {part}"] = plane.chain(chain, flatten=0.13, dx=dx)
    basal = plane.between(6, 28)
    if basal.any():
        height = np.maximum(0, 1 - ((plane.height - 18) / 9) ** 2)
        angle = np.arctan2(plane.x, plane.y + 17)
        star = (9.0 + 1.9 * np.cos(5 * angle)) * height * wide**0.5
        found["suprasellar"] = (star - np.hypot(plane.x, plane.y + 17)).astype(np.float32) - 99 * (height <= 0)
        ring_distance = np.abs(np.hypot(plane.x * 0.95, plane.y - 6) - 17.5)
        ambient = 1.5 * wide - ring_distance - np.where((plane.y > 0) & (plane.y < 20) & basal, 0, 99)
        found["ambient"] = ambient.astype(np.float32)
        smile = np.array([(-10, 21, 20, 1.9), (0, 26, 20, 2.4), (10, 21, 20, 1.9)]) * (1, 1, 1, wide)
        found["quadrigeminal"] = plane.chain(smile, flatten=0.2)
    if plane.heights[0] <= 8:
        prepontine = np.array([(-9, -6, 2, 1.6), (0, -8, 2, 2.2), (9, -6, 2, 1.6)]) * (1, 1, 1, wide)
        found["prepontine"] = plane.chain(prepontine, flatten=0.2)
    return found


def _paint_dura(
    canvas: Canvas, plane: Plane, anatomy: Anatomy, inside: _Image, polar: Polar, ring: Ring, midline: _Image
) -> None:
    half = 0.6
    thin = min(0.85, 2 * half / plane.pixel + 0.15)
    canvas.paint(plane.coverage(half - midline) * thin * inside, anatomy.dura_hu, Tissue.DURA)
    tentorial = plane.between(10, 30)
    if tentorial.any():
        # The tentorium: a V that opens forwards and closes upwards.
        apex = 44 - 0.9 * (30 - plane.height)
        spread = np.abs(plane.x) - (6 + 0.9 * (plane.y - apex))
        on = (plane.y > apex) & (np.abs(plane.x) > 5) & tentorial
        signed = np.where(on, 0.7 - np.abs(spread) * 0.74, -99).astype(np.float32)
        canvas.paint(plane.coverage(signed) * thin * 0.7 * inside, anatomy.dura_hu, Tissue.DURA)
    back, front = float(ring.inner[(ANGLES * 3) // 4]), float(ring.inner[ANGLES // 4])
    if plane.height_at(0.0, back) > 20 and back > 20:
        # The superior sagittal sinus: a triangle on the inner table behind, and above also in front.
        for y, direction in ((back, 1), (-front, -1)):
            if direction < 0 and plane.height_at(0.0, y) < 70:
                continue
            inwards = direction * (y - plane.y)
            signed = np.minimum(3.2 - np.abs(plane.x) - 0.55 * inwards, 6 - inwards).astype(np.float32)
            canvas.paint(plane.coverage(signed) * inside, anatomy.sinus_hu, Tissue.DURA)
    occipital = plane.between(12, 26)
    if occipital.any():
        # The transverse sinuses run along the inner table behind.
        behind = np.where((plane.y > 45) & occipital, 9.0, -99.0)
        band = np.minimum(3.0 - np.abs(polar.depth - 2.0), behind).astype(np.float32)
        canvas.paint(plane.coverage(band) * inside, anatomy.sinus_hu, Tissue.DURA)
