"""DICOM SEG, written and read back: by us, by plain pydicom, by highdicom, by dciodvfy."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from recursive_expand.cases import LabelMap
from recursive_expand.dicom.derived import decode, encode
from recursive_expand.dicom.seg import LABEL_MAP_SEGMENTATION, make_seg, read_seg
from recursive_expand.errors import InputError
from recursive_expand.phantom import CLASSES

from .sources import CODING, ORIGIN, REAL, faults, phantom_source, real_source


@pytest.fixture(scope="module", params=["plain", "tilted", "gapped", "rle", "real"])
def source(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("series")
    if request.param == "real":
        if not REAL.is_dir():
            pytest.skip(f"{REAL} is not here")
        return real_source()
    options = {
        "tilted": {"tilt_degrees": 15.0},
        "gapped": {"missing_slice": 3},
        "rle": {"transfer_syntax": RLELossless},
    }
    return phantom_source(folder, **options.get(request.param, {}))


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return phantom_source(tmp_path_factory.mktemp("plain"))


def made(source, label=None, **options):
    label = source.label if label is None else label
    return decode(encode(make_seg(label, source.series, source.headers, CODING, ORIGIN, **options)))


def back(seg, source):
    return read_seg(seg, source.series, source.volume.geometry, CODING)


def by_plain_pydicom(seg, source):
    """As a reader of the standard would: frames to instances, segments to values."""
    index = {uid: number for number, uid in enumerate(source.series.sop_instance_uids)}
    planes = np.zeros((len(index), seg.Rows, seg.Columns), np.uint8)
    frames = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        uid = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        planes[index[uid]][frame > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    return planes


def test_a_mask_comes_back_voxel_for_voxel(source):
    seg = made(source)
    assert np.array_equal(back(seg, source).native, source.label.native)
    planes = source.label.native.T
    assert np.array_equal(by_plain_pydicom(seg, source), planes)
    uids = list(source.series.sop_instance_uids)
    highdicom = hd.seg.Segmentation.from_dataset(seg).get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(highdicom, planes)


def test_the_validator_finds_no_error(source, tmp_path):
    path = tmp_path / "seg.dcm"
    for label in (source.label, source.mask(())):
        path.write_bytes(encode(make_seg(label, source.series, source.headers, CODING, ORIGIN)))
        found = faults(path)
        if found is None:
            pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
        assert found == []


def test_segment_numbers_are_class_values_whatever_is_present(plain):
    seg = made(plain, plain.mask((2, 4)))
    assert [item.SegmentLabel for item in seg.SegmentSequence] == list(CLASSES)
    used = {
        int(g.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for g in seg.PerFrameFunctionalGroupsSequence
    }
    assert used == {2, 4}
    assert back(seg, plain).values == (2, 4)


@pytest.mark.parametrize("values", [(), (5,)])
def test_few_or_no_segments(plain, values):
    label = plain.mask(values)
    seg = made(plain, label)
    assert back(seg, plain).sha256 == label.sha256
    if not values:
        assert seg.NumberOfFrames == len(CLASSES)
        assert not seg.pixel_array.any()


def test_the_same_verdict_makes_the_same_object_and_another_mask_another(plain):
    assert encode(made(plain)) == encode(made(plain))
    other = made(plain, plain.mask((1,)))
    assert other.SOPInstanceUID != made(plain).SOPInstanceUID
    assert made(plain).ContentDate == "20261123"


def test_every_source_instance_is_referenced_and_headers_may_come_in_any_order(plain):
    seg = make_seg(plain.label, plain.series, plain.headers[::-1], CODING, ORIGIN)
    named = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named == set(plain.series.sop_instance_uids)
    segment = seg.SegmentSequence[1]
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == "101"
    assert len(segment.RecommendedDisplayCIELabValue) == 3
    algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
    assert "ab" * 32 in algorithm.AlgorithmParameters


def test_a_name_in_any_script_is_written(plain):
    headers = [copy.deepcopy(header) for header in plain.headers]
    for header in headers:
        header.PatientName, header.SpecificCharacterSet = "Ωmega^Ёж", "ISO_IR 192"
    assert decode(encode(make_seg(plain.label, plain.series, headers, CODING, ORIGIN))).PatientName == "Ωmega^Ёж"


def test_nothing_prints_a_name(plain, caplog, recwarn):
    headers = [copy.deepcopy(header) for header in plain.headers]
    for header in headers:
        header.PatientName = "secret"
    make_seg(plain.label, plain.series, headers, CODING, ORIGIN)
    assert "secret" not in caplog.text
    assert not [warning for warning in recwarn if "secret" in str(warning.message)]


def test_frames_in_another_order_and_by_position_alone(plain):
    seg = made(plain)
    frames = seg.pixel_array[::-1].astype(np.uint8)
    seg.PerFrameFunctionalGroupsSequence = seg.PerFrameFunctionalGroupsSequence[::-1]
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    seg.PixelData = np.packbits(frames.reshape(-1), bitorder="little").tobytes()
    assert back(decode(encode(seg)), plain).sha256 == plain.label.sha256


def test_a_fractional_object_is_cut_at_half(plain):
    label = plain.mask((3,))
    fractions = (label.native.T == 3) * 0.9 + (label.native.T != 3) * 0.2
    seg = hd.seg.Segmentation(
        plain_sources(plain),
        fractions[..., None],
        "FRACTIONAL",
        [hd.seg.SegmentDescription(1, "x", CODING.category.concept, CODING.types[2].concept, "MANUAL")],
        hd.UID(), 1, hd.UID(), 1, "m", "n", "1", "s", max_fractional_value=200,
    )  # fmt: skip
    assert back(decode(encode(seg)), plain).sha256 == label.sha256


def plain_sources(source):
    by_uid = {header.SOPInstanceUID: header for header in source.headers}
    return [by_uid[uid] for uid in source.series.sop_instance_uids]


def test_a_label_map_object_is_read(plain):
    seg = made(plain, plain.mask(()))
    del seg.PixelData
    seg.SOPClassUID = seg.file_meta.MediaStorageSOPClassUID = LABEL_MAP_SEGMENTATION
    seg.SegmentationType = "LABELMAP"
    seg.BitsAllocated = seg.BitsStored = 8
    seg.HighBit = 7
    groups = []
    for number, uid in enumerate(plain.series.sop_instance_uids):
        group = copy.deepcopy(seg.PerFrameFunctionalGroupsSequence[0])
        del group.SegmentIdentificationSequence
        group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID = uid
        group.PlanePositionSequence[0].ImagePositionPatient = list(plain.series.positions[number])
        groups.append(group)
    seg.PerFrameFunctionalGroupsSequence, seg.NumberOfFrames = groups, len(groups)
    seg.add_new("PixelData", "OB", np.ascontiguousarray(plain.label.native.T).tobytes())
    assert back(decode(encode(seg)), plain).sha256 == plain.label.sha256


def test_segments_are_known_by_code_before_label(plain):
    seg = made(plain)
    seg.SegmentSequence[0].SegmentLabel = "subdural"
    assert back(seg, plain).sha256 == plain.label.sha256
    seg.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "0"
    seg.SegmentSequence[0].SegmentLabel = "EPIDURAL"
    assert back(seg, plain).sha256 == plain.label.sha256
    seg.SegmentSequence[0].SegmentLabel = "liver"
    with pytest.raises(InputError, match="segment 1 is none of the classes"):
        back(seg, plain)


def test_overlapping_segments_are_refused(plain):
    seg = made(plain, plain.mask((1, 2)))
    first, last = seg.PerFrameFunctionalGroupsSequence[0], seg.PerFrameFunctionalGroupsSequence[-1]
    last.DerivationImageSequence = copy.deepcopy(first.DerivationImageSequence)
    seg.PixelData = b"\xff" * len(seg.PixelData)
    with pytest.raises(InputError, match="overlap"):
        back(seg, plain)


def test_a_frame_off_every_slice_and_a_turned_one_are_refused(plain):
    seg = made(plain)
    for group in seg.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
        group.PlanePositionSequence[0].ImagePositionPatient[2] += 1
    with pytest.raises(InputError, match="off the nearest slice"):
        back(seg, plain)
    turned = made(plain)
    shared = turned.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
    with pytest.raises(InputError, match="not oriented"):
        back(turned, plain)


def test_a_mask_of_other_values_or_slices_and_missing_instances_are_refused(plain):
    wrong = LabelMap(np.full(plain.volume.geometry.native_shape, 6, np.uint8), plain.volume.geometry, CLASSES)
    with pytest.raises(InputError, match="value 6"):
        make_seg(wrong, plain.series, plain.headers, CODING, ORIGIN)
    with pytest.raises(InputError, match="1 of its 6 instances are gone"):
        make_seg(plain.label, plain.series, plain.headers[1:], CODING, ORIGIN)


def test_an_image_is_no_segmentation(plain):
    with pytest.raises(InputError, match="is no segmentation"):
        back(pydicom.dcmread(plain.files[0]), plain)


def test_dcmqi_reads_an_upright_series_voxel_for_voxel(plain, tmp_path):
    program = shutil.which("segimage2itkimage", path=str(Path(sys.executable).parent)) or shutil.which(
        "segimage2itkimage"
    )
    if program is None:
        pytest.skip("dcmqi is not installed: pip install dcmqi")
    (tmp_path / "seg.dcm").write_bytes(encode(made(plain)))
    options = ["--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path, "--outputType", "nii"]
    subprocess.run([program, *options], check=True, capture_output=True)
    inverse = np.linalg.inv(plain.volume.geometry.affine)
    for value in range(1, len(CLASSES) + 1):
        image = nib.load(tmp_path / f"{value}.nii.gz")
        drawn = np.argwhere(np.asarray(image.dataobj) > 0)
        indices = nib.affines.apply_affine(inverse @ image.affine, drawn)
        assert np.allclose(indices, np.rint(indices), atol=1e-2)
        found = {tuple(index) for index in np.rint(indices).astype(int).tolist()}
        assert found == {tuple(index) for index in np.argwhere(plain.label.native == value).tolist()}
