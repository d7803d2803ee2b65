"""Any scanner, any picture: what pose, kernel, dose, artefacts, resampling and windowing make of a painted slice."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, zoom

from recursive_expand.phantom.scanner import HU_RANGE
from recursive_expand.phantom.streams import SPLINE_SD, spline_weights
from recursive_expand.phantom.varied_head import Painted

CUT_OFF = 0.1
"""Share of slices whose field of view is smaller than the head's box."""
FIELD_MM = (175.0, 225.0)
"""Its width."""
WINDOWED = 0.5
"""Share of slices that are pictures of a display window: their values end there, and are of 8 bits."""
WINDOWS = ((-20.0, 100.0), (0.0, 80.0), (-160.0, 240.0), (-60.0, 140.0), (-100.0, 150.0), (0.0, 100.0))
"""Lower and upper ends, HU; each picture's differ a little."""
DENSEST_BLOOD_HU = 250.0
"""Where a voxel is denser once the scanner has blurred it, bone outshines the blood in it: nobody would mark it, and f
would learn to mark the inner table."""


def acquire(painted: Painted, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Image a slice once: every parameter is drawn over its whole range.

    Args:
        painted: the slice.
        rng: decides everything.

    Returns:
        (R, C) int16 HU, and the (R, C) uint8 mask in the same pose.
    """
    hu, mask, depth = _posed(painted, rng)
    pixel = painted.pixel
    if rng.random() < 0.06:
        hu = _moved(hu, rng, pixel)
    body = _body(hu)
    hu = gaussian_filter(hu, rng.uniform(0.15, 1.1) / pixel)
    mask = np.where(hu > DENSEST_BLOOD_HU, 0, mask).astype(np.uint8)
    sharpening = rng.uniform(0, 0.9) if rng.random() < 0.5 else 0.0
    if sharpening:
        hu += sharpening * (hu - gaussian_filter(hu, 0.9 / pixel))
    hu = _calibrated(hu, depth, body, rng)
    if rng.random() < 0.8:
        hu += _glare(hu, pixel, rng) * body
    if rng.random() < 0.06:
        hu += _streaks(hu.shape, rng) * body
    hu += _noise(hu.shape, pixel, rng) * (0.4 + 0.6 * body)
    if rng.random() < 0.25:
        hu = _resampled(hu, rng.uniform(0.5, 0.95))
    if rng.random() < 0.7:
        hu = _shaded(hu, rng)
    if rng.random() < WINDOWED:
        hu = _windowed(hu, rng)
    hu = _misread(hu, rng)
    if rng.random() < CUT_OFF:
        outside = _outside_the_field(hu.shape, pixel, rng)
        hu, mask = np.where(outside, hu.min(), hu), np.where(outside, 0, mask).astype(np.uint8)
    return np.clip(np.rint(hu), *HU_RANGE).astype(np.int16), mask


def _body(hu: NDArray[np.floating]) -> NDArray[np.floating]:
    """Where the head is, 0..1: nothing of what shades or shifts it is seen in air."""
    return np.clip((hu + 500) / 400, 0, 1)


def _posed(
    painted: Painted, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
    turn, size = np.radians(rng.uniform(-12, 12)), np.exp(rng.uniform(-0.14, 0.16, 2))
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / size[:, None]
    if rng.random() < 0.5:
        matrix[:, 1] *= -1
    middle = (np.array(painted.hu.shape) - 1) / 2
    offset = middle - matrix @ (middle + rng.uniform(-5, 5, 2))
    hu = affine_transform(painted.hu, matrix, offset, order=1, cval=-1000.0)
    mask = affine_transform(painted.mask, matrix, offset, order=0)
    return hu, mask, affine_transform(painted.depth, matrix, offset, order=0, cval=-99.0)


def _moved(hu: NDArray[np.float32], rng: np.random.Generator, pixel: float) -> NDArray[np.float32]:
    """The head moved during the scan: a second, fainter head beside the first."""
    rows, columns = (int(mm / pixel) for mm in rng.uniform(-4, 4, 2))
    return hu + rng.uniform(0.1, 0.4) * (np.roll(hu, (rows, columns), (0, 1)) - hu)


def _calibrated(
    hu: NDArray[np.float32], depth: NDArray[np.float32], body: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Drift, contrast of soft tissue (the tube's voltage, or a display's gamma) and beam hardening under the bone."""
    soft = np.clip(hu, -60, 120)
    hu = hu + (soft - 35) * rng.uniform(-0.18, 0.22)
    inwards = np.clip(depth, 0, None)
    cupping = rng.uniform(-3, 9) * np.exp(-inwards / rng.uniform(3, 30)) * (depth > 0)
    hu += body * (rng.normal(0, 4) + cupping)
    low, steep = (np.radians(rng.uniform(0, 360)), rng.uniform(0, 4))
    across = np.linspace(-1, 1, hu.shape[0])[:, None] * np.sin(low) + np.linspace(-1, 1, hu.shape[1]) * np.cos(low)
    return (hu + body * steep * across).astype(np.float32)


def _glare(hu: NDArray[np.float32], pixel: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Bone makes what lies beside it brighter, most where it is thick: hardened and scattered rays.

    Scanners differ in it: 3 to 4 mm from the skull the brain is 3 to 12 HU brighter than in its middle on the patients
    of CT-ICH (medians), 14 on a head of another maker's scanner, and 19 on that one's worst slices.
    """
    bone = np.clip((hu - 200) / 600, 0, 1).astype(np.float32)
    return gaussian_filter(bone, rng.uniform(2, 10) / pixel) * np.float32(150 * rng.beta(1, 2))


def _shaded(hu: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """Shading of some 6 HU that nobody corrected, smooth over a quarter of the slice."""
    along_y, along_x = (spline_weights(np.linspace(1, 5, length), 7) for length in hu.shape)
    shading = along_y @ rng.normal(0, 6.5 / SPLINE_SD**2, (7, 7)) @ along_x.T
    return hu + _body(hu) * shading


def _outside_the_field(shape: tuple[int, ...], pixel: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """What a field of view that is too small leaves out: a circle's or a square's surroundings, filled as air is."""
    row, column = (np.array(shape) - 1) / 2 + rng.uniform(-6, 6, 2) / pixel
    down, across = np.abs(np.arange(shape[0]) - row)[:, None], np.abs(np.arange(shape[1]) - column)[None, :]
    far = np.hypot(down, across) if rng.random() < 0.7 else np.maximum(down, across)
    return far * pixel > rng.uniform(*FIELD_MM) / 2


def _misread(hu: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.floating]:
    """Level and scale of soft tissue as of a picture whose window was guessed: 8 HU and a quarter off at most.

    What was equal stays equal, as the plateaus at the window's ends. Where the scale is less sure than any scanner's, f
    has to judge blood by what lies beside it.
    """
    offset = rng.uniform(-8, 8) + (np.clip(hu, -60, 120) - 35) * rng.uniform(-0.25, 0.25)
    return hu + _body(hu) * offset


def _streaks(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Rays from a metal clip, a bolt, teeth or between thick bones."""
    row, column = rng.uniform(-0.1, 1.1, 2) * shape
    dy, dx = np.arange(shape[0])[:, None] - row, np.arange(shape[1])[None, :] - column
    angle, far = np.arctan2(dy, dx), np.hypot(dy, dx)
    rays = sum(np.sin(angle * rng.integers(3, 40) + rng.uniform(0, 7)) for _ in range(3))
    return (rng.uniform(3, 16) * rays * np.exp(-far / rng.uniform(15, 80))).astype(np.float32)


def _noise(shape: tuple[int, ...], pixel: float, rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, dtype=np.float32)
    grain = rng.uniform(0.2, 1.3) / pixel
    if grain > 0.25:
        noise = gaussian_filter(noise, grain)
        noise /= noise.std()
    return noise * np.float32(np.exp(rng.uniform(np.log(1.0), np.log(9.0))))


def _resampled(hu: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Made smaller and enlarged again."""
    small = zoom(hu, share, order=1, grid_mode=True, mode="nearest")
    back = [n / m for n, m in zip(hu.shape, small.shape, strict=True)]
    return zoom(small, back, order=1, grid_mode=True, mode="nearest")


def _windowed(hu: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    low, high = WINDOWS[0] if rng.random() < 0.5 else WINDOWS[rng.integers(len(WINDOWS))]
    low, width = low + rng.uniform(-4, 4), (high - low) * rng.uniform(0.95, 1.05)
    grey = np.clip((hu - low) / width, 0, 1) ** np.exp(rng.normal(0, 0.06))
    return np.rint(grey * 255) / 255 * width + low
