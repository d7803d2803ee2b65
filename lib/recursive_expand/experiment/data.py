"""The experiment's data: the cases that the recursion works on, their true masks, and the test sets."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recursive_expand.archives.archive import FINAL, Archive
from recursive_expand.archives.atomic import atomic_path
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_geometry, read_label
from recursive_expand.archives.scan import FoundCase
from recursive_expand.archives.tables import CASES, IMAGE_LABELS
from recursive_expand.cases import LabelMap, Role
from recursive_expand.errors import InputError
from recursive_expand.expand.constraints import allowed_classes, is_clean
from recursive_expand.experiment.config import ExperimentConfig, PhantomSettings
from recursive_expand.experiment.folds import leave_out, patients_to_leave_out
from recursive_expand.experiment.test_sets import TestCase, find_test_set, mask_files, patient_hashes
from recursive_expand.ledger.chain import canonical
from recursive_expand.phantom import write_study

_PROPOSABLE = (Role.IMAGE, Role.UNLABELLED)
"""Roles of the cases that get proposals."""


@dataclass(frozen=True)
class ExperimentData:
    """The data of a run; only read.

    Attributes:
        studies: the folder of studies.
        cases: its usable cases; those of the left-out patient have the role `test`.
        truth: true masks of cases without an expert mask, by case id.
        unjudged: ids of the cases that are left out, since no simulated expert could judge them.
        tests: test sets by name.
        patients: for every test set, by patient: hash over the files of the images and the voxels of the masks.
            A patient has the same hash in every run; different patients with the same name have different hashes.
        sha256: hash over names, sizes and roles of all images, the voxels of all masks, and the tables.
        left_out: the patient left out in this run, if any.
    """

    studies: Path
    cases: tuple[FoundCase, ...]
    truth: dict[str, Path]
    tests: dict[str, tuple[TestCase, ...]]
    patients: dict[str, dict[str, str]]
    sha256: str
    left_out: str | None = None
    unjudged: tuple[str, ...] = ()

    def true_mask(self, case_id: str) -> LabelMap:
        """The true mask of a case that gets proposals; without a file it is labelled clean."""
        if case_id in self.truth:
            return read_label(self.truth[case_id])
        return LabelMap.background(read_geometry(FolderArchive(self.studies).image_file(case_id)))


def prepare_data(config: ExperimentConfig, classes: Sequence[str], seed: int) -> ExperimentData:
    """Find, or generate, the data of a run.

    Args:
        config: the experiment.
        classes: the task's class names.
        seed: the run's; it matters if phantoms have new heads for each seed, or if a patient is left out.

    Raises:
        InputError: a folder is missing, no case can be judged, a test set is empty, or a seed has no patient to leave
            out.
    """
    source = config.studies
    if source.workspace is not None:
        return _of_workspace(config, classes)
    studies, truth_folder = source.folder, source.truth
    if source.phantom is not None:
        studies, truth_folder = _phantoms(source.phantom, config.output / "data", seed)
    assert studies is not None
    archive = FolderArchive(studies, classes)
    cases = tuple(archive.scan().cases)
    left_out = None
    if source.leave_one_patient_out:
        left_out = _left_out(cases, seed, config.seeds)
        cases = leave_out(cases, left_out)
    truth = {} if truth_folder is None else mask_files(truth_folder)
    # Without recursions nobody judges anything.
    judged_by_truth = config.reviewers != "people" and config.max_rounds > 0
    unjudged = _unjudged(archive, cases, truth) if judged_by_truth else ()
    if unjudged:
        cases = tuple(case for case in cases if case.case_id not in unjudged)
        if not any(case.role in _PROPOSABLE for case in cases):
            raise InputError(
                "studies.truth" if truth_folder is None else truth_folder.name,
                f"has a true mask of none of the {len(unjudged)} cases that get proposals ({', '.join(unjudged[:3])}, "
                "...), by which the simulated expert judges: add some, let people review (reviewers: people), or "
                "measure round 0 alone (max_rounds: 0)",
            )
    tests = {name: find_test_set(name, where, archive, cases, truth, classes) for name, where in config.tests.items()}
    hashes = {test.mask: _mask(test.mask) for found in tests.values() for test in found}
    patients = {name: patient_hashes(found, hashes) for name, found in tests.items()}
    sha256 = _sha256(archive, cases, truth, tests, hashes)
    return ExperimentData(studies, cases, truth, tests, patients, sha256, left_out, unjudged)


def _of_workspace(config: ExperimentConfig, classes: Sequence[str]) -> ExperimentData:
    """The test sets of a study that people review; of its own folder, which may be elsewhere, all that is found now."""
    folder = config.studies.folder
    archive = None if folder is None else FolderArchive(folder, classes)
    cases = () if archive is None else tuple(archive.scan().cases)
    tests = {name: find_test_set(name, where, archive, cases, {}, classes) for name, where in config.tests.items()}
    hashes = {test.mask: _mask(test.mask) for found in tests.values() for test in found}
    patients = {name: patient_hashes(found, hashes) for name, found in tests.items()}
    sha256 = hashlib.sha256(canonical(patients).encode()).hexdigest()
    return ExperimentData(folder or config.output, cases, {}, tests, patients, sha256)


def write_view(data: ExperimentData, folder: Path) -> None:
    """Make a run's own studies folder: hard links to the images, and copies of the files that a server writes to.

    Masks of test cases are not copied: a server does not need them. A left-out patient has the role test in cases.csv.

    Args:
        data: the run's data.
        folder: created if missing; existing files are kept.
    """
    labels = folder / "labels" / "final"
    labels.mkdir(parents=True, exist_ok=True)
    archive = FolderArchive(data.studies)
    for case in data.cases:
        image = archive.image_file(case.case_id)
        _link(image, folder / image.name)
        if case.role is Role.PIXEL and case.expert_label is not None:
            mask = archive.label_file(case.case_id, FINAL)
            _copy(mask, labels / mask.name)
    if data.left_out is not None:
        _write_roles(folder / CASES, data.cases)  # before the tables are copied: existing files are kept
    for table in (CASES, IMAGE_LABELS):
        if (data.studies / table).is_file():
            _copy(data.studies / table, folder / table)


def _unjudged(archive: FolderArchive, cases: Iterable[FoundCase], truth: Mapping[str, Path]) -> tuple[str, ...]:
    """Cases that get proposals and whose blood nobody knows: they have no true mask, and are not labelled clean."""
    lacking = (case for case in cases if case.role in _PROPOSABLE and case.case_id not in truth)
    return tuple(
        case.case_id
        for case in lacking
        if not is_clean(allowed_classes(case.image_labels, read_geometry(archive.image_file(case.case_id)).shape[0]))
    )


def _write_roles(path: Path, cases: Iterable[FoundCase]) -> None:
    """Write cases.csv with the roles of this run."""
    if path.exists():
        return
    rows = [("case_id", "role", "patient"), *((case.case_id, case.role, case.patient) for case in cases)]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _left_out(cases: Sequence[FoundCase], seed: int, seeds: Sequence[int]) -> str:
    """The patient that a seed leaves out; all seeds of the experiment are checked, before the first run."""
    patients = patients_to_leave_out(cases)
    for number in (seed, *seeds):
        if number not in range(len(patients)):
            raise InputError(
                f"seed {number}",
                f"has no patient to leave out: there are {len(patients)} with expert masks, "
                f"so seeds are 0 to {len(patients) - 1}",
            )
    return patients[seed]


def _phantoms(settings: PhantomSettings, folder: Path, seed: int) -> tuple[Path, Path]:
    """Studies and true masks, generated once."""
    number = settings.seed + (seed if settings.new_heads_per_seed else 0)
    made = folder / f"phantom-{number}"
    if not made.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f".phantom-{number}.tmp"
        shutil.rmtree(unfinished, ignore_errors=True)
        parameters = settings.model_dump(exclude={"seed", "new_heads_per_seed"})
        write_study(unfinished / "studies", seed=number, **parameters).save(unfinished / "truth")
        unfinished.rename(made)
    return made / "studies", made / "truth"


def _sha256(
    archive: FolderArchive,
    cases: Sequence[FoundCase],
    truth: dict[str, Path],
    tests: dict[str, tuple[TestCase, ...]],
    hashes: Mapping[Path, str],
) -> str:
    tables = {
        name: hashlib.sha256((archive.studies / name).read_bytes()).hexdigest()
        for name in (CASES, IMAGE_LABELS)
        if (archive.studies / name).is_file()
    }
    proposable = [case.case_id for case in cases if case.role in _PROPOSABLE and case.case_id in truth]
    body = {
        "cases": [[*_image(archive.image_file(case.case_id)), case.role, _expert(archive, case)] for case in cases],
        "truth": [[case_id, _mask(truth[case_id])] for case_id in proposable],
        "tests": {
            name: [[*_image(t.image), t.patient, hashes[t.mask]] for t in found] for name, found in tests.items()
        },
        "tables": tables,
    }
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def _mask(path: Path) -> str:
    return read_label(path).sha256


def _expert(archive: Archive, case: FoundCase) -> str | None:
    return None if case.expert_label is None else _mask(archive.label_file(case.case_id, FINAL))


def _image(path: Path) -> list[object]:
    return [path.name, path.stat().st_size]


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    if not target.exists():
        with atomic_path(target) as temporary:  # an interrupted copy would pass for the file
            shutil.copyfile(source, temporary)
