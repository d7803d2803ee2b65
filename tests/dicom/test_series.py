"""series.py: every voxel at its place in the world, a good copy before a damaged one, and no two patients in one."""

from __future__ import annotations

import gdcm
import numpy as np
import pytest
from pydicom.uid import RLELossless, SecondaryCaptureImageStorage, generate_uid

from recursive_expand.dicom.series import read_series
from recursive_expand.errors import InputError


def files(series):
    return sorted(series.folder.iterdir())


def world(volume):
    """HU by world position, RAS millimetres to 0.01."""
    native = volume.geometry.orientation.to_native(volume.hu)
    indices = np.argwhere(np.ones(native.shape, bool))
    places = np.column_stack([indices, np.ones(len(indices))]) @ volume.geometry.affine[:3].T
    return {
        tuple(np.round(place, 2) + 0.0): int(native[tuple(index)]) for place, index in zip(places, indices, strict=True)
    }


def expected_world(series, numbers):
    """The same, straight from the headers (PS3.3 C.7.6.2.1.1)."""
    found = {}
    for number in numbers:
        dataset = series.datasets[number]
        row, column = (np.array(dataset.ImageOrientationPatient[i : i + 3], float) for i in (0, 3))
        for r in range(dataset.Rows):
            for c in range(dataset.Columns):
                lps = np.array(dataset.ImagePositionPatient) + row * dataset.PixelSpacing[1] * c
                lps = lps + column * dataset.PixelSpacing[0] * r
                found[tuple(np.round(lps * (-1, -1, 1), 2) + 0.0)] = int(series.pixels(number)[r, c])
    return found


@pytest.mark.parametrize("step", [(0, 0, 5), (0, 1.5, 5), (0, 0, -5)])
@pytest.mark.parametrize("orientation", [[1, 0, 0, 0, 1, 0], [-1, 0, 0, 0, 1, 0], [1, 0, 0, 0, -1, 0]])
def test_every_voxel_is_where_its_header_says(make_series, step, orientation):
    series = make_series(step=step).change(ImageOrientationPatient=orientation).write()
    volume = read_series(files(series)).volume
    assert world(volume) == expected_world(series, range(4))
    assert list(volume.series.sop_instance_uids) in (uids(series, range(4)), uids(series, range(3, -1, -1)))


def uids(series, numbers):
    return [series.datasets[number].SOPInstanceUID for number in numbers]


SYNTAXES = {
    "JPEG Lossless": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "JPEG-LS": gdcm.TransferSyntax.JPEGLSLossless,
    "JPEG 2000": gdcm.TransferSyntax.JPEG2000Lossless,
}


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_compressed_series_are_voxel_identical(make_series, syntax, signed):
    # GDCM's own JPEG 2000 encoder needs some size, and its writer makes up what is missing.
    series = make_series(shape=(33, 32)).change(StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.4")
    if not signed:
        series.change(PixelRepresentation=0, BitsStored=12, HighBit=11, RescaleIntercept=-1024)
        for number, dataset in enumerate(series.datasets):
            dataset.PixelData = (series.pixels(number) + 1024).astype("<u2").tobytes()
    series.write()
    for path in files(series):
        compress(path, SYNTAXES[syntax])
    volume = read_series(files(series)).volume
    assert world(volume) == expected_world(series, range(4))


LOSSY = {
    "JPEG Baseline": (gdcm.TransferSyntax.JPEGBaselineProcess1, 8),
    "JPEG Extended": (gdcm.TransferSyntax.JPEGExtendedProcess2_4, 12),
}


@pytest.mark.parametrize("syntax", LOSSY)
def test_lossy_series_are_near(make_series, syntax):
    transfer_syntax, bits = LOSSY[syntax]
    series = make_series(shape=(32, 32)).change(StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.4")
    width = 8 if bits == 8 else 16
    series.change(PixelRepresentation=0, BitsAllocated=width, BitsStored=bits, HighBit=bits - 1, RescaleIntercept=-1000)
    stored = [series.pixels(number) // 8 for number in range(4)]
    for dataset, values in zip(series.datasets, stored, strict=True):
        dataset.PixelData = values.astype(f"<u{width // 8}").tobytes()
    series.write()
    for path in files(series):
        compress(path, transfer_syntax, lossy=True)
    volume = read_series(files(series)).volume
    native = volume.geometry.orientation.to_native(volume.hu)
    assert np.abs(native - (np.stack(stored).transpose(2, 1, 0) - 1000)).max() <= 4


def compress(path, syntax, *, lossy=False):
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    if lossy:
        codec = gdcm.JPEGCodec()
        codec.SetLossless(False)
        codec.SetQuality(95)
        change.SetUserCodec(codec)
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def test_rle_is_voxel_identical(make_series):
    series = make_series()
    for dataset in series.datasets:
        dataset.compress(RLELossless)
    assert world(read_series(files(series.write())).volume) == expected_world(series, range(4))


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"PatientID": "other"}, "2 patients"),
        ({"StudyInstanceUID": "1.2.9"}, "2 studies"),
        ({"FrameOfReferenceUID": "1.2.9"}, "2 frames of reference"),
    ],
)
def test_one_series_uid_for_two_is_refused(make_series, attributes, what):
    series = make_series(count=6).change(PatientID="one", StudyInstanceUID="1.2.3", FrameOfReferenceUID="1.2.4")
    for number in (3, 4, 5):
        series.change(number, **attributes)
    with pytest.raises(InputError, match=f"one SeriesInstanceUID holds images of {what} "):
        read_series(files(series.write()))


