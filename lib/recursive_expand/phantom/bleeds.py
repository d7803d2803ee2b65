"""The five bleed types: where blood lies in space, what it does to the brain, and its exact mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from recursive_expand.phantom.brain import Bulge, Pressure, Spaces
from recursive_expand.phantom.canvas import Canvas, Plane, Tissue
from recursive_expand.phantom.outline import ANGLES, THETA, Ring
from recursive_expand.phantom.streams import stream

OEDEMA_HU = 20.0
BLOOD_HU = (46.0, 82.0)
"""Least and most density of blood, before the scanner; a bleed that is fainter as a whole is as faint as it is."""

_Image = NDArray[np.float32]
_Table = NDArray[np.float64]


@dataclass(frozen=True)
class Bleed:
    """One bleed of a head, drawn once and the same on all slices.

    Attributes:
        side: 1 is the patient's left, -1 right.
        level: height of its middle, mm.
        hu: density of its blood.
        mixed: by how many HU its unclotted parts are less dense; 0: uniform.
    """

    kind: ClassVar[str]
    levels: ClassVar[tuple[float, float]]
    """Heights in mm between which its middle may lie."""

    side: int
    level: float
    hu: float
    mixed: float

    @classmethod
    def draw(cls, rng: np.random.Generator, **common: float) -> Bleed:
        """Draw the shape; `common` are the attributes of every bleed."""
        raise NotImplementedError

    @property
    def value(self) -> int:
        """The mask's value."""
        return CLASSES.index(self.kind) + 1

    @property
    def push(self) -> float:
        """How far the midline moves to the other side, mm."""
        return 0.0

    @property
    def bulge(self) -> Bulge | None:
        """What the bleed pushes aside next to it, if it lies within the brain."""
        return None

    def height_on(self, plane: Plane, ring: Ring) -> float:
        """Height in mm of a slice where the bleed's middle lies in it."""
        return plane.z

    def thickness(self, ring: Ring) -> _Table:
        """(ANGLES,) mm by which the bleed lifts the brain off the inner table."""
        return np.zeros(ANGLES)

    def coverage(self, plane: Plane, spaces: Spaces, outer: _Table) -> _Image:
        """Share of each pixel that is blood.

        Args:
            plane: the slice.
            spaces: its spaces, made with the pressure of all bleeds of the head.
            outer: (ANGLES,) mm of other blood between this bleed and the inner table.

        Returns:
            (R, C) float32 in 0..1.
        """
        raise NotImplementedError

    def oedema(self, plane: Plane, spaces: Spaces) -> _Image | None:
        """(R, C) share of each pixel's tissue that is swollen round the bleed, if it swells."""
        return None

    def density(self, spaces: Spaces) -> _Image:
        """(R, C) float32 HU of its blood."""
        unclotted = np.clip(0.2 - 1.2 * spaces.wobble, 0, 1)
        least = min(BLOOD_HU[0], self.hu)
        return np.clip(self.hu + 2.2 * spaces.texture - self.mixed * unclotted, least, BLOOD_HU[1]).astype(np.float32)


@dataclass(frozen=True)
class _ExtraAxial(Bleed):
    """Blood between the inner table and the brain.

    Attributes:
        angle: of its middle, radians from straight lateral, positive towards posterior.
        half: of its length along the inner table, mm.
        thickest: mm.
        height: from its middle to its upper and lower end, mm.
    """

    angle: float
    half: float
    thickest: float
    height: float

    @property
    def push(self) -> float:
        return 0.42 * self.thickest

    def height_on(self, plane: Plane, ring: Ring) -> float:
        return _height_at(ring, self.side, self.angle)

    def arc_from_middle(self, ring: Ring) -> _Table:
        """(ANGLES,) mm along the inner table from the bleed's middle, positive and negative."""
        start = _place_of(self.side, self.angle)
        total = float(ring.arc[-1])
        return (ring.arc - ring.arc[start] + total / 2) % total - total / 2

    def coverage(self, plane: Plane, spaces: Spaces, outer: _Table) -> _Image:
        thick = spaces.polar.lookup(self.thickness(spaces.ring))
        depth = spaces.polar.depth - spaces.polar.lookup(outer)
        return plane.coverage(np.minimum(depth, thick - depth)) * (thick > 0.5)


