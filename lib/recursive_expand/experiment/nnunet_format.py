"""nnU-Net v2's raw format: a run's pixel set and test sets as nnU-Net takes them, and its predictions read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.atomic import write_atomic
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_label, read_volume, write_label, write_volume
from recursive_expand.cases import Geometry, LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.experiment.config import slug
from recursive_expand.experiment.data import ExperimentData
from recursive_expand.segment.predict import Prediction

DATASET = "Dataset501_RecursiveExpand"
"""nnU-Net's name of the pixel set: its number is what its commands take."""
ENDING = ".nii.gz"
_CHANNEL = "_0000"
"""What nnU-Net appends to the name of an image's first channel."""


def write_raw(data: ExperimentData, classes: Sequence[str], folder: Path) -> Path:
    """Write a run's data in nnU-Net's raw format; what is there is kept.

    Images are int16 HU and masks class values, both with their native voxels. nnU-Net is given spacings alone: its
    reader takes no sheared grid (a tilted gantry).

    Args:
        data: the run's; its pixel cases train, its test sets are predicted.
        classes: class names.
        folder: `nnUNet_raw`.

    Returns:
        `folder / DATASET`, with `imagesTr`, `labelsTr`, `imagesTs-<test set>` and `dataset.json`, written last.

    Raises:
        InputError: there is no pixel case, or an image or a mask cannot be used.
    """
    root = folder / DATASET
    archive = FolderArchive(data.studies, classes)
    pixel = [case for case in data.cases if case.role is Role.PIXEL and case.expert_label is not None]
    if not pixel:
        raise InputError("the pixel set", "is empty: nnU-Net needs expert masks to learn from")
    for case in pixel:
        volume, label = check_case(archive, case)
        assert label is not None
        _write_image(root / "imagesTr" / f"{case.case_id}{_CHANNEL}{ENDING}", volume)
        _write_mask(root / "labelsTr" / f"{case.case_id}{ENDING}", label)
    for name, tests in data.tests.items():
        for test in tests:
            path = root / images_folder(name) / f"{test.case_id}{_CHANNEL}{ENDING}"
            if not path.is_file():
                _write_image(path, read_volume(test.image))
    description = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **{name: value for value, name in enumerate(classes, start=1)}},
        "numTraining": len(pixel),
        "file_ending": ENDING,
    }
    write_atomic(root / "dataset.json", json.dumps(description, indent=1).encode())
    return root


def images_folder(name: str) -> str:
    """The folder of a test set's images."""
    return f"imagesTs-{slug(name)}"


class PredictionFiles:
    """Masks that nnU-Net has written, in the place of a predictor.

    Args:
        folder: holds `<case>.nii.gz`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def propose_volumes(self, volumes: Iterable[tuple[str, Volume]]) -> Iterator[tuple[str, Prediction]]:
        """Read the mask of each volume.

        Yields:
            (case id, prediction); of the prediction the mask alone means something.

        Raises:
            InputError: a mask is missing, or has another shape than its image.
        """
        for case_id, volume in volumes:
            path = self._folder / f"{case_id}{ENDING}"
            if not path.is_file():
                raise InputError(
                    path.name, f"nnU-Net has predicted no such case; remove {self._folder} and run it again"
                )
            label = read_label(path, shape=volume.geometry.native_shape)
            mask = np.ascontiguousarray(volume.geometry.orientation.to_slices(label.native))
            nothing = np.full(len(mask), np.nan, np.float32)
            yield case_id, Prediction(mask, np.zeros(mask.shape, np.bool_), nothing, nothing, nothing)


def _write_image(path: Path, volume: Volume) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    upright = _upright(volume.geometry)
    native = volume.geometry.orientation.to_native(volume.hu)
    write_volume(path, Volume(upright.orientation.to_slices(native), upright), fsync=False)


def _write_mask(path: Path, label: LabelMap) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_label(path, LabelMap(label.native, _upright(label.geometry)), fsync=False)


def _upright(geometry: Geometry) -> Geometry:
    """A rectangular grid of the same shape and spacing."""
    spacing = np.linalg.norm(geometry.affine[:3, :3], axis=0)
    return Geometry.of(geometry.native_shape, np.diag([*spacing, 1.0]))
