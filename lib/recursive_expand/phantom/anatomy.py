"""What one head is like: everything about its brain that is drawn once and the same on all slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.outline import Outline
from recursive_expand.phantom.streams import SmoothField, stream

SULCUS_CELLS = 40
"""Lattice cells of the sulci round the head: about twice as many sulci."""

_Points = NDArray[np.float64]

_LATERAL = np.array(
    [
        (16, -36, 46, 3.0),
        (9.5, -24, 48, 4.8),
        (6.5, -8, 54, 3.6),
        (10, 9, 58, 4.6),
        (19, 24, 56, 5.5),
        (27, 35, 50, 6.5),
        (25, 50, 46, 4.0),
        (22, 60, 45, 1.8),
    ],
    np.float64,
)
_TEMPORAL = np.array([(29, 32, 46, 5.5), (36, 16, 30, 2.8), (34, -8, 18, 2.2)], np.float64)
_THIRD = np.array([(0, -13, 38, 1.5), (0, 2, 39, 1.9), (0, 10, 40, 1.4)], np.float64)
_FOURTH = np.array([(-3.5, 32, 0, 3.0), (0, 34, 0, 4.0), (3.5, 32, 0, 3.0)], np.float64)


@dataclass(frozen=True)
class Calcification:
    """A harmless dense spot that mimics blood.

    Attributes:
        points: (P, 4) x, y, z and radius, mm.
        hu: its density.
    """

    points: _Points
    hu: float


@dataclass(frozen=True)
class Anatomy:
    """One head.

    Attributes:
        outline: skull and scalp.
        ventricles: name to (P, 4) polylines of x, y, z and radius, mm.
        calcifications: mimics of blood.
        atrophy: 0 (young) to 1 (old): the width of CSF spaces.
        dura_hu: of falx and tentorium.
        sinus_hu: of the venous sinuses.
        frontal_sinus: half-width of the frontal sinus, mm.
        sulci: lattice (z, angle, depth) whose zero level is the sulci.
        wobble: field that bends the border between grey and white matter and of bleeds.
        texture: fine field of tissue density.
        slow: broad field of tissue density.
    """

    outline: Outline
    ventricles: dict[str, _Points]
    calcifications: tuple[Calcification, ...]
    atrophy: float
    dura_hu: float
    sinus_hu: float
    frontal_sinus: float
    sulci: NDArray[np.float64]
    wobble: SmoothField
    texture: SmoothField
    slow: SmoothField

    @classmethod
    def draw(cls, seed: int, *, field: Callable[..., SmoothField] = SmoothField.draw) -> Anatomy:
        """Draw a head.

        Args:
            seed: decides everything.
            field: draws the fields: `SmoothField.draw`, or what draws others in the same way.
        """
        rng = stream(seed, "anatomy")
        atrophy = rng.uniform(0, 1)
        size = 0.75 + 0.45 * atrophy + rng.uniform(0, 0.15)
        ventricles = {
            "left": _scaled(_LATERAL, size * rng.uniform(0.9, 1.1)),
            "left temporal": _scaled(_TEMPORAL, size),
            "right": _mirrored(_scaled(_LATERAL, size * rng.uniform(0.9, 1.1))),
            "right temporal": _mirrored(_scaled(_TEMPORAL, size)),
            "third": _scaled(_THIRD, size),
            "fourth": _scaled(_FOURTH, 0.5 + 0.5 * size),
        }
        return cls(
            outline=Outline.draw(seed),
            ventricles=ventricles,
            calcifications=_calcifications(stream(seed, "calcifications")),
            atrophy=atrophy,
            dura_hu=rng.uniform(47, 58),
            sinus_hu=rng.uniform(50, 58),
            frontal_sinus=rng.uniform(9, 20),
            sulci=stream(seed, "sulci").standard_normal((20, SULCUS_CELLS, 6)),
            wobble=field(seed, "wobble", spacing=9.0),
            texture=field(seed, "texture", spacing=4.0),
            slow=field(seed, "slow", spacing=26.0),
        )


def _scaled(points: _Points, radius: float) -> _Points:
    return points * (1, 1, 1, radius)


def _mirrored(points: _Points) -> _Points:
    return points * (-1, 1, 1, 1)


def _calcifications(rng: np.random.Generator) -> tuple[Calcification, ...]:
    found = []
    if rng.random() < 0.8:  # choroid plexus of both atria
        hu, radius, y = rng.uniform(110, 300), rng.uniform(1.6, 3.0), rng.uniform(33, 40)
        for side in (-1, 1):
            ends = np.array([(side * 26, y - 3, 50, radius), (side * 27, y + 3, 49, radius * rng.uniform(0.4, 1))])
            found.append(Calcification(ends, hu * rng.uniform(0.8, 1.2)))
    if rng.random() < 0.7:  # pineal gland
        spot = np.array([(0, 20, 38, rng.uniform(1.5, 3.2)), (rng.uniform(-1, 1), 22, 40, 1.5)])
        found.append(Calcification(spot, rng.uniform(100, 300)))
    if rng.random() < 0.5:  # a plaque on the falx
        y, z = rng.choice([-1, 1]) * rng.uniform(40, 65), rng.uniform(60, 95)
        found.append(Calcification(np.array([(0, y, z, 1.4), (0, y + 7, z + 4, 1.4)]), rng.uniform(100, 300)))
    if rng.random() < 0.4:  # globus pallidus, faint: as dense as blood
        hu, radius = rng.uniform(60, 90), rng.uniform(1.5, 2.8)
        for side in (-1, 1):
            ends = np.array([(side * 19, -6, 42, radius), (side * 21, 0, 43, radius)])
            found.append(Calcification(ends, hu))
    return tuple(found)
