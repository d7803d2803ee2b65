"""An upper abdomen: slices of a synthetic trunk in the portal phase as a scanner shows them, with the exact spleen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recursive_expand.errors import InputError
from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.scanner import DOMAINS, HU_RANGE, Domain
from recursive_expand.phantom.streams import SmoothField, stream

SPLEEN = "spleen"
FIELD_OF_VIEW = 380.0
"""mm."""
LENGTH = 130.0
"""From the lowest to the highest slice, mm; the spleen ends within."""
_AIR, _FAT, _MUSCLE, _BONE, _WATER = -1000.0, -100.0, 55.0, 320.0, 15.0


@dataclass(frozen=True)
class Abdomen:
    """Slices of one abdomen.

    Attributes:
        hu: (S, R, C) int16, Hounsfield units; rows towards posterior, columns towards the patient's left.
        mask: (S, R, C) uint8, 1 in the spleen.
        affine: (4, 4) float64, native indices (column, row, slice) to RAS millimetres.
        spacing: mm between slices, between rows, between columns.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.uint8]
    affine: NDArray[np.float64]
    spacing: tuple[float, float, float]

    @property
    def classes(self) -> tuple[frozenset[str], ...]:
        """Per slice, the classes in the mask."""
        return tuple(frozenset({SPLEEN}) if plane.any() else frozenset() for plane in self.mask)


def make_abdomen(seed: int, *, size: int = 96, slices: int = 8, domain: Domain = "thick") -> Abdomen:
    """Make an abdomen.

    Liver, stomach with gas, left kidney and aorta lie round the spleen and are about as dense: what tells it is where
    it lies and what it looks like together with them.

    Args:
        seed: 0 or more. The same seed and settings give the same arrays.
        size: rows and columns, at least 32; the field of view stays that of a trunk.
        slices: at least 1, evenly spaced over `LENGTH`.
        domain: the scanner: "thick" (smooth, little noise) or "sharp" (noisy, drifting HU).

    Returns:
        The abdomen.

    Raises:
        InputError: for a value outside these.
    """
    for name, value, least in (("seed", seed, 0), ("size", size, 32), ("slices", slices, 1)):
        if value < least:
            raise InputError("abdomen", f"{name} = {value} must be at least {least}")
    if domain not in DOMAINS:
        raise InputError("abdomen", f"domain = {domain!r} must be one of {', '.join(DOMAINS)}")
    pixel, step = FIELD_OF_VIEW / size, LENGTH / slices
    organs = _Organs.draw(seed)
    texture = SmoothField.draw(seed, "abdomen texture", spacing=14.0)
    axis = ((np.arange(size) - (size - 1) / 2) * pixel).astype(np.float32)
    x, y = axis[None, :] + np.zeros((size, 1), np.float32), axis[:, None] + np.zeros((1, size), np.float32)
    hu = np.empty((slices, size, size), np.int16)
    mask = np.zeros(hu.shape, np.uint8)
    for k in range(slices):
        plane = Plane(x, y, (k + 0.5) * step - LENGTH / 2, pixel, axis, axis)
        density, spleen = organs.paint(plane, texture)
        mask[k] = spleen >= 0.5
        hu[k] = _scanned(density, pixel, seed, k, domain)
    affine = np.diag([-pixel, -pixel, step, 1.0])
    affine[:3, 3] = -axis[0], -axis[0], step / 2 - LENGTH / 2
    return Abdomen(hu, mask, affine, (step, pixel, pixel))


@dataclass(frozen=True)
class _Ellipsoid:
    """An organ: x towards the left, y towards posterior, z towards superior, in mm."""

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    hu: float

    def coverage(self, plane: Plane) -> NDArray[np.float32]:
        return plane.coverage(plane.ellipsoid(self.centre, self.radii))


@dataclass(frozen=True)
class _Organs:
    """What is drawn once for an abdomen; painted in this order."""

    body: tuple[float, float]
    rim: float
    liver: _Ellipsoid
    spleen: _Ellipsoid
    stomach: _Ellipsoid
    gas_level: float
    kidney: _Ellipsoid
    aorta: float

    @classmethod
    def draw(cls, seed: int) -> _Organs:
        rng = stream(seed, "abdomen")

        def near(*values: float, share: float = 0.1) -> tuple[float, float, float]:
            a, b, c = (value * rng.uniform(1 - share, 1 + share) for value in values)
            return a, b, c

        return cls(
            body=(rng.uniform(145, 170), rng.uniform(100, 115)),
            rim=rng.uniform(12, 22),
            liver=_Ellipsoid(near(-55, -12, 12), near(72, 66, 62), rng.uniform(98, 110)),
            spleen=_Ellipsoid(near(88, 32, 14), near(27, 44, 42), rng.uniform(116, 130)),
            stomach=_Ellipsoid(near(48, -44, 22), near(44, 32, 42), _WATER + rng.uniform(0, 20)),
            gas_level=rng.uniform(-62, -46),
            kidney=_Ellipsoid(near(58, 46, -48), near(24, 27, 44), rng.uniform(150, 175)),
            aorta=rng.uniform(140, 160),
        )

    def paint(self, plane: Plane, texture: SmoothField) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """True densities of a slice, (R, C) HU, and the share of each pixel that is spleen."""
        width, depth = self.body
        hu = np.full(plane.x.shape, _AIR, np.float32)

        def fill(coverage: NDArray[np.float32], value: float) -> None:
            hu[...] += coverage * (value - hu)

        def oval(a: float, b: float, x: float = 0.0, y: float = 0.0) -> NDArray[np.float32]:
            return plane.coverage(plane.ellipsoid((x, y, plane.z), (a, b, 1.0)))

        table = plane.coverage(3 - np.abs(plane.y - depth - 12)) * (np.abs(plane.x) < 180)
        fill(table.astype(np.float32), -150)
        fill(oval(width, depth), _FAT)
        fill(oval(width - self.rim, depth - self.rim), _MUSCLE)
        fill(oval(width - self.rim - 9, depth - self.rim - 9), _FAT)
        for organ in (self.kidney, self.liver, self.stomach):
            fill(organ.coverage(plane), organ.hu)
        gas = np.minimum(self.stomach.coverage(plane), plane.coverage(self.gas_level - plane.y))
        fill(gas.astype(np.float32), _AIR + 30)
        fill(oval(11, 11, 12, depth - self.rim - 48), self.aorta)
        fill(oval(23, 19, 0, depth - self.rim - 24), _BONE)
        fill(oval(8, 8, 0, depth - self.rim - 12), _WATER + 15)
        spleen = self.spleen.coverage(plane)
        fill(spleen, self.spleen.hu)
        tissue = np.clip((hu + 200) / 200, 0, 1)
        return hu + 4 * tissue * texture.at(plane.z, plane.rows, plane.columns), spleen


def _scanned(hu: NDArray[np.float32], pixel: float, seed: int, index: int, domain: Domain) -> NDArray[np.int16]:
    """What the scanner shows of a slice's true densities."""
    rng = stream(seed, f"abdomen scanner {domain}")
    sharp = domain == "sharp"
    blur, noise = (0.6, rng.uniform(14, 18)) if sharp else (1.4, rng.uniform(5, 7))
    drift = rng.uniform(8, 14) if sharp else rng.uniform(-1, 1)
    out = gaussian_filter(hu, blur / pixel)
    out += drift * np.clip((out + 500) / 400, 0, 1)
    out += noise * stream(seed, "abdomen noise", index).standard_normal(hu.shape, dtype=np.float32)
    return np.clip(np.rint(out), *HU_RANGE).astype(np.int16)
