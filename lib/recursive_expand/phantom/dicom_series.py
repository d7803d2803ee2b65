"""Phantoms as DICOM: a CT Image Storage series (PS3.3 A.3) and its scout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
    generate_uid,
)
from skimage.transform import resize

from recursive_expand.errors import InputError
from recursive_expand.phantom.head import Phantom, voxel_to_world

_INTERCEPT = -1024
_SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless)


def write_dicom_series(
    folder: Path,
    phantom: Phantom,
    *,
    seed: int,
    tilt_degrees: float | None = None,
    missing_slice: int | None = None,
    patient_id: str = "PHANTOM",
    transfer_syntax: str = ExplicitVRLittleEndian,
    padding: bool = False,
) -> list[Path]:
    """Write a phantom as a CT series, one file a slice, as GE and Siemens scanners do.

    With a tilted gantry the image's row axis leans while slices follow each other along the table, so positions
    differ in z alone and the volume is sheared.

    Args:
        folder: made if missing.
        phantom: its slices become `IM0001.dcm` and so on, from inferior to superior.
        seed: makes the UIDs; the scout of the same seed and patient belongs to the same study.
        tilt_degrees: of the gantry; None: the phantom's own. Another one changes positions, not voxels.
        missing_slice: index of a slice that is left out: a gap in the series.
        patient_id: PatientID and PatientName.
        transfer_syntax: UID of explicit, implicit or deflated little endian or RLE.
        padding: voxels outside the round field of view hold PixelPaddingValue 0.

    Returns:
        The files, by slice.

    Raises:
        InputError: for another transfer syntax or a missing slice that is not there.
    """
    count, size, _ = phantom.hu.shape
    if missing_slice is not None and not 0 <= missing_slice < count:
        raise InputError(f"missing_slice {missing_slice}", f"must be a slice of the phantom, 0 to {count - 1}")
    tilt = phantom.tilt if tilt_degrees is None else tilt_degrees
    step, pixel, _ = phantom.spacing
    # RAS to LPS, DICOM's patient coordinates (PS3.3 C.7.6.2.1.1).
    lps = np.diag([-1.0, -1, 1, 1]) @ voxel_to_world(size, pixel, step, np.radians(tilt))
    outside = _outside_field_of_view(size)
    paths = []
    for index, hu in enumerate(phantom.hu):
        if index == missing_slice:
            continue
        dataset = _dataset(seed, patient_id, transfer_syntax, series="axial", instance=index + 1)
        dataset.SeriesNumber = 2
        dataset.SeriesDescription = "HEAD AXIAL"
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.GantryDetectorTilt = round(tilt, 4)
        dataset.SliceThickness = phantom.thickness
        position = lps @ (0, 0, index, 1)
        _place(dataset, position[:3], lps[:3, 0] / pixel, lps[:3, 1] / pixel, (pixel, pixel))
        dataset.SliceLocation = round(float(position[2]), 4)
        stored = (hu.astype(np.int32) - _INTERCEPT).clip(0, 4095).astype(np.uint16)
        if padding:
            stored[outside] = 0
            dataset.PixelPaddingValue = 0
        paths.append(_write(folder / f"IM{index + 1:04d}.dcm", dataset, stored, transfer_syntax))
    return paths


def write_scout(
    folder: Path,
    phantom: Phantom,
    *,
    seed: int,
    patient_id: str = "PHANTOM",
    transfer_syntax: str = ExplicitVRLittleEndian,
) -> Path:
    """Write the lateral localizer of a phantom's study: CT Image Storage as well, but no slice.

    Args:
        folder: made if missing.
        phantom: seen from its side.
        seed: as for the series.
        patient_id: as for the series.
        transfer_syntax: as for the series.

    Returns:
        The file, `SCOUT.dcm`.
    """
    count, size, _ = phantom.hu.shape
    step, pixel, _ = phantom.spacing
    seen = phantom.hu.mean(axis=2)[::-1]
    height = max(2, round(count * step / pixel))
    picture = resize(seen, (height, size), order=1, preserve_range=True).clip(_INTERCEPT, 3071)
    dataset = _dataset(seed, patient_id, transfer_syntax, series="scout", instance=1)
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = "SCOUT"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    dataset.SliceThickness = None
    middle = (size - 1) / 2 * pixel
    corner = np.array([0, -middle, (count - 1) * step])
    _place(dataset, corner, np.array([0.0, 1, 0]), np.array([0.0, 0, -1]), (pixel, pixel))
    stored = (np.rint(picture).astype(np.int32) - _INTERCEPT).astype(np.uint16)
    return _write(folder / "SCOUT.dcm", dataset, stored, transfer_syntax)


def _dataset(seed: int, patient_id: str, transfer_syntax: str, *, series: str, instance: int) -> FileDataset:
    if transfer_syntax not in _SYNTAXES:
        raise InputError(
            f"transfer syntax {transfer_syntax}", f"must be one of {', '.join(uid.name for uid in _SYNTAXES)}"
        )
    study = ["recursive_expand phantom", str(seed), patient_id]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[*study, series, str(instance)])
    # pydicom encodes from, and then renames, a native syntax.
    meta.TransferSyntaxUID = UID(ExplicitVRLittleEndian if transfer_syntax == RLELossless else transfer_syntax)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian = True
    dataset.is_implicit_VR = transfer_syntax == ImplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=study)
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=[*study, series])
    dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=[*study, "frame of reference"])
    dataset.PatientID = dataset.PatientName = patient_id
    dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = ""
    dataset.StudyID = dataset.AccessionNumber = ""
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = "20200101"
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = "120000"
    dataset.Modality = "CT"
    dataset.Manufacturer = "recursive_expand"
    dataset.ManufacturerModelName = "phantom"
    dataset.BodyPartExamined = "HEAD"
    dataset.PatientPosition = "HFS"
    dataset.PositionReferenceIndicator = "OM"
    dataset.KVP = 120
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = instance
    return dataset


def _place(
    dataset: FileDataset,
    position: NDArray[np.float64],
    along_row: NDArray[np.float64],
    along_column: NDArray[np.float64],
    spacing: tuple[float, float],
) -> None:
    # 10 decimals: a DS holds 16 characters (PS3.5 6.2).
    dataset.ImagePositionPatient = [round(float(value), 8) + 0.0 for value in position]
    dataset.ImageOrientationPatient = [round(float(value), 10) + 0.0 for value in (*along_row, *along_column)]
    dataset.PixelSpacing = [round(value, 10) for value in spacing]


def _write(path: Path, dataset: FileDataset, stored: NDArray[np.uint16], transfer_syntax: str) -> Path:
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, _INTERCEPT, "HU"
    dataset.WindowCenter, dataset.WindowWidth = 40, 80
    dataset.PixelData = stored.tobytes()
    if transfer_syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, write_like_original=False)
    return path


def _outside_field_of_view(size: int) -> NDArray[np.bool_]:
    axis = np.arange(size) - (size - 1) / 2
    return axis[:, None] ** 2 + axis[None, :] ** 2 > (size / 2) ** 2
