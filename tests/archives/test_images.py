"""images.py: scans of every kind are read, masks come back as they were written, bad files are named."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recursive_expand.archives.images import (
    read_geometry,
    read_info,
    read_label,
    read_volume,
    write_label,
    write_volume,
)
from recursive_expand.cases import Geometry, LabelMap, Volume
from recursive_expand.errors import InputError

TILTED = np.array([[-0.5, 0, 0, 120], [0, -0.46, -0.2, 110], [0, -0.15, 5.0, -30], [0, 0, 0, 1]])
SHAPES = st.tuples(st.integers(4, 9), st.integers(4, 9), st.integers(1, 5))


def write_nifti(path, array, affine=TILTED, **fields):
    image = nib.Nifti1Image(array, affine)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    SHAPES,
    st.sampled_from(list(itertools.permutations(range(3)))),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
    st.sampled_from(["m.nii.gz", "m.nii", "m.nrrd"]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_masks_come_back_as_written_and_itk_reads_the_same(sides, permutation, signs, name, fortran, seed):
    shape = tuple(sides[world] for world in permutation)
    mask = np.random.default_rng(seed).integers(0, 6, shape).astype(np.uint8, order="F" if fortran else "C")
    affine = np.eye(4)
    affine[:3, :3] = (TILTED[:3, :3] * (-1, -1, 1))[:, permutation] * signs
    affine[:3, 3] = (10, -20, 30)
    geometry = Geometry.of(shape, affine)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        write_label(path, LabelMap(mask, geometry))
        read = read_label(path, ("a", "b"))
        assert np.array_equal(read.native, mask) and read.classes == ("a", "b")
        assert np.allclose(read.geometry.affine, affine, atol=1e-4)
        assert read.geometry.orientation == geometry.orientation
        assert np.array_equal(read.geometry.affine, read_geometry(path).affine)
        itk = SimpleITK.ReadImage(str(path))
        assert np.array_equal(SimpleITK.GetArrayFromImage(itk).transpose(2, 1, 0), mask)
        assert np.allclose(itk.GetOrigin(), (-10, 20, 30), atol=1e-4)


def test_a_nifti_mask_has_both_transforms(tmp_path):
    write_label(tmp_path / "m.nii.gz", LabelMap(np.ones((6, 6, 3), np.uint8), Geometry.of((6, 6, 3), TILTED)))
    header = nib.load(tmp_path / "m.nii.gz").header
    assert header["qform_code"] > 0 and header["sform_code"] > 0
    assert np.allclose(header.get_sform(), TILTED, atol=1e-5)
    rotation = header.get_qform()[:3, :3] / np.linalg.norm(header.get_qform()[:3, :3], axis=0)
    assert np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-5)


INFO = {"verdict": "accept", "round": 2, "reviewer": "Ä", "rejected_slices": [1], "proposal_sha256": "f" * 64}


@pytest.mark.parametrize("name", ["m.nii.gz", "m.nii", "m.nrrd"])
@pytest.mark.parametrize("source", ["", "x" * 7, "x" * 3000])
def test_a_label_tells_where_it_comes_from_and_other_readers_read_the_same_voxels(tmp_path, name, source):
    mask = np.random.default_rng(0).integers(0, 6, (7, 6, 3)).astype(np.uint8)
    label, path = LabelMap(mask, Geometry.of((7, 6, 3), TILTED)), tmp_path / name
    write_label(path, label, info=INFO | {"source": source})
    expected = {key: value for key, value in INFO.items() if key != "rejected_slices"} | {"source": source}
    assert read_info(path) == expected
    assert read_label(path).sha256 == label.sha256
    itk = SimpleITK.ReadImage(str(path))
    assert np.array_equal(SimpleITK.GetArrayFromImage(itk).transpose(2, 1, 0), mask)
    if not name.endswith(".nrrd"):
        stock = nib.load(path)
        assert np.array_equal(np.asanyarray(stock.dataobj), mask) and np.allclose(stock.affine, TILTED, atol=1e-4)
        ((code, content),) = ((e.get_code(), json.loads(e.text)) for e in stock.header.extensions)
        assert (code, content) == (6, {"recursive_expand": expected})


def test_what_others_write_into_their_files_is_passed_over(tmp_path):
    image = nib.Nifti1Image(np.zeros((5, 6, 3), np.uint8), TILTED, header=nib.Nifti1Header(endianness=">"))
    for code, content in ((6, b"a comment"), (4, b"<xml/>"), (6, b'{"recursive_expand": 3}'), (6, b"[" * 9999)):
        image.header.extensions.append(nib.nifti1.Nifti1Extension(code, content))
    nib.save(image, tmp_path / "a.nii.gz")
    assert read_info(tmp_path / "a.nii.gz") == {}
    image.header.extensions.append(nib.nifti1.Nifti1Extension(6, b'{"recursive_expand": {"verdict": "accept"}}'))
    nib.save(image, tmp_path / "b.nii.gz")
    assert read_info(tmp_path / "b.nii.gz") == {"verdict": "accept"}
    write_label(tmp_path / "c.nii", LabelMap.background(_geometry()))
    assert read_info(tmp_path / "c.nii") == {}
    (tmp_path / "d.nii").write_bytes(b"text")
    assert read_info(tmp_path / "d.nii") == {}


def test_a_mask_of_another_shape_is_refused_before_its_voxels_are_read(tmp_path):
    path = tmp_path / "m.nii.gz"
    write_label(path, LabelMap.background(_geometry()))
    assert read_label(path, shape=(8, 9, 3)).values == ()
    path.write_bytes(path.read_bytes()[:-1])  # its voxels are damaged, which nobody gets to see
    with pytest.raises(InputError, match=r"m.nii.gz: has 8 x 9 x 3 voxels, its image 9 x 8 x 3"):
        read_label(path, shape=(9, 8, 3))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float32, np.float64, ">i2", ">f4", np.int64])
@pytest.mark.parametrize("extension", [".nii.gz", ".nii", ".nrrd"])
def test_masks_of_any_data_type_are_read(tmp_path, dtype, extension):
    mask = np.arange(4 * 5 * 3).reshape(4, 5, 3) % 6
    path = tmp_path / f"m{extension}"
    if extension == ".nrrd":
        nrrd.write(str(path), mask.astype(dtype), {"encoding": "raw"})
    else:
        nib.Nifti1Image(mask.astype(dtype), TILTED, dtype=np.dtype(dtype)).to_filename(path)
    read = read_label(path).native
    assert read.dtype == np.uint8 and np.array_equal(read, mask)


@pytest.mark.parametrize("value", [0.5, -1, 256, np.nan, np.inf])
def test_a_mask_value_that_is_no_class_number_is_named(tmp_path, value):
    mask = np.zeros((4, 4, 2), np.float32)
    mask[1, 2, 1] = value
    with pytest.raises(InputError, match=r"m.nii: holds the value (0.5|-1|256|nan|inf)"):
        read_label(write_nifti(tmp_path / "m.nii", mask))


def test_scaling_of_masks_is_applied(tmp_path):
    path = write_nifti(tmp_path / "m.nii", np.full((4, 4, 2), 3, np.int16))
    image = bytearray(path.read_bytes())
    image[112:120] = np.array([2, -1], "<f4").tobytes()
    path.write_bytes(image)
    assert set(read_label(path).native.ravel()) == {5}


@settings(max_examples=30, deadline=None)
@given(
    SHAPES,
    st.sampled_from([np.int16, np.uint8, np.int32, np.float32, np.float64, np.uint16]),
    st.sampled_from(list(itertools.permutations(range(3)))),
    st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
def test_scans_of_any_type_and_orientation_are_read(sides, dtype, permutation, signs):
    shape = tuple(sides[world] for world in permutation)
    native = (np.arange(np.prod(shape)).reshape(shape) % 200).astype(dtype)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([0.5, 0.5, 5.0])[:, permutation] * signs
    with tempfile.TemporaryDirectory() as folder:
        volume = read_volume(write_nifti(Path(folder) / "a.nii", native, affine))
    assert volume.hu.dtype == np.int16 and volume.hu.flags.c_contiguous
    assert volume.hu.shape == volume.geometry.shape
    assert np.array_equal(volume.geometry.orientation.to_native(volume.hu), native)


def test_fractions_are_rounded_scaled_and_clipped(tmp_path):
    array = np.zeros((4, 4, 2), np.float32)
    array[0, 0] = (40.6, -1000.4)
    array[1, 0] = (1e6, -1e6)
    hu = read_volume(write_nifti(tmp_path / "a.nii.gz", array, np.diag([-1.0, -1, 1, 1]))).hu
    assert (hu[0, 0, 0], hu[1, 0, 0], hu[0, 0, 1], hu[1, 0, 1]) == (41, -1000, 32767, -32768)


def test_stored_slope_and_intercept_are_applied(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.full((4, 4, 2), 532, np.int16))
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([2, -1024], "<f4").tobytes()
    path.write_bytes(content)
    assert set(read_volume(path).hu.ravel()) == {40}


@pytest.mark.parametrize("shape", [(5, 6), (5, 6, 1), (5, 6, 1, 1)])
def test_a_2d_image_is_one_slice(tmp_path, shape):
    array = np.arange(30, dtype=np.int16).reshape(shape)
    volume = read_volume(write_nifti(tmp_path / "a.nii.gz", array, np.diag([-1.0, -1, 1, 1])))
    assert np.array_equal(volume.hu, np.arange(30).reshape(5, 6).T[None])
    itk = SimpleITK.GetImageFromArray(np.arange(30, dtype=np.int16).reshape(6, 5))
    for name in ("b.nrrd", "b.nii.gz"):
        SimpleITK.WriteImage(itk, str(tmp_path / name))
        assert np.array_equal(read_volume(tmp_path / name).hu, np.arange(30).reshape(1, 6, 5))


def test_nifti_2_and_big_endian_files_are_read(tmp_path):
    array = np.arange(60, dtype=np.int16).reshape(4, 5, 3)
    nib.save(nib.Nifti2Image(array, TILTED), tmp_path / "two.nii.gz")
    big = nib.Nifti1Image(array, TILTED, header=nib.Nifti1Header(endianness=">"))
    nib.save(big, tmp_path / "big.nii")
    for name in ("two.nii.gz", "big.nii"):
        volume = read_volume(tmp_path / name)
        assert np.array_equal(volume.geometry.orientation.to_native(volume.hu), array)


def test_nrrd_and_nifti_of_itk_agree(tmp_path):
    itk = SimpleITK.GetImageFromArray(np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    itk.SetSpacing((0.5, 0.6, 5))
    itk.SetOrigin((-10, 20, 30))
    itk.SetDirection((-1, 0, 0, 0, 1, 0, 0, 0, 1))
    for name in ("a.nii.gz", "a.nrrd"):
        SimpleITK.WriteImage(itk, str(tmp_path / name))
    first, second = read_volume(tmp_path / "a.nii.gz"), read_volume(tmp_path / "a.nrrd")
    assert np.array_equal(first.hu, second.hu)
    assert np.allclose(first.geometry.affine, second.geometry.affine, atol=1e-5)
    assert first.geometry.affine[0, 0] > 0  # the first axis runs to the right


@pytest.mark.parametrize(
    ("space", "signs"), [("left-posterior-superior", (-1, -1)), ("RAS", (1, 1)), ("left-anterior-superior", (-1, 1))]
)
def test_spaces_of_nrrd_become_ras(tmp_path, space, signs):
    fields = {"space": space, "space directions": np.diag([0.5, 0.6, 5.0]), "space origin": [1, 2, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 5, 3), np.int16), fields)
    affine = read_geometry(tmp_path / "a.nrrd").affine
    assert np.allclose(np.diag(affine), (signs[0] * 0.5, signs[1] * 0.6, 5, 1))
    assert np.allclose(affine[:3, 3], (signs[0] * 1, signs[1] * 2, 3))


def test_written_volumes_are_read_again(tmp_path):
    geometry = Geometry.of((5, 6, 3), TILTED)
    hu = np.arange(90, dtype=np.int16).reshape(3, 6, 5) - 1000
    for name in ("a.nii.gz", "a.nrrd"):
        write_volume(tmp_path / name, Volume(hu, geometry))
        assert np.array_equal(read_volume(tmp_path / name).hu, hu)


def bad_empty(path):
    path.write_bytes(b"")


def bad_text(path):
    path.write_bytes(b"this is no image\n" * 40)


def bad_truncated(path):
    full = path.with_name(f"full-{path.name}")
    write_volume(full, Volume(np.random.default_rng(0).integers(0, 99, (3, 9, 8)).astype(np.int16), _geometry()))
    path.write_bytes(full.read_bytes()[:-100])


def bad_header(path):
    full = path.with_name(f"full-{path.name}")
    write_volume(full, Volume(np.zeros((3, 9, 8), np.int16), _geometry()))
    path.write_bytes(full.read_bytes()[:40])


def bad_4d(path):
    _save(path, np.zeros((5, 6, 3, 2), np.int16))


def bad_nan(path):
    array = np.zeros((5, 6, 3), np.float32)
    array[2, 2, 1] = np.nan
    _save(path, array)


def bad_inf(path):
    _save(path, np.full((5, 6, 3), np.inf, np.float32))


def bad_small(path):
    _save(path, np.zeros((2, 6, 3), np.int16))


def _geometry():
    return Geometry.of((8, 9, 3), TILTED)


def _save(path, array):
    if path.suffix == ".nrrd":
        nrrd.write(str(path), array)
    else:
        write_nifti(path, array)


@pytest.mark.parametrize("name", ["case7.nii.gz", "case7.nii", "case7.nrrd"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (bad_empty, "is empty"),
        (bad_text, "is no |is truncated"),
        (bad_truncated, "is truncated|is damaged"),
        (bad_header, "is truncated|is no "),
        (bad_4d, r"has 4 dimensions \(5 x 6 x 3 x 2\)"),
        (bad_nan, "holds 1 voxels in slice 1 that are NaN"),
        (bad_inf, "in slice 0 that are NaN or infinite"),
        (bad_small, "its slices have 6 x 2 voxels"),
    ],
)
def test_bad_images_are_named_in_one_line(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(InputError, match=f"^{name}: .*({message})") as caught:
        read_volume(tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["c.nii.gz", "c.nrrd"])
def test_colour_images_are_refused(tmp_path, name):
    if name.endswith(".nrrd"):
        fields = {"kinds": ["RGB-color", "domain", "domain"]}
        nrrd.write(str(tmp_path / name), np.zeros((3, 5, 6), np.uint8), fields)
    else:
        rgb = np.zeros((5, 6, 3), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
        write_nifti(tmp_path / name, rgb)
    with pytest.raises(InputError, match="colour"):
        read_volume(tmp_path / name)


def test_a_nrrd_that_names_another_file_is_refused(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(48))
    header = "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 3\nencoding: raw\ndata file: secret\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(96))
    with pytest.raises(InputError, match=r"a.nrrd: keeps its voxels in another file"):
        read_volume(tmp_path / "a.nrrd")


def test_other_encodings_of_nrrd_are_named(tmp_path):
    nrrd.write(str(tmp_path / "a.nrrd"), np.zeros((4, 4, 3), np.int16), {"encoding": "bzip2"})
    with pytest.raises(InputError, match="encoding 'bzip2'"):
        read_volume(tmp_path / "a.nrrd")


def test_a_header_that_claims_too_much_costs_no_memory(tmp_path):
    path = write_nifti(tmp_path / "a.nii", np.zeros((4, 4, 3), np.int16))
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    with pytest.raises(InputError, match="30000 x 30000 x 30000"):
        read_volume(tmp_path / "a.nii.gz")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone.nii: cannot be read \(No such file"):
        read_volume(tmp_path / "gone.nii")


def test_arrays_that_do_not_fit_are_not_written(tmp_path):
    geometry = Geometry.of((4, 5, 6), np.eye(4))
    with pytest.raises(ValueError, match="does not fit"):
        write_volume(tmp_path / "a.nii.gz", Volume(np.zeros((7, 5, 4), np.int16), geometry))
    with pytest.raises(ValueError, match=r"not a.png"):
        write_label(tmp_path / "a.png", LabelMap.background(geometry))
    assert not list(tmp_path.iterdir())