@dataclass(frozen=True)
class Epidural(_ExtraAxial):
    """A biconvex lens against the inner table: sutures hold it, since the dura clings to them.

    Attributes:
        swelling: thickness of the scalp's haematoma over it, mm: as dense as blood, but outside the skull.
    """

    kind: ClassVar[str] = "epidural"
    levels: ClassVar[tuple[float, float]] = (26, 82)

    swelling: float

    @classmethod
    def draw(cls, rng: np.random.Generator, **common: float) -> Epidural:
        half = rng.uniform(21, 31)
        return cls(
            **common,  # type: ignore[arg-type]
            angle=rng.uniform(-0.6, 0.6),
            half=half,
            thickest=half * rng.uniform(0.5, 0.7),
            height=rng.uniform(18, 30),
            swelling=rng.uniform(4, 9) if rng.random() < 0.7 else 0.0,
        )

    def thickness(self, ring: Ring) -> _Table:
        if not ring.inner.any():
            return np.zeros(ANGLES)
        along = 1 - ((ring.height - self.level) / self.height) ** 2
        # Arcs shorten inwards: a plain parabola over the inner table would come to a point.
        return self.thickest * np.clip(along - np.abs(self.arc_from_middle(ring) / self.half) ** 2.8, 0, None)

    def scalp_swelling(self, ring: Ring) -> _Table:
        """(ANGLES,) thickness of the scalp's haematoma, mm."""
        if not ring.inner.any():
            return np.zeros(ANGLES)
        along = 1 - ((ring.height - self.level) / (1.6 * self.height)) ** 2
        profile = along - (self.arc_from_middle(ring) / (1.2 * self.half)) ** 2
        return self.swelling * np.sqrt(np.clip(profile, 0, None))


@dataclass(frozen=True)
class Subdural(_ExtraAxial):
    """A crescent over the hemisphere: it crosses sutures, but not the falx."""

    kind: ClassVar[str] = "subdural"
    levels: ClassVar[tuple[float, float]] = (28, 84)

    @classmethod
    def draw(cls, rng: np.random.Generator, **common: float) -> Subdural:
        return cls(
            **common,  # type: ignore[arg-type]
            angle=rng.uniform(-0.25, 0.25),
            half=rng.uniform(62, 92),
            thickest=rng.uniform(6.5, 13),
            height=rng.uniform(30, 45),
        )

    def thickness(self, ring: Ring) -> _Table:
        along = np.maximum(1 - ((ring.height - self.level) / self.height) ** 2, 0)
        if not ring.inner.any() or not np.any(along):
            return np.zeros(ANGLES)
        # Towards the vertex the crescent becomes shorter with the skull.
        half = np.maximum(self.half * np.sqrt(along) * min(1.0, float(ring.inner.mean()) / 68), 1e-6)
        arc = self.arc_from_middle(ring)
        profile = np.clip(1 - (np.abs(arc) / half) ** 2.5, 0, None) ** 0.75
        uneven = 1 + 0.12 * np.sin(arc / 9 + self.level) + 0.08 * np.sin(arc / 5 + ring.height / 11)
        own_side = np.clip((self.side * np.cos(THETA) * ring.inner - 2) / 4, 0, 1)
        return self.thickest * profile * uneven * own_side * along**0.5


