"""Scanner domains: noise, calibration, tilt."""

from __future__ import annotations

import numpy as np

from recursive_expand.phantom import Phantom, Tissue, make_head, make_slice
from recursive_expand.phantom.canvas import Plane
from recursive_expand.phantom.scanner import Scanner


def brain(phantom: Phantom) -> np.ndarray:
    own = phantom.tissue[0] == Tissue.WHITE
    for axis in (0, 1):
        for step in (-2, -1, 1, 2):
            own &= np.roll(phantom.tissue[0] == Tissue.WHITE, step, axis)
    return phantom.hu[0][own]


def test_the_domains_differ_in_noise_and_mean() -> None:
    for seed in range(4):
        thick, sharp = (brain(make_slice(seed, size=96, bleeds=[], domain=d)) for d in ("thick", "sharp"))
        assert sharp.std() > 2 * thick.std()
        assert sharp.mean() > thick.mean() + 1


def test_the_sharp_scanner_reads_too_low_in_the_middle_of_the_head() -> None:
    axis = np.linspace(-100, 100, 64).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    plane = Plane(x, y, 50.0, 3.2, axis, axis)
    hu = Scanner.draw(1, "sharp").image(np.full((64, 64), 30, np.float32), plane, seed=1, index=0)
    assert hu[28:36, 28:36].mean() < hu[:8, :8].mean() - 1


def test_the_same_head_is_behind_both_scanners() -> None:
    thick, sharp = (make_slice(8, size=96, bleeds=["epidural"], domain=d) for d in ("thick", "sharp"))
    assert thick.thickness > sharp.thickness
    assert (thick.tissue == sharp.tissue).mean() > 0.75


def test_every_slice_has_noise_of_its_own() -> None:
    air = make_head(1, size=64, slices=3, bleeds=[]).hu[:, :6, :]
    assert not np.array_equal(air[0], air[1])
    assert not np.array_equal(air[1], air[2])
