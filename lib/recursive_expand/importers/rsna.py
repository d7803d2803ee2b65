"""Import RSNA 2019 (Flanders et al., 2020; Kaggle's rsna-intracranial-hemorrhage-detection): slices with their types.

    <SRC>/stage_2_train/ID_12cadc6af.dcm    one CT slice a file, of about 750,000; the file's name is its SOPInstanceUID
    <SRC>/stage_2_train.csv                 ID,Label with rows ID_12cadc6af_epidural,0: five types and `any` an image

SRC may also be the folder above. Cases are single slices, `rsna-12cadc6af`, or whole series put together again by
SeriesInstanceUID and ordered by position, `rsna-series-<hash>`; their role is `image`. What the data set is known for
is taken care of: the file that is cut short (ID_6431af929), images of one grey, repeated rows, and stored values that
claim to be unsigned but are not (`dicom/pixels.py`). Patients are named by the data set's own PatientID (`ID_` and
eight digits), so that those of BHSD and HemSeg, which were made of it, are recognised.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.dicom.files import read_dicom
from recursive_expand.dicom.series import read_series, read_slice
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import check_types
from recursive_expand.importers.header_index import HeaderIndex
from recursive_expand.importers.importer import CaseContent, ImportContext, Importer, PlannedCase
from recursive_expand.importers.pseudonyms import Pseudonyms
from recursive_expand.importers.report import ImportReport
from recursive_expand.importers.rsna_labels import TABLE, read_rsna_labels

IMAGES = "stage_2_train"

KNOWN_CORRUPT = {"ID_6431af929": "is known to be cut short in the data set itself"}

Types = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Sampling:
    """Which slices are imported.

    Attributes:
        single_class: only slices with one type (and clean ones).
        per_class: so many slices of each type; None: all.
        none: so many clean slices; None: all.
        seed: of the choice. It depends on the images that are there and on nothing else.
    """

    single_class: bool = False
    per_class: int | None = None
    none: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class RsnaImporter(Importer):
    """Slices, or series put together again.

    A sampled slice that turns out to be unusable is replaced by the next one in the seeded order, so that the numbers
    are met as long as there are enough.

    Attributes:
        source: the data set's folder.
        classes: the task's class names.
        cases: what becomes a case.
        sampling: which slices; series are imported whole.
    """

    name = "rsna"
    source: Path
    classes: Sequence[str]
    cases: Literal["slices", "series"] = "slices"
    sampling: Sampling = Sampling()

    @property
    def stage(self) -> str:  # type: ignore[override]
        """What its progress is called."""
        return f"importing {self.cases}"

    def plan(self, context: ImportContext) -> Iterator[PlannedCase]:
        """One case an image or a series."""
        check_types(self.classes)
        if self.cases == "series" and self.sampling != Sampling(seed=self.sampling.seed):
            raise InputError("--single-class, --per-class and --none", "choose slices; they do not go with --as series")
        root, report = rsna_root(self.source), context.report
        names = image_files(root)
        labels = read_rsna_labels(root / TABLE, context.on_progress)
        for image, reason in sorted((labels.left_out | KNOWN_CORRUPT).items()):
            if image in names or image in labels.left_out:
                report.leave_out(image, reason)
        types = {image: found for image, found in labels.types.items() if image in names and image not in KNOWN_CORRUPT}
        _note(report, labels.repeated, len(labels.types.keys() - names), len(names - labels.types.keys()))
        if self.cases == "series":
            return _series(root, types, context)
        groups = _groups(types, self.classes, self.sampling)
        context.total = sum(len(images) if most is None else min(most, len(images)) for images, most in groups)
        return chain.from_iterable(_sample(root, images, most, types, context) for images, most in groups)


def rsna_root(source: Path) -> Path:
    """The folder that holds the table and the images.

    Raises:
        InputError: where neither it nor a folder in it is one.
    """
    folders = [source, *sorted(path for path in source.iterdir() if path.is_dir())] if source.is_dir() else []
    for root in folders:
        if (root / TABLE).is_file() and (root / IMAGES).is_dir():
            return root
    raise InputError(source.name or str(source), f"does not hold {IMAGES}/ and {TABLE}; give RSNA 2019's folder")


def image_files(root: Path) -> set[str]:
    """Ids of the images that are there."""
    with os.scandir(root / IMAGES) as entries:
        return {entry.name[:-4] for entry in entries if entry.name.endswith(".dcm")}


def _note(report: ImportReport, repeated: int, without_file: int, without_label: int) -> None:
    if repeated:
        report.note(f"{repeated} rows of {TABLE} repeat others; each counts once")
    if without_file:
        report.note(f"{without_file} images of {TABLE} have no file in {IMAGES}/")
    if without_label:
        report.note(f"{without_label} files in {IMAGES}/ have no usable label in {TABLE}; not imported")


def _groups(types: Types, classes: Sequence[str], sampling: Sampling) -> list[tuple[list[str], int | None]]:
    """Images in seeded order and how many of them to take, by type and then the clean ones.

    Unless single classes are wanted, a slice of several types is in several groups; it is drawn once.
    """
    groups: list[tuple[list[str], int | None]] = []
    ordered = sorted(types)
    for number, name in enumerate([*sorted(classes), None]):
        if name is None:
            images = [image for image in ordered if not types[image]]
        else:
            images = [
                image
                for image in ordered
                if name in types[image] and (len(types[image]) == 1 or not sampling.single_class)
            ]
        order = np.random.default_rng([sampling.seed, number]).permutation(len(images))
        groups.append(([images[i] for i in order], sampling.none if name is None else sampling.per_class))
    return groups


def _sample(
    root: Path, images: Sequence[str], most: int | None, types: Types, context: ImportContext
) -> Iterator[PlannedCase]:
    """One image after the other until `most` are in the studies."""
    taken = 0
    for image in images:
        if most is not None and taken >= most:
            return
        case_id = f"rsna-{image.removeprefix('ID_')}"
        if case_id in context.report.sources:
            continue  # drawn for another of its types
        read = partial(_read_slice, root / IMAGES / f"{image}.dcm", types[image], context.pseudonyms)
        yield PlannedCase(case_id, f"{image}.dcm", read)
        taken += context.report.has(case_id)


def _read_slice(path: Path, types: frozenset[str], pseudonyms: Pseudonyms) -> CaseContent:
    volume, dataset = read_slice(path)
    return CaseContent(
        volume,
        f"{', '.join(sorted(types)) or 'clean'}",
        role=Role.IMAGE,
        patient=pseudonyms.of_rsna(dataset),
        image_labels={None: ImageLabels(types)},
    )


def _series(root: Path, types: Types, context: ImportContext) -> Iterator[PlannedCase]:
    names = [f"{image}.dcm" for image in sorted(types)]
    by_series: dict[str, list[Path]] = {}
    index = HeaderIndex(context.studies / "import-rsna-headers.csv")
    for name, found in index.read(root / IMAGES, names, context.on_progress).items():
        if found.problem:
            context.report.leave_out(name, found.problem)
        else:
            by_series.setdefault(found.series, []).append(root / IMAGES / name)
    context.total = len(by_series)
    for uid, files in sorted(by_series.items()):
        case_id = f"rsna-series-{hashlib.sha256(uid.encode()).hexdigest()[:12]}"
        named = f"{case_id} ({len(files)} files, {files[0].name} is one)"
        read = partial(_read_series, files, types, context.pseudonyms)
        yield PlannedCase(case_id, uid, read, named=named, files=len(files))


def _read_series(files: Sequence[Path], types: Types, pseudonyms: Pseudonyms) -> CaseContent:
    series = read_series(files)
    header = read_dicom(series.files[0], stop_before_pixels=True, specific_tags=["PatientID", "IssuerOfPatientID"])
    labels: dict[int | None, ImageLabels] = {
        number: ImageLabels(types[path.stem]) for number, path in enumerate(series.files)
    }
    present = sorted(frozenset().union(*(label.present for label in labels.values())))
    return CaseContent(
        series.volume,
        f"{series.what}; {', '.join(present) or 'clean'}",
        role=Role.IMAGE,
        patient=pseudonyms.of_rsna(header),
        image_labels=labels,
        facts={"data_set": "RSNA 2019", "images": [path.stem for path in series.files]} | series.facts,
        left_out=series.left_out,
    )
