"""Two scanners: what kernel, noise, calibration and tilt make of a slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.streams import stream

Domain = Literal["thick", "sharp"]
DOMAINS: tuple[Domain, ...] = ("thick", "sharp")

HU_RANGE = (-1024, 3071)


@dataclass(frozen=True)
class Scanner:
    """How a scanner images.

    Attributes:
        thickness: of slices, mm; also the smallest distance between them.
        field_of_view: mm.
        tilt: of the gantry, degrees.
        blur: standard deviation of the point spread, mm.
        sharpening: share of the unsharp mask that a sharp kernel adds.
        noise: standard deviation, HU.
        grain: standard deviation of the noise's correlation, mm.
        drift: constant error, HU.
        cupping: by how many HU the middle of the head is too low (beam hardening).
    """

    thickness: float
    field_of_view: float
    tilt: float
    blur: float
    sharpening: float
    noise: float
    grain: float
    drift: float
    cupping: float

    @classmethod
    def draw(cls, seed: int, domain: Domain) -> Scanner:
        """Draw a scanner of a domain: "thick" is smooth and true, "sharp" noisy, off its calibration and tilted."""
        rng = stream(seed, f"scanner {domain}")
        if domain == "thick":
            return cls(
                thickness=5.0,
                field_of_view=240.0,
                tilt=0.0,
                blur=0.65,
                sharpening=0.0,
                noise=rng.uniform(1.6, 2.3),
                grain=0.85,
                drift=rng.uniform(-0.5, 0.5),
                cupping=0.0,
            )
        return cls(
            thickness=2.5,
            field_of_view=rng.uniform(235, 250),
            tilt=rng.uniform(-12, 12),
            blur=0.35,
            sharpening=0.5,
            noise=rng.uniform(6.0, 9.0),
            grain=0.3,
            drift=rng.uniform(6.0, 10.0),
            cupping=rng.uniform(2.0, 5.0),
        )

    def image(self, hu: NDArray[np.float32], plane: Plane, *, seed: int, index: int) -> NDArray[np.int16]:
        """What the scanner shows of a slice.

        Args:
            hu: (R, C) true densities.
            plane: the slice.
            seed: the phantom's.
            index: the slice's number: its noise is its own.

        Returns:
            (R, C) int16 HU.
        """
        out = gaussian_filter(hu, self.blur / plane.pixel)
        if self.sharpening:
            out += self.sharpening * (out - gaussian_filter(out, 0.9 / plane.pixel))
        body = np.clip((out + 500) / 400, 0, 1)
        distance = np.sqrt((plane.x / 72) ** 2 + (plane.y / 88) ** 2)
        out += body * (self.drift - self.cupping * np.clip(1 - distance**2, 0, 1))
        if self.cupping and plane.z < 10:
            # Between the petrous bones a dark band.
            band = np.exp(-(((plane.y - 2) / 6) ** 2)) * np.clip(1 - np.abs(plane.x) / 45, 0, 1)
            out -= body * 2.5 * self.cupping * band * min(1.0, (10 - plane.z) / 8)
        noise = stream(seed, "noise", index).standard_normal(hu.shape, dtype=np.float32)
        grain = self.grain / plane.pixel
        if grain > 0.2:
            noise = gaussian_filter(noise, grain)
            noise /= noise.std()
        out += noise * self.noise * (0.4 + 0.6 * body)
        return np.clip(np.rint(out), *HU_RANGE).astype(np.int16)
