"""contact_sheet.py: what a person sees of an import."""

from __future__ import annotations

import numpy as np
from PIL import Image

from recursive_expand.cases import Geometry, LabelMap, Volume
from recursive_expand.importers.contact_sheet import COLOURS, COLUMNS, SIDE, TILES, ContactSheet

GEOMETRY = Geometry.of((64, 32, 3), np.diag([-0.5, -0.5, 5, 1]))


def case(number):
    hu = np.full(GEOMETRY.shape, -1000, np.int16)
    hu[number % 3, 8:24, 8:40] = 40
    mask = np.zeros(GEOMETRY.shape, np.uint8)
    mask[number % 3, 12:20, 16:32] = 2
    return Volume(hu, GEOMETRY), LabelMap.from_slices(mask, GEOMETRY, ("epidural", "subdural"))


def test_the_slice_with_most_marks_is_shown_with_its_outline(tmp_path):
    sheet = ContactSheet()
    sheet.add("a", *case(2))
    sheet.save(tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    outline = (pixels == COLOURS[1]).all(axis=2)
    # Twice as wide as high: 64 columns become 256 pixels, so a voxel is 4 x 4, and 64 rows of pixels are black above.
    rows, columns = np.nonzero(outline)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (64 + 48, 64 + 79, 64, 127)
    assert not outline[64 + 60, 90] and tuple(pixels[64 + 60, 90]) == (127, 127, 127)


def test_a_sheet_is_a_few_cases_of_all_and_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        sheet = ContactSheet()
        for number in range(100):
            sheet.add(f"case-{number}", *case(number))
        sheet.save(tmp_path / f"{name}.png")
    image = Image.open(tmp_path / "a.png")
    assert image.width == COLUMNS * SIDE and image.height > TILES // COLUMNS * SIDE
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_cases_no_sheet(tmp_path):
    ContactSheet().save(tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())
