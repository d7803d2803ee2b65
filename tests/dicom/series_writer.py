"""Small DICOM CT series, written one attribute at a time."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


class SeriesWriter:
    """A CT series of `count` slices of 6 rows and 5 columns; slice n holds the stored values n * 100 + pixel number."""

    def __init__(self, folder, count=4, step=(0.0, 0.0, 5.0), uid=None, shape=(6, 5)):
        self.folder = folder
        self.rows, self.columns = shape
        folder.mkdir(parents=True, exist_ok=True)
        self.uid = uid or generate_uid(entropy_srcs=[str(folder)])
        self.datasets = [self._slice(number, np.array(step) * number) for number in range(count)]

    def _slice(self, number, position):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[self.uid, str(number)])
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        dataset.SeriesInstanceUID, dataset.Modality = self.uid, "CT"
        dataset.ImageType, dataset.PatientName = ["ORIGINAL", "PRIMARY", "AXIAL"], "Doe^Jane"
        dataset.InstanceNumber, dataset.PixelSpacing = number + 1, [0.5, 0.4]
        dataset.ImagePositionPatient = [-100.0 + position[0], -90.0 + position[1], 10.0 + position[2]]
        dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = self.rows, self.columns, 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
        dataset.PixelData = (self.pixels(number)).astype("<i2").tobytes()
        return dataset

    def pixels(self, number):
        return np.arange(self.rows * self.columns).reshape(self.rows, self.columns) + 100 * number

    def change(self, index=None, **attributes):
        """Set attributes of one slice, or of all; None removes one."""
        for dataset in self.datasets if index is None else [self.datasets[index]]:
            for name, value in attributes.items():
                if value is None:
                    delattr(dataset, name)
                else:
                    setattr(dataset, name, value)
        return self

    def write(self, prefix="slice"):
        for number, dataset in enumerate(self.datasets):
            # Names in an order that is not that of the slices, without extension.
            dataset.save_as(self.folder / f"{prefix}{(number * 7) % 10}", write_like_original=False)
        return self
