"""A head CT: slices of one synthetic head as a scanner shows them, with exact masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recursive_expand.errors import InputError
from recursive_expand.phantom.anatomy import Anatomy
from recursive_expand.phantom.bleeds import (
    CLASSES,
    KINDS,
    Bleed,
    Epidural,
    draw_bleed,
    paint_bleeds,
    pressure_of,
)
from recursive_expand.phantom.brain import paint_brain
from recursive_expand.phantom.canvas import Canvas, Plane, Tissue
from recursive_expand.phantom.outline import ANGLES, Polar
from recursive_expand.phantom.scanner import DOMAINS, Domain, Scanner
from recursive_expand.phantom.skull import paint_outside, paint_skull_base, paint_table
from recursive_expand.phantom.streams import stream

_LOWEST, _HIGHEST = -10.0, 112.0
_WIDEST_STEP = 10.0
_SMALLEST_AREA = 12.0
"""mm² below which a bleed is left off a slice: nobody would label it."""
_ATTEMPTS = 12


@dataclass(frozen=True)
class Phantom:
    """A synthetic head CT.

    Attributes:
        hu: (S, R, C) int16, Hounsfield units; rows towards posterior, columns towards the patient's left.
        mask: (S, R, C) uint8, 0 or a bleed type's place in CLASSES + 1.
        tissue: (S, R, C) uint8, `Tissue` values: what fills each voxel, before kernel and noise.
        affine: (4, 4) float64, native indices (column, row, slice) to RAS millimetres; sheared by gantry tilt.
        spacing: mm between slices along the table, between rows, between columns.
        thickness: of slices, mm.
        tilt: of the gantry, degrees.
        classes: per slice, the bleed types in the mask.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.uint8]
    tissue: NDArray[np.uint8]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]
    thickness: float
    tilt: float
    classes: tuple[frozenset[str], ...]


def make_head(
    seed: int,
    *,
    size: int = 128,
    slices: int = 8,
    bleeds: Sequence[str] | None = None,
    domain: Domain = "thick",
) -> Phantom:
    """Make a head CT.

    Few slices lie up to 10 mm apart and cover a part of the head that holds the bleeds; about 13 cover all of it.

    Args:
        seed: 0 or more. The same seed and settings give the same arrays, whatever was made before.
        size: rows and columns, at least 32; the field of view stays that of a head (235 to 250 mm).
        slices: at least 1.
        bleeds: names from CLASSES, each at most once; None: drawn by the seed, none in a quarter of heads. Each is on
            at least one slice.
        domain: the scanner: "thick" (smooth, 5 mm, little noise) or "sharp" (noisy, thin, drifting HU, tilted gantry).

    Raises:
        InputError: for a value outside these.
    """
    kinds = _checked(seed, size, slices, bleeds, domain)
    anatomy = Anatomy.draw(seed)
    scanner = Scanner.draw(seed, domain)
    tilt = np.radians(scanner.tilt)
    widest = _WIDEST_STEP if slices > 1 else scanner.thickness
    step = float(np.clip((_HIGHEST - _LOWEST) / max(slices - 1, 1), scanner.thickness, widest))
    heights = _heights(seed, kinds, slices, step * np.cos(tilt))
    planes = _planes(seed, size, heights, scanner)
    attempts = dict.fromkeys(kinds, 0)
    for _ in range(_ATTEMPTS):
        span = (heights[0], heights[-1])
        drawn = [draw_bleed(seed, kind, span=span, attempt=attempts[kind]) for kind in kinds]
        canvases = [_paint(plane, anatomy, drawn) for plane in planes]
        classes = tuple(_present(canvas.mask) for canvas in canvases)
        missing = set(kinds) - frozenset[str]().union(*classes)
        if not missing:
            break
        for kind in missing:
            attempts[kind] += 1
    else:
        raise InputError(
            f"phantom {seed}", f"no room for {', '.join(sorted(missing))}; take another seed or more slices"
        )
    pixel = planes[0].pixel
    hu = np.stack(
        [
            scanner.image(canvas.hu, plane, seed=seed, index=index)
            for index, (canvas, plane) in enumerate(zip(canvases, planes, strict=True))
        ]
    )
    return Phantom(
        hu=hu,
        mask=np.stack([canvas.mask for canvas in canvases]),
        tissue=np.stack([canvas.tissue for canvas in canvases]),
        affine=voxel_to_world(size, pixel, step, tilt),
        spacing=(step, pixel, pixel),
        thickness=scanner.thickness,
        tilt=scanner.tilt,
        classes=classes,
    )


def make_slice(seed: int, *, size: int = 128, bleeds: Sequence[str] | None = None, domain: Domain = "thick") -> Phantom:
    """Make a single slice, through the bleeds. Arguments and result as `make_head`'s, with S = 1."""
    return make_head(seed, size=size, slices=1, bleeds=bleeds, domain=domain)