@dataclass(frozen=True)
class Intraparenchymal(Bleed):
    """One or two merging clots in the brain's tissue, with a rim of oedema that is not blood.

    Attributes:
        x: distance of the middle from the midline, mm.
        y: mm.
        radius: mm.
        stretch: length over width.
        satellite: x, y (from the middle) and radius of the second clot, mm.
        rim: width of the oedema, mm.
    """

    kind: ClassVar[str] = "intraparenchymal"
    levels: ClassVar[tuple[float, float]] = (30, 76)

    x: float
    y: float
    radius: float
    stretch: float
    satellite: tuple[float, float, float]
    rim: float

    @classmethod
    def draw(cls, rng: np.random.Generator, **common: float) -> Intraparenchymal:
        deep, angle = rng.random() < 0.5, rng.uniform(-0.9, 0.9)
        return cls(
            **common,  # type: ignore[arg-type]
            x=rng.uniform(21, 29) if deep else 38 * np.cos(angle),
            y=rng.uniform(-8, 14) if deep else 52 * np.sin(angle),
            radius=rng.uniform(8, 15) if deep else rng.uniform(8, 19),
            stretch=rng.uniform(0.75, 1.3),
            satellite=(rng.uniform(-8, 8), rng.choice([-1, 1]) * rng.uniform(8, 14), rng.uniform(5, 10)),
            rim=rng.uniform(5, 9),
        )

    def height_on(self, plane: Plane, ring: Ring) -> float:
        return plane.height_at(self.side * self.x, self.y)

    @property
    def push(self) -> float:
        return 0.24 * self.radius

    @property
    def bulge(self) -> Bulge:
        return Bulge((self.side * self.x, self.y, self.level), self.radius, -self.side)

    def coverage(self, plane: Plane, spaces: Spaces, outer: _Table) -> _Image:
        room = np.minimum(spaces.cortex_depth - 3, -1.5 - spaces.ventricle_distance)
        room = np.minimum(room, self.side * plane.x - 3)
        return plane.coverage(np.minimum(self._signed(plane, spaces), room)) * np.clip(spaces.brain * 2, 0, 1)

    def oedema(self, plane: Plane, spaces: Spaces) -> _Image:
        uneven = self._signed(plane, spaces) + 0.25 * self.rim * spaces.wobble
        room = plane.coverage(-1 - spaces.ventricle_distance) * plane.coverage(self.side * plane.x - 2)
        return np.clip(1.15 + uneven / self.rim, 0, 1) * spaces.brain * room

    def _signed(self, plane: Plane, spaces: Spaces) -> _Image:
        x, y, r = self.side * self.x, self.y, self.radius
        dx, dy, small = self.satellite
        main = plane.ellipsoid((x, y, self.level), (r, r * self.stretch, r * 1.15))
        second = plane.ellipsoid((x + dx, y + dy, self.level + 3), (small, small, small))
        return np.maximum(main, second) + 0.11 * r * spaces.wobble


@dataclass(frozen=True)
class Intraventricular(Bleed):
    """Blood in the ventricles: patients lie on their back, so it sinks and ends in a level, or it clots as a cast.

    Attributes:
        cast: the lateral ventricle of its side is filled, and the third and fourth with it.
        surface: y of the level on its side, mm.
        other_surface: y of the level on the other side, mm.
    """

    kind: ClassVar[str] = "intraventricular"
    levels: ClassVar[tuple[float, float]] = (43, 54)

    cast: bool
    surface: float
    other_surface: float

    @classmethod
    def draw(cls, rng: np.random.Generator, **common: float) -> Intraventricular:
        return cls(
            **common,  # type: ignore[arg-type]
            cast=bool(rng.random() < 0.35),
            surface=rng.uniform(28, 38),
            other_surface=rng.uniform(32, 52),
        )

    def coverage(self, plane: Plane, spaces: Spaces, outer: _Table) -> _Image:
        own, other = ("left", "right") if self.side > 0 else ("right", "left")
        signed = np.minimum(spaces.ventricles[other], plane.y - self.other_surface)
        if self.cast:
            filled = [spaces.ventricles[name] for name in (own, "third", "fourth")]
        else:
            filled = [np.minimum(spaces.ventricles[own], plane.y - self.surface)]
        return plane.coverage(np.maximum.reduce([signed, *filled]))


@dataclass(frozen=True)
class Subarachnoid(Bleed):
    """Thin blood in the CSF spaces round the brain.

    Attributes:
        basal: it fills the cisterns and Sylvian fissures (aneurysm), besides a few sulci.
        both: of a basal bleed, on both sides.
        angle: of the middle of the bloody sulci, radians from straight lateral.
        spread: radians to either side.
        height: from its middle to its upper and lower end, mm.
        width: half of the width of a bloody sulcus, mm.
    """

    kind: ClassVar[str] = "subarachnoid"
    levels: ClassVar[tuple[float, float]] = (16, 84)

    basal: bool
    both: bool
    angle: float
    spread: float
    height: float
    width: float

    def height_on(self, plane: Plane, ring: Ring) -> float:
        return _height_at(ring, self.side, self.angle)

    @classmethod
    def draw(cls, rng: np.random.Generator, **common: float) -> Subarachnoid:
        return cls(
            **common,  # type: ignore[arg-type]
            basal=common["level"] < 46,
            both=bool(rng.random() < 0.4),
            angle=rng.uniform(-0.7, 0.7),
            spread=rng.uniform(0.65, 1.1),
            height=rng.uniform(20, 34),
            width=rng.uniform(1.0, 1.5),
        )

    def coverage(self, plane: Plane, spaces: Spaces, outer: _Table) -> _Image:
        # A film thinner than a pixel would leave broken lines.
        half = max(self.width, 0.6 * plane.pixel)
        parts = []
        if self.basal:
            own = "left" if self.side > 0 else "right"
            grown = max(0.4, 0.6 * plane.pixel - 1.2)
            for name, space in spaces.cisterns.items():
                if "sylvian" not in name or name.startswith(own) or self.both:
                    parts.append(space + grown)
        away = np.abs((THETA - _middle(self.side, self.angle) + np.pi) % (2 * np.pi) - np.pi)
        reach = self.spread * np.sqrt(np.maximum(0, 1 - ((spaces.ring.height - self.level) / self.height) ** 2))
        near = spaces.polar.lookup(np.where(away < reach, 1.0, 0.0)) > 0
        # Blood follows the sulci down; in places a film covers the gyri between them.
        deep = near & (spaces.sulcus_share > (0.4 if self.basal else 0.12))
        parts.append(np.where(deep, half * (0.55 + 0.45 * spaces.sulcus_share) - spaces.sulci, -99))
        film = near & (spaces.wobble > 0.8)
        parts.append(np.where(film, half - np.abs(spaces.cortex_depth - half), -99))
        return plane.coverage(np.maximum.reduce(parts).astype(np.float32))


