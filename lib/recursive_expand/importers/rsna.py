"""Import RSNA 2019 (Flanders et al., 2020; Kaggle's rsna-intracranial-hemorrhage-detection): slices with their types.

    <SRC>/stage_2_train/ID_12cadc6af.dcm    one CT slice a file, of about 750,000; the file's name is its SOPInstanceUID
    <SRC>/stage_2_train.csv                 ID,Label with rows ID_12cadc6af_epidural,0: five types and `any` an image

SRC may also be the folder above. Cases are single slices, `rsna-12cadc6af`, or whole series put together again by
SeriesInstanceUID and ordered by position, `rsna-series-<hash>`; their role is `image`. What the data set is known for
is taken care of: the file that is cut short (ID_6431af929), images of one grey, repeated rows, and stored values that
claim to be unsigned but are not (`ct_pixels`). Patients are named by the data set's own PatientID (`ID_` and eight
digits), so that those of BHSD and HemSeg, which were made of it, are recognised.
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
from pydicom import Dataset

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.errors import InputError
from recursive_expand.importers.bleed_types import check_types
from recursive_expand.importers.content import CaseContent, PlannedCase, import_cases
from recursive_expand.importers.header_index import HeaderIndex
from recursive_expand.importers.pseudonyms import patient_of, rsna_patient
from recursive_expand.importers.report import ImportReport, Progress, no_progress
from recursive_expand.importers.rsna_labels import TABLE, read_rsna_labels
from recursive_expand.importers.series import read_dicom, read_series, read_slice

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


def import_rsna(
    source: Path,
    studies: Path,
    classes: Sequence[str],
    *,
    cases: Literal["slices", "series"] = "slices",
    sampling: Sampling | None = None,
    report: Progress = no_progress,
) -> ImportReport:
    """Import slices or series; what is there already is skipped.

    A sampled slice that turns out to be unusable is replaced by the next one in the seeded order, so that the numbers
    are met as long as there are enough.

    Args:
        source: the data set's folder.
        studies: where the cases go; made if missing.
        classes: the task's class names.
        cases: what becomes a case.
        sampling: which slices; series are imported whole.
        report: told of the progress.

    Raises:
        InputError: where the folder is another one, its table cannot be read, or the options do not go together.
    """
    check_types(classes)
    sampling = sampling or Sampling()
    if cases == "series" and sampling != Sampling(seed=sampling.seed):
        raise InputError("--single-class, --per-class and --none", "choose slices; they do not go with --as series")
    root = rsna_root(source)
    done = ImportReport()
    names = image_files(root)
    labels = read_rsna_labels(root / TABLE, report)
    for image, reason in sorted((labels.left_out | KNOWN_CORRUPT).items()):
        if image in names or image in labels.left_out:
            done.leave_out(image, reason)
    types = {image: found for image, found in labels.types.items() if image in names and image not in KNOWN_CORRUPT}
    _note(done, labels.repeated, len(labels.types.keys() - names), len(names - labels.types.keys()))
    if cases == "series":
        studies.mkdir(parents=True, exist_ok=True)
        planned = list(_series(root, types, studies, done, report))
        return import_cases("rsna", planned, studies, done, classes=classes, report=report, stage="importing series")
    groups = _groups(types, classes, sampling)
    chosen = chain.from_iterable(_sample(root, images, most, types, done) for images, most in groups)
    total = sum(len(images) if most is None else min(most, len(images)) for images, most in groups)
    stage = "importing slices"
    return import_cases("rsna", chosen, studies, done, classes=classes, total=total, report=report, stage=stage)


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


def patient_of_rsna(dataset: Dataset) -> str | None:
    """The data set's own pseudonym; a hash where an export has put something else into its place."""
    return rsna_patient(str(dataset.get("PatientID") or "")) or patient_of(dataset)


def _note(done: ImportReport, repeated: int, without_file: int, without_label: int) -> None:
    if repeated:
        done.notes.append(f"{repeated} rows of {TABLE} repeat others; each counts once")
    if without_file:
        done.notes.append(f"{without_file} images of {TABLE} have no file in {IMAGES}/")
    if without_label:
        done.notes.append(f"{without_label} files in {IMAGES}/ have no usable label in {TABLE}; not imported")


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
    root: Path, images: Sequence[str], most: int | None, types: Types, done: ImportReport
) -> Iterator[PlannedCase]:
    """One image after the other until `most` are in the studies."""
    taken = 0
    for image in images:
        if most is not None and taken >= most:
            return
        case_id = f"rsna-{image.removeprefix('ID_')}"
        if case_id in done.sources:
            continue  # drawn for another of its types
        yield PlannedCase(case_id, f"{image}.dcm", partial(_read_slice, root / IMAGES / f"{image}.dcm", types[image]))
        taken += case_id in done.imported or done.skipped[-1:] == [case_id]


def _read_slice(path: Path, types: frozenset[str]) -> CaseContent:
    volume, dataset = read_slice(path)
    return CaseContent(
        volume,
        f"{', '.join(sorted(types)) or 'clean'}",
        role=Role.IMAGE,
        patient=patient_of_rsna(dataset),
        image_labels={None: ImageLabels(types)},
    )


def _series(root: Path, types: Types, studies: Path, done: ImportReport, report: Progress) -> Iterator[PlannedCase]:
    names = [f"{image}.dcm" for image in sorted(types)]
    by_series: dict[str, list[Path]] = {}
    for name, found in HeaderIndex(studies / "import-rsna-headers.csv").read(root / IMAGES, names, report).items():
        if found.problem:
            done.leave_out(name, found.problem)
        else:
            by_series.setdefault(found.series, []).append(root / IMAGES / name)
    for uid, files in sorted(by_series.items()):
        case_id = f"rsna-series-{hashlib.sha256(uid.encode()).hexdigest()[:12]}"
        named = f"{case_id} ({len(files)} files, {files[0].name} is one)"
        yield PlannedCase(case_id, uid, partial(_read_series, files, types), named=named)


def _read_series(files: Sequence[Path], types: Types) -> CaseContent:
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
        patient=patient_of_rsna(header),
        image_labels=labels,
        facts={"data_set": "RSNA 2019", "images": [path.stem for path in series.files]} | series.facts,
        left_out=series.left_out,
    )