def _checked(seed: int, size: int, slices: int, bleeds: Sequence[str] | None, domain: Domain) -> tuple[str, ...]:
    if seed < 0:
        raise InputError(f"seed {seed}", "must be 0 or more")
    if size < 32:
        raise InputError(f"size {size}", "a head needs at least 32 rows and columns")
    if slices < 1:
        raise InputError(f"slices {slices}", "must be at least 1")
    if domain not in DOMAINS:
        raise InputError(f"domain {domain!r}", f"must be one of {', '.join(DOMAINS)}")
    if bleeds is None:
        rng = stream(seed, "which bleeds")
        count = rng.choice(4, p=(0.25, 0.45, 0.25, 0.05))
        return tuple(sorted(str(kind) for kind in rng.choice(CLASSES, count, replace=False)))
    for kind in bleeds:
        if kind not in CLASSES:
            raise InputError(f"bleed {kind!r}", f"must be one of {', '.join(CLASSES)}")
    return tuple(sorted(set(bleeds)))


def _heights(seed: int, kinds: Sequence[str], slices: int, step: float) -> NDArray[np.float64]:
    """Heights of the slices in mm, so that every kind of bleed finds its level among them."""
    rng = stream(seed, "heights")
    low = max((KINDS[kind].levels[0] for kind in kinds), default=-2.0)
    high = min((KINDS[kind].levels[1] for kind in kinds), default=105.0)
    extent = (slices - 1) * step
    first = rng.uniform(low, high) - rng.uniform() * extent
    first = float(np.clip(first, _LOWEST, max(_LOWEST, _HIGHEST - extent)))
    return first + step * np.arange(slices)


def _planes(seed: int, size: int, heights: NDArray[np.float64], scanner: Scanner) -> list[Plane]:
    """The slices' pixels in the head's frame: the head lies a little turned and off the middle."""
    rng = stream(seed, "pose")
    turn = np.radians(rng.uniform(-9, 9))
    off_x, off_y = rng.uniform(-6, 6), rng.uniform(-5, 3)
    pixel = scanner.field_of_view / size
    axis = ((np.arange(size) - (size - 1) / 2) * pixel).astype(np.float32)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    planes = []
    for z in heights:
        # The head moves along the table, which a tilted gantry sees at a slant: it drifts through the image.
        drift = (z - heights.mean()) * np.tan(np.radians(scanner.tilt))
        columns, rows = (axis - off_x).astype(np.float32), (axis - off_y - drift).astype(np.float32)
        x = cosine * columns[None, :] + sine * rows[:, None]
        y = -sine * columns[None, :] + cosine * rows[:, None]
        planes.append(Plane(x, y, float(z), pixel, rows, columns))
    return planes


def voxel_to_world(size: int, pixel: float, step: float, tilt: float) -> NDArray[np.float64]:
    """Native (column, row, slice) to RAS millimetres.

    Args:
        size: rows and columns.
        pixel: mm.
        step: between slices along the table, mm.
        tilt: of the gantry, radians; a positive one turns the rows' axis towards inferior.

    Returns:
        (4, 4) float64; the middle of the first slice is the origin.
    """
    middle = (size - 1) / 2 * pixel
    affine = np.eye(4)
    affine[:3, 0] = (-pixel, 0, 0)
    affine[:3, 1] = (0, -pixel * np.cos(tilt), -pixel * np.sin(tilt))
    affine[:3, 2] = (0, 0, step)
    affine[:3, 3] = (middle, middle * np.cos(tilt), middle * np.sin(tilt))
    return affine


def _paint(plane: Plane, anatomy: Anatomy, bleeds: Sequence[Bleed]) -> Canvas:
    """Paint a slice; bleeds too small to be labelled are left off it."""
    canvas = _painted(plane, anatomy, bleeds)
    smallest = max(3, round(_SMALLEST_AREA / plane.pixel**2))
    counts = np.bincount(canvas.mask.ravel(), minlength=len(CLASSES) + 1)
    kept = [bleed for bleed in bleeds if not 0 < counts[bleed.value] < smallest]
    return canvas if len(kept) == len(bleeds) else _paint(plane, anatomy, kept)


def _painted(plane: Plane, anatomy: Anatomy, bleeds: Sequence[Bleed]) -> Canvas:
    canvas = Canvas.of_air(plane.x.shape)
    paint_table(canvas, plane)
    ring = anatomy.outline.on(plane)
    if not ring.skin.any():
        return canvas
    polar = Polar.of(plane, ring)
    epidural = [bleed for bleed in bleeds if isinstance(bleed, Epidural)]
    swelling = sum((bleed.scalp_swelling(ring) for bleed in epidural), start=np.zeros(ANGLES))
    paint_outside(canvas, plane, polar, ring, anatomy, swelling)
    if not ring.inner.any():
        return canvas
    spaces = paint_brain(canvas, plane, anatomy, polar, ring, pressure_of(bleeds, ring))
    paint_bleeds(canvas, plane, spaces, bleeds)
    for spot in anatomy.calcifications:
        signed = plane.chain(spot.points, flatten=0.6)
        canvas.paint(plane.coverage(signed) * spaces.inside, spot.hu, Tissue.CALCIFICATION)
    paint_skull_base(canvas, plane, anatomy, ring, spaces.wobble)
    return canvas


def _present(mask: NDArray[np.uint8]) -> frozenset[str]:
    return frozenset(CLASSES[value - 1] for value in np.unique(mask) if value)