def test_a_slice_off_the_line_is_no_tilt(make_series):
    series = make_series().change(2, ImagePositionPatient=[-88, -90, 20])
    with pytest.raises(InputError, match=r"its slices are not on a line: instance 3 is 12\.0 mm off"):
        read_series(files(series.write()))


def test_uneven_spacing_is_told_and_is_no_tilt(make_series):
    series = make_series().change(3, ImagePositionPatient=[-100, -90, 40]).write()
    read = read_series(files(series))
    assert "slices 5.00 to 20.00 mm (uneven) apart" in read.what and "tilt" not in read.what
    assert read.volume.series.tilt_degrees == 0
    assert read.volume.series.slice_spacings_mm.tolist() == [5, 5, 20]


@pytest.mark.parametrize("first", ["good", "damaged"])
def test_a_good_copy_wins_over_a_damaged_one(make_series, first):
    series = make_series().write()
    good = files(series)[2]
    content = good.read_bytes()
    (good.parent / ("a" if first == "damaged" else "z")).write_bytes(content[:-30])
    read = read_series(files(series))
    assert world(read.volume) == expected_world(series, range(4))
    assert good in read.files


def test_a_secondary_capture_costs_itself_alone(make_series):
    series = make_series(count=5)
    capture = series.datasets[4]
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        delattr(capture, name)
    capture.SOPClassUID = SecondaryCaptureImageStorage
    read = read_series(files(series.write()))
    assert world(read.volume) == expected_world(series, range(4))
    assert any("is a secondary capture, no slice" in line for line in read.left_out)


def test_a_damaged_slice_at_the_end_costs_itself_and_one_within_the_series(make_series):
    series = make_series(count=5)
    series.datasets[4].PixelData = series.datasets[4].PixelData[:-20]
    read = read_series(files(series.write()))
    assert world(read.volume) == expected_world(series, range(4))
    assert any("cannot be decoded" in line for line in read.left_out)
    series.datasets[2].PixelData = series.datasets[2].PixelData[:-20]
    with pytest.raises(InputError, match=r"has a hole of 10\.0 mm: slice4 its pixel data"):
        read_series(files(series.write()))


def test_malformed_numbers_cost_their_file(make_series):
    series = make_series(count=5).write()
    path = series.folder / "slice8"  # the last of them
    path.write_bytes(path.read_bytes().replace(b"\x20\x00\x13\x00IS\x02\x005 ", b"\x20\x00\x13\x00IS\x02\x00x "))
    read = read_series(files(series))
    assert world(read.volume) == expected_world(series, range(4))
    assert len(read.left_out) == 1 and "slice8" in read.left_out[0]


def test_another_image_under_the_same_instance_uid_is_no_copy(make_series):
    series = make_series(count=5)
    series.datasets[4].SOPInstanceUID = series.datasets[0].SOPInstanceUID
    series.datasets[4].file_meta.MediaStorageSOPInstanceUID = generate_uid()
    read = read_series(files(series.write()))
    assert world(read.volume) == expected_world(series, range(4))
