"""Bleeds over the whole range of what is seen: thin and thick, fresh and mixed, layered, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from recursive_expand.phantom.bleeds import (
    Bleed,
    Epidural,
    Intraparenchymal,
    Intraventricular,
    Subarachnoid,
    Subdural,
)
from recursive_expand.phantom.canvas import Canvas, Plane
from recursive_expand.phantom.outline import Ring

HOW_MANY = (0.22, 0.48, 0.2, 0.1)
"""Share of slices with no bleed, one, two and three."""
VERTEX, CLEAN_AT_VERTEX = 98.0, 0.6
"""Above this height, mm, such a share of slices has no bleed whatever was drawn."""
_SHARES: dict[type[Bleed], float] = {
    Epidural: 0.22,
    Intraparenchymal: 0.25,
    Intraventricular: 0.0,
    Subarachnoid: 0.24,
    Subdural: 0.29,
}
_VENTRICLES, _VENTRICULAR = (-4.0, 66.0), 0.3
"""Heights between which there are ventricles, mm, and the share of bleeds in them there."""
_FOURTH_ALONE = 26.0
"""Below this height the fourth ventricle alone is seen, which blood fills as a cast."""
_DENSITY: dict[type[Bleed], tuple[float, float]] = {
    Epidural: (42, 80),
    Intraparenchymal: (42, 80),
    Intraventricular: (28, 76),
    Subarachnoid: (36, 76),
    Subdural: (42, 80),
}
"""Least and most HU: older blood fades, and in CSF it is diluted."""
_DENSE = (1.0, 1.0)
"""Parameters of the beta distribution from the most (0) to the least HU (1): all alike often. With (1, 2), which
favours dense blood, f halved its probability on the fainter blood of real slices."""


def draw_bleeds(rng: np.random.Generator, plane: Plane, ring: Ring) -> list[Bleed]:
    """Draw the bleeds of a slice, of any types, several of one type too.

    Args:
        rng: decides everything.
        plane: the slice; a bleed whose type does not reach so far may miss it.
        ring: its outline.
    """
    z = plane.z
    if z > VERTEX and rng.random() < CLEAN_AT_VERTEX:
        return []
    ventricular = _VENTRICULAR if _VENTRICLES[0] < z < _VENTRICLES[1] else 0.0
    kinds = list(_SHARES)
    shares = [(1 - ventricular) * share or ventricular for share in _SHARES.values()]
    number = int(rng.choice(len(HOW_MANY), p=HOW_MANY))
    found = [_draw(kinds[i], rng, z) for i in rng.choice(len(kinds), number, p=shares)]
    return [replace(bleed, level=bleed.level + bleed.height_on(plane, ring) - z) for bleed in found]


def _draw(kind: type[Bleed], rng: np.random.Generator, z: float) -> Bleed:
    low, high = _DENSITY[kind]
    common: dict[str, Any] = {
        "side": int(rng.choice([-1, 1])),
        "level": z + rng.normal(0, 8),
        "hu": high - (high - low) * rng.beta(*_DENSE),
        "mixed": rng.uniform(6, 28) if rng.random() < 0.4 else 0.0,
    }
    if kind is Epidural:
        half = np.exp(rng.uniform(np.log(9), np.log(45)))
        return Epidural(
            **common,
            angle=rng.uniform(-1.4, 1.4),
            half=half,
            thickest=half * rng.uniform(0.18, 0.65),
            height=rng.uniform(14, 36),
            swelling=rng.uniform(3, 14) if rng.random() < 0.6 else 0.0,
        )
    if kind is Subdural:
        return Subdural(
            **common,
            angle=rng.uniform(-1.1, 1.1),
            half=rng.uniform(22, 115),
            thickest=np.exp(rng.uniform(np.log(2.5), np.log(18))),
            height=rng.uniform(25, 55),
        )
    if kind is Intraparenchymal:
        radius = np.exp(rng.uniform(np.log(2.5), np.log(26)))
        depth, angle = np.sqrt(rng.uniform(0.02, 1)), rng.uniform(-np.pi / 2, np.pi / 2)
        return Intraparenchymal(
            **common,
            x=54 * depth * np.cos(angle) + 3,
            y=68 * depth * np.sin(angle),
            radius=radius,
            stretch=rng.uniform(0.6, 1.7),
            satellite=(rng.uniform(-1, 1) * radius, rng.uniform(-1.3, 1.3) * radius, rng.uniform(0.2, 0.8) * radius),
            rim=rng.uniform(1, 12),
        )
    if kind is Intraventricular:
        return Intraventricular(
            **common,
            cast=bool(rng.random() < (0.8 if z < _FOURTH_ALONE else 0.25)),
            surface=rng.uniform(18, 54),
            other_surface=rng.uniform(24, 66),
        )
    return Subarachnoid(
        **common,
        basal=bool(rng.random() < (0.8 if z < 46 else 0.1)),
        both=bool(rng.random() < 0.4),
        angle=rng.uniform(-1.3, 1.3),
        spread=rng.uniform(0.2, 1.3),
        height=rng.uniform(14, 36),
        width=rng.uniform(0.8, 2.0),
    )


def layer_blood(canvas: Canvas, plane: Plane, bleeds: Sequence[Bleed], rng: np.random.Generator) -> None:
    """Let the cells of some bleeds sink: patients lie on their back, so blood is denser towards posterior."""
    for bleed in bleeds:
        if rng.random() > 0.3:
            continue
        blood = canvas.mask == bleed.value
        if not blood.any():
            continue
        y = plane.y[blood]
        middle = rng.uniform(y.min(), y.max())
        sharp = rng.uniform(1.5, 12)
        canvas.hu[blood] += rng.uniform(3, 11) * np.tanh((y - middle) / sharp)
