"""Multi-frame CT: the same volume as from single slices, and segmentations that refer to its frames."""

from __future__ import annotations

import shutil
import subprocess

import highdicom as hd
import numpy as np
import pydicom
import pytest

from recursive_expand.cases import SeriesReference
from recursive_expand.dicom.coding import uid_of
from recursive_expand.dicom.derived import decode, encode
from recursive_expand.dicom.frames import MULTI_FRAME_CT, frame_headers
from recursive_expand.dicom.seg import make_seg, read_seg
from recursive_expand.dicom.series import read_series
from recursive_expand.dicom.sr import Judgement, assessments, make_sr
from recursive_expand.errors import InputError
from recursive_expand.phantom import make_head, write_dicom_series

from .sources import CODING, ORIGIN, Source, faults, multi_frame


@pytest.fixture(scope="module", params=["upright", "tilted", "backwards", "two instances", "jpeg 2000"])
def both(request, tmp_path_factory):
    """A series as single slices and as multi-frame instances."""
    folder, kind = tmp_path_factory.mktemp("series"), request.param
    tilt = 15.0 if kind == "tilted" else None
    files = write_dicom_series(folder / "single", make_head(3, size=48, slices=6), seed=1, tilt_degrees=tilt)
    made = multi_frame(
        files,
        folder / "multi",
        sop_class=MULTI_FRAME_CT[0] if kind == "tilted" else None,
        order=-1 if kind == "backwards" else 1,
        parts=2 if kind == "two instances" else 1,
    )
    if kind == "jpeg 2000":
        if shutil.which("gdcmconv") is None:
            pytest.skip("gdcmconv is not installed: apt-get install libgdcm-tools")
        subprocess.run(["gdcmconv", "--j2k", made[0], folder / "packed.dcm"], check=True)
        made = [folder / "packed.dcm"]
    return files, Source(made)


def test_the_volume_is_that_of_the_single_slices(both):
    files, source = both
    single = read_series(files).volume
    assert np.array_equal(source.volume.hu, single.hu)
    assert np.allclose(source.volume.geometry.affine, single.geometry.affine, atol=1e-6)
    assert len(source.series.frame_numbers) == len(single.hu)
    assert len(set(source.series.slice_names)) == len(single.hu)
    again = SeriesReference.from_json(source.series.to_json())
    assert again.slice_names == source.series.slice_names


def test_a_segmentation_refers_to_frames_and_comes_back(both, tmp_path):
    _, source = both
    seg = decode(encode(make_seg(source.label, source.series, source.headers, CODING, ORIGIN)))
    assert read_seg(seg, source.series, source.label.geometry, CODING).sha256 == source.label.sha256
    uids = {str(header.SOPInstanceUID) for header in source.headers}
    listed = [str(item.ReferencedSOPInstanceUID) for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence]
    assert sorted(listed) == sorted(uids)
    planes = np.zeros((len(source.volume.hu), seg.Rows, seg.Columns), np.uint8)
    number_of = {name: number for number, name in enumerate(source.series.slice_names)}
    for frame, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        named = group.DerivationImageSequence[0].SourceImageSequence[0]
        assert named.ReferencedSOPClassUID == source.headers[0].SOPClassUID
        number = number_of[str(named.ReferencedSOPInstanceUID), int(named.ReferencedFrameNumber)]
        planes[number][frame > 0] = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    assert np.array_equal(planes, source.label.native.T)
    path = tmp_path / "seg.dcm"
    path.write_bytes(encode(seg))
    assert not faults(path)


def test_highdicom_gives_the_frames_that_were_drawn(both):
    _, source = both
    if len(source.headers) > 1:
        pytest.skip("highdicom reads by frame from one instance alone")
    made = decode(encode(make_seg(source.label, source.series, source.headers, CODING, ORIGIN)))
    seg = hd.seg.Segmentation.from_dataset(made)
    masks = seg.get_pixels_by_source_frame(
        source.series.sop_instance_uids[0],
        list(source.series.frame_numbers),
        combine_segments=True,
        assert_missing_frames_are_empty=True,
    )
    assert np.array_equal(masks, source.label.native.T)


def test_the_report_refers_to_the_instances(both, tmp_path):
    _, source = both
    seg = make_seg(source.label, source.series, source.headers, CODING, ORIGIN)
    report = make_sr(Judgement(True, "anna"), seg, source.series, source.headers, CODING, ORIGIN)
    assert {code for _, code in assessments(report)} == {"ACCEPTED"}
    assert uid_of("frame", *source.series.slice_names[0]) not in str(report)
    path = tmp_path / "sr.dcm"
    path.write_bytes(encode(report))
    assert not faults(path)


def test_functional_groups_that_are_not_those_of_the_frames_are_refused(tmp_path):
    files = write_dicom_series(tmp_path / "single", make_head(3, size=48, slices=4), seed=1)
    (path,) = multi_frame(files, tmp_path / "multi")
    dataset = pydicom.dcmread(path)
    del dataset.PerFrameFunctionalGroupsSequence[0]
    with pytest.raises(InputError, match="4 frames, but says of 3"):
        frame_headers(dataset)
