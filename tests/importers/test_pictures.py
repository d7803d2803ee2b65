"""pictures.py: grey values and masks out of what picture files hold."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recursive_expand.errors import InputError
from recursive_expand.importers.pictures import read_binary_mask, read_class_mask, read_grey

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)
MARK = np.zeros((8, 8), bool)
MARK[2:5, 3:7] = True
ORANGE = (210, 80, 0)


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("extension", ["png", "bmp", "tif"])
@pytest.mark.parametrize("channels", [None, 3])
def test_8_bit_grey_runs_from_black_to_white(tmp_path, extension, channels):
    array = RAMP if channels is None else np.repeat(RAMP[..., None], channels, axis=2)
    assert np.allclose(read_grey(save(tmp_path / f"a.{extension}", array)), RAMP / 255)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_16_bit_grey_runs_from_black_to_white(tmp_path, extension):
    array = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    assert np.allclose(read_grey(save(tmp_path / f"a.{extension}", array)), array / 65535)


def test_grey_that_jpeg_fringed_is_grey(tmp_path):
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    path = save(tmp_path / "a.jpg", np.repeat(noisy[..., None], 3, axis=2), quality=30)
    assert read_grey(path).shape == (64, 64)


@pytest.mark.parametrize("extension", ["png", "jpg"])
def test_a_colour_picture_is_refused(tmp_path, extension):
    array = np.repeat(RAMP[..., None], 3, axis=2)
    array[2:8, 2:8] = ORANGE
    with pytest.raises(InputError, match=rf"a.{extension}: is a colour picture \("):
        read_grey(save(tmp_path / f"a.{extension}", array, quality=95))


def test_files_that_are_no_picture_of_one_slice_are_refused(tmp_path):
    (tmp_path / "text.png").write_text("text")
    whole = save(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8))
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:-500])
    pages = [Image.fromarray(RAMP)] * 2
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    save(tmp_path / "float.tif", RAMP.astype(np.float32))
    for name, reason in {
        "text.png": "is no picture",
        "cut.png": "cannot be read",
        "pages.tif": "holds 2 pages",
        "float.tif": "holds fractions",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {reason}"):
            read_grey(tmp_path / name)


@pytest.mark.parametrize("value", [1, 255, ORANGE])
def test_whatever_is_not_black_is_marked(tmp_path, value):
    array = np.zeros((8, 8, 3) if isinstance(value, tuple) else (8, 8), np.uint8)
    array[MARK] = value
    assert np.array_equal(read_binary_mask(save(tmp_path / "m.png", array)), MARK)


def test_where_nothing_is_black_the_first_pixel_is_background(tmp_path):
    assert np.array_equal(read_binary_mask(save(tmp_path / "m.png", np.where(MARK, 40, 255).astype(np.uint8))), MARK)


def test_16_bit_1_bit_and_jpeg_masks_are_read(tmp_path):
    save(tmp_path / "a.png", MARK.astype(np.uint16) * 300)
    Image.fromarray(MARK).save(tmp_path / "b.png")
    big = np.kron(MARK, np.ones((16, 16), bool))
    save(tmp_path / "c.jpg", big.astype(np.uint8) * 255, quality=95)
    assert np.array_equal(read_binary_mask(tmp_path / "a.png"), MARK)
    assert np.array_equal(read_binary_mask(tmp_path / "b.png"), MARK)
    assert np.array_equal(read_binary_mask(tmp_path / "c.jpg"), big)


def test_one_colour_of_several_can_be_chosen(tmp_path):
    array = np.zeros((8, 8, 3), np.uint8)
    array[MARK] = ORANGE
    array[7] = (0, 200, 0)
    assert np.array_equal(read_binary_mask(save(tmp_path / "m.png", array), ORANGE), MARK)


def test_class_values_become_the_task_s(tmp_path):
    array = np.zeros((8, 8), np.uint8)
    array[MARK], array[7] = 10, 20
    expected = np.zeros((8, 8), np.uint8)
    expected[MARK], expected[7] = 5, 1
    palette = Image.fromarray(array).convert("P")
    palette.putdata(array.ravel().tolist())
    palette.save(tmp_path / "p.png")
    for path in (
        save(tmp_path / "m.png", array),
        save(tmp_path / "rgb.png", np.dstack([array] * 3)),
        tmp_path / "p.png",
    ):
        assert np.array_equal(read_class_mask(path, {10: 5, 20: 1}), expected)


def test_masks_whose_values_cannot_be_classes_are_refused(tmp_path):
    array = np.zeros((8, 8), np.uint8)
    array[MARK] = 3
    colour = np.dstack([array, array * 2, array])
    for path, reason in (
        (save(tmp_path / "m.png", array), r"holds the value 3, which --class-values does not name \(1, 2\)"),
        (save(tmp_path / "c.png", colour), "is a colour mask"),
        (save(tmp_path / "j.jpg", array), "is a JPEG"),
    ):
        with pytest.raises(InputError, match=reason):
            read_class_mask(path, {1: 1, 2: 2})


def rgba(colour, alpha):
    return np.dstack([np.full((8, 8, 3), colour, np.uint8), alpha.astype(np.uint8)])


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), ORANGE])
def test_a_mark_on_a_transparent_background_is_marked(tmp_path, colour):
    path = save(tmp_path / "a.png", rgba(colour, MARK * 255))
    assert np.array_equal(read_binary_mask(path), MARK)


def test_grey_and_palette_masks_may_be_transparent_too(tmp_path):
    grey = np.dstack([np.full((8, 8), 255, np.uint8), MARK * np.uint8(255)])
    assert np.array_equal(read_binary_mask(save(tmp_path / "la.png", grey)), MARK)
    palette = Image.fromarray(MARK.astype(np.uint8))
    palette = palette.convert("P")
    palette.putpalette([255] * 6)
    palette.save(tmp_path / "p.png", transparency=0)
    assert np.array_equal(read_binary_mask(tmp_path / "p.png"), MARK)


def test_an_opaque_black_background_counts_beside_transparency(tmp_path):
    pixels = rgba((255, 255, 255), np.full((8, 8), 255))
    pixels[~MARK, :3] = 0
    pixels[0, :, 3] = 0
    assert np.array_equal(read_binary_mask(save(tmp_path / "a.png", pixels)), MARK)


def test_a_mask_without_marks_has_none_whatever_its_transparency(tmp_path):
    for name, alpha in (("a", 0), ("b", 255)):
        path = save(tmp_path / f"{name}.png", rgba((0, 0, 0), np.full((8, 8), alpha)))
        assert not read_binary_mask(path).any()


def test_several_opaque_colours_on_transparency_need_one_to_be_named(tmp_path):
    pixels = rgba((255, 255, 255), np.full((8, 8), 255))
    pixels[MARK, :3] = ORANGE
    pixels[0, :, 3] = 0
    path = save(tmp_path / "a.png", pixels)
    with pytest.raises(InputError, match=r"a\.png: has several colours and is transparent"):
        read_binary_mask(path)
    assert np.array_equal(read_binary_mask(path, ORANGE), MARK)


def test_transparent_pixels_of_class_masks_are_background(tmp_path):
    path = save(tmp_path / "a.png", rgba((3, 3, 3), MARK * 255))
    assert np.array_equal(read_class_mask(path, {3: 1}), MARK.astype(np.uint8))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ((RAMP.astype(np.uint16) * 16), "holds 16 bits, but no more than 4080: 12 bits or fewer"),
        (RAMP.astype(np.int32) * 100000, "holds 32 bits: what is white in it is not known"),
        (RAMP.astype(np.int32), "holds 32 bits"),
        (RAMP.astype(np.float32) / 255, "holds fractions"),
        (rgba((9, 9, 9), MARK * 255), "is transparent in places"),
    ],
)
def test_pictures_whose_white_is_not_known_are_refused(tmp_path, array, message):
    path = save(tmp_path / ("a.png" if array.ndim == 3 else "a.tif"), array)
    with pytest.raises(InputError, match=message):
        read_grey(path)
