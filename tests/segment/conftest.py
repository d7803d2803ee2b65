"""Small settings and small scans for the tests of f and g."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from recursive_expand.cases import Geometry, Volume
from recursive_expand.segment.examples import Example
from recursive_expand.segment.network import build_network
from recursive_expand.segment.train import train
from recursive_expand.settings import Machine, Method, Network, Refinement, Settings, Task, Training, Window

SETTINGS = Settings(
    task=Task(
        name="tiny",
        title="Tiny",
        classes=("epidural", "subdural"),
        windows=(Window(level=40, width=80), Window(level=600, width=2800)),
        region="head",
    ),
    method=Method(
        preset="default",
        network=Network(channels=(4, 8, 8), residual_units=1),
        training=Training(batch_size=2),
        refinement=Refinement(mode="off"),
    ),
    machine=Machine(threads=2),
)


def _head(
    size: int = 64, *, bleed: tuple[int, int] | None = None, seed: int = 0, shift: tuple[int, int] = (0, 0)
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """A head of skull and brain in air, 3 mm pixels, with a bleed (class 2) around a pixel; image and mask."""
    rows, columns = np.mgrid[:size, :size]
    radius = np.hypot((rows - size / 2 - shift[0]) / 1.2, columns - size / 2 - shift[1])
    hu = np.full((size, size), -1000, np.int16)
    hu[radius < size * 0.35] = 1000
    hu[radius < size * 0.31] = 35
    mask = np.zeros((size, size), np.uint8)
    if bleed is not None:
        mask[np.hypot(rows - bleed[0], columns - bleed[1]) < size * 0.07] = 2
        hu[mask == 2] = 70
    noise = np.random.default_rng(seed).normal(0, 3, hu.shape).round().astype(np.int16)
    return hu + noise, mask


def _volume(*slices: NDArray[np.int16], mm: float = 3.0) -> Volume:
    """A volume of slices that are `mm` wide in plane, 5 mm apart."""
    hu = np.stack(slices)
    shape = (hu.shape[2], hu.shape[1], hu.shape[0])
    return Volume(hu, Geometry.of(shape, np.diag([-mm, -mm, 5.0, 1.0])))


@pytest.fixture(scope="session")
def make_settings() -> Callable[..., Settings]:
    """The tiny settings, changed."""
    return SETTINGS.changed


@pytest.fixture(scope="session")
def make_head() -> Callable[..., tuple[NDArray[np.int16], NDArray[np.uint8]]]:
    return _head


@pytest.fixture(scope="session")
def make_volume() -> Callable[..., Volume]:
    return _volume


@pytest.fixture
def settings() -> Settings:
    return SETTINGS


@pytest.fixture
def network(settings: Settings) -> torch.nn.Module:
    torch.manual_seed(0)
    return build_network(settings)


@pytest.fixture
def examples() -> list[Example]:
    slices = [_head(bleed=(24 + 4 * i, 26 + 3 * i), seed=i) for i in range(5)]
    return [Example(f"head:{i}", hu, mask, with_dice=i != 1) for i, (hu, mask) in enumerate(slices)]


@pytest.fixture(scope="session")
def trained() -> tuple[Settings, torch.nn.Module]:
    """Settings and a network that has learned to find the bleeds of `make_head`."""
    settings = SETTINGS.changed(batch_size=4)
    torch.manual_seed(0)
    network = build_network(settings)
    rng = np.random.default_rng(0)
    slices = [_head(bleed=tuple(rng.integers(24, 40, 2)), seed=i) for i in range(12)]
    slices += [_head(seed=i) for i in range(4)]
    examples = [Example(f"{i}", hu, mask, with_dice=True) for i, (hu, mask) in enumerate(slices)]
    train(settings, network, examples, epochs=25, learning_rate=1e-2, round_index=0)
    return settings, network