def _middle(side: int, angle: float) -> float:
    """An angle counted from straight lateral, as one of THETA."""
    return angle if side > 0 else np.pi - angle


def _place_of(side: int, angle: float) -> int:
    """Its place in the tables over THETA."""
    return int((_middle(side, angle) + np.pi) / (2 * np.pi) * ANGLES) % ANGLES


def _height_at(ring: Ring, side: int, angle: float) -> float:
    """The height at which the slice meets the inner table there, mm."""
    return float(np.broadcast_to(ring.height, ANGLES)[_place_of(side, angle)])


KINDS: dict[str, type[Bleed]] = {
    kind.kind: kind for kind in (Epidural, Intraparenchymal, Intraventricular, Subarachnoid, Subdural)
}
CLASSES = tuple(KINDS)
"""Bleed types in the order of apps/recursive_ich/task.yaml; the mask's value is the index + 1."""

_INSIDE_OUT = ("intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural")
"""Order of painting; epidural blood comes before the subdural blood under it."""


def draw_bleed(seed: int, kind: str, *, span: tuple[float, float], attempt: int = 0) -> Bleed:
    """Draw a bleed of one kind.

    Args:
        seed: the phantom's.
        kind: one of CLASSES.
        span: heights in mm of the lowest and highest slice: its middle lies between them.
        attempt: 0, or higher for another draw where an earlier one left no voxel on any slice.
    """
    rng = stream(seed, f"bleed {kind}", attempt)
    low, high = np.clip(span, *KINDS[kind].levels)
    return KINDS[kind].draw(
        rng,
        side=int(rng.choice([-1, 1])),
        level=rng.uniform(low, high),
        hu=rng.uniform(60, 74),
        mixed=rng.uniform(8, 16) if rng.random() < 0.3 else 0.0,
    )


def pressure_of(bleeds: Sequence[Bleed], ring: Ring) -> Pressure:
    """What bleeds do to the brain on a slice: extra-axial blood lifts it, and large bleeds move the midline.

    Args:
        bleeds: of the head.
        ring: the slice's outline.
    """
    pushing = [bleed for bleed in bleeds if bleed.push]
    return Pressure(
        thickness=sum((bleed.thickness(ring) for bleed in bleeds), start=np.zeros(ANGLES)),
        shift=float(np.clip(-sum(bleed.side * bleed.push for bleed in pushing), -7, 7)),
        level=float(np.mean([bleed.level for bleed in pushing])) if pushing else 0.0,
        bulges=tuple(bleed.bulge for bleed in pushing if bleed.bulge),
    )


def paint_bleeds(canvas: Canvas, plane: Plane, spaces: Spaces, bleeds: Sequence[Bleed]) -> None:
    """Paint blood and its oedema, and write the mask: every voxel that blood fills at least half.

    Args:
        canvas: with scalp, skull and brain.
        plane: the slice.
        spaces: the slice's spaces, made with `pressure_of` these bleeds.
        bleeds: of the head.
    """
    outer = np.zeros(ANGLES)
    for bleed in sorted(bleeds, key=lambda b: _INSIDE_OUT.index(b.kind)):
        swollen = bleed.oedema(plane, spaces)
        if swollen is not None:
            canvas.paint(swollen, OEDEMA_HU, Tissue.OEDEMA)
        coverage = bleed.coverage(plane, spaces, outer) * spaces.inside
        canvas.paint(coverage, bleed.density(spaces), Tissue.BLOOD, value=bleed.value)
        outer = outer + bleed.thickness(spaces.ring)
