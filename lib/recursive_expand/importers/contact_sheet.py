"""A picture of a few imported slices with the outlines of their masks, for a person to look at."""

from __future__ import annotations

import random
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from recursive_expand.archives.atomic import write_atomic
from recursive_expand.cases import LabelMap, Volume

TILES = 24
COLUMNS = 6
SIDE = 256
"""Pixels of a tile's side; its caption is below."""

WINDOW = (40, 120)
"""Level and width, in HU."""

COLOURS = ((230, 60, 60), (70, 160, 255), (80, 220, 100), (250, 200, 50), (220, 100, 250))
"""Of the outlines, by class."""

_CAPTION = 14


class ContactSheet:
    """Up to `TILES` slices, drawn evenly from a run's cases: of each the one with most marked, or the middle one."""

    def __init__(self) -> None:
        self._tiles: list[tuple[int, Image.Image]] = []
        self._seen = 0
        # Reservoir sampling; the same cases in the same order give the same sheet.
        self._random = random.Random(0)

    def add(self, case_id: str, volume: Volume, mask: LabelMap | None) -> None:
        """Consider a case for the sheet."""
        self._seen += 1
        place = self._seen - 1 if self._seen <= TILES else self._random.randrange(self._seen)
        if place >= TILES:
            return
        tile = self._seen, _tile(case_id, volume, mask)
        if place < len(self._tiles):
            self._tiles[place] = tile
        else:
            self._tiles.append(tile)

    def save(self, path: Path) -> None:
        """Write the sheet as PNG; nothing where no case came."""
        if not self._tiles:
            return
        tiles = [tile for _, tile in sorted(self._tiles, key=lambda tile: tile[0])]
        rows, columns = -(-len(tiles) // COLUMNS), min(COLUMNS, len(tiles))
        sheet = Image.new("RGB", (columns * SIDE, rows * (SIDE + _CAPTION)))
        for number, tile in enumerate(tiles):
            sheet.paste(tile, (number % COLUMNS * SIDE, number // COLUMNS * (SIDE + _CAPTION)))
        content = BytesIO()
        sheet.save(content, "PNG")
        write_atomic(path, content.getvalue())


def _tile(case_id: str, volume: Volume, mask: LabelMap | None) -> Image.Image:
    """One slice in the brain window, as radiologists look at it, with outlines and a caption."""
    number = volume.hu.shape[0] // 2
    if mask is not None and mask.filled:
        number = int((mask.slices > 0).sum(axis=(1, 2)).argmax())
    level, width = WINDOW
    grey = np.clip((volume.hu[number].astype(np.float32) - (level - width / 2)) * (255 / width), 0, 255)
    picture = _fitted(grey.astype(np.uint8), Image.Resampling.BILINEAR)
    pixels = np.stack([picture] * 3, axis=-1)
    if mask is not None:
        drawn = _fitted(mask.slices[number], Image.Resampling.NEAREST)
        for value in np.unique(drawn[drawn > 0]):
            inside = drawn == value
            pixels[inside & ~ndimage.binary_erosion(inside)] = COLOURS[(int(value) - 1) % len(COLOURS)]
    tile = Image.new("RGB", (SIDE, SIDE + _CAPTION))
    image = Image.fromarray(pixels)
    tile.paste(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    ImageDraw.Draw(tile).text((2, SIDE + 1), f"{case_id} slice {number}"[:42], fill=(255, 255, 255))
    return tile


def _fitted(plane: NDArray[np.uint8], resampling: Image.Resampling) -> NDArray[np.uint8]:
    """A (rows, columns) plane scaled to fit a tile."""
    scale = SIDE / max(plane.shape)
    size = max(1, round(plane.shape[1] * scale)), max(1, round(plane.shape[0] * scale))
    return np.asarray(Image.fromarray(np.ascontiguousarray(plane)).resize(size, resampling))
