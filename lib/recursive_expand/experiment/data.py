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
from recursive_expand.archives.identifiers import split_name
from recursive_expand.archives.images import read_label
from recursive_expand.archives.scan import FoundCase
from recursive_expand.archives.tables import CASES, IMAGE_LABELS
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.experiment.config import ExperimentConfig, ImagesAndMasks, PhantomSettings
from recursive_expand.experiment.folds import leave_out, patient_of, patients_to_leave_out
from recursive_expand.ledger.chain import canonical
from recursive_expand.phantom import write_study


@dataclass(frozen=True)
class TestCase:
    """A case on which models are measured.

    Attributes:
        case_id: its name within the test set.
        patient: the patient's name; the case's own name if the patient is unknown.
        image, mask: files.
    """

    __test__ = False  # not a test of pytest's

    case_id: str
    patient: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class ExperimentData:
    """The data of a run; only read.

    Attributes:
        studies: the folder of studies.
        cases: its usable cases; those of the left-out patient have the role `test`.
        truth: true masks of cases without an expert mask, by case id.
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

    def true_mask(self, case_id: str) -> Path:
        """The true mask of a case that gets proposals.

        Raises:
            InputError: there is none.
        """
        try:
            return self.truth[case_id]
        except KeyError:
            raise InputError(f"case {case_id}", "has no true mask for the simulated expert to judge by") from None


def prepare_data(config: ExperimentConfig, classes: Sequence[str], seed: int) -> ExperimentData:
    """Find, or generate, the data of a run.

    Args:
        config: the experiment.
        classes: the task's class names.
        seed: the run's; it matters if phantoms have new heads for each seed, or if a patient is left out.

    Raises:
        InputError: a folder is missing, a case that gets proposals has no true mask, a test set is empty, or a seed has
            no patient to leave out.
    """
    source = config.studies
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
    truth = {} if truth_folder is None else _masks(truth_folder)
    lacking = [c.case_id for c in cases if c.role in (Role.IMAGE, Role.UNLABELLED) and c.case_id not in truth]
    if lacking:
        raise InputError(
            "studies.truth" if truth_folder is None else truth_folder.name,
            f"has no true mask of {len(lacking)} cases that get proposals ({', '.join(lacking[:3])}, ...): the "
            "simulated expert judges by them; add them, or give these cases the role test",
        )
    tests = {name: _test_set(name, where, archive, cases, truth, classes) for name, where in config.tests.items()}
    hashes = {test.mask: _mask(test.mask) for found in tests.values() for test in found}
    patients = {name: _patients(found, hashes) for name, found in tests.items()}
    return ExperimentData(
        studies, cases, truth, tests, patients, _sha256(archive, cases, truth, tests, hashes), left_out
    )


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


def _test_set(
    name: str,
    source: str | Path | ImagesAndMasks,
    archive: FolderArchive,
    cases: Sequence[FoundCase],
    truth: dict[str, Path],
    classes: Sequence[str],
) -> tuple[TestCase, ...]:
    if isinstance(source, ImagesAndMasks):
        images, masks = _masks(source.images), _masks(source.masks)
        found = tuple(TestCase(i, i, images[i], masks[i]) for i in sorted(images.keys() & masks.keys()))
    elif isinstance(source, Path):
        other = FolderArchive(source, classes)
        found = _with_masks(other, other.scan().cases, _masks(source / "labels" / "final"))
    else:
        held_out = [case for case in cases if case.role is Role.TEST]
        drawn = [case.case_id for case in held_out if case.expert_label is not None]
        own = {case_id: archive.label_file(case_id, FINAL) for case_id in drawn}
        found = _with_masks(archive, held_out, truth | own)
    if not found:
        raise InputError(f"test set {name!r}", "holds no case with a mask; docs/experiment.md describes the layout")
    return found


def _with_masks(archive: Archive, cases: Iterable[FoundCase], masks: dict[str, Path]) -> tuple[TestCase, ...]:
    return tuple(
        TestCase(case.case_id, patient_of(case), archive.image_file(case.case_id), masks[case.case_id])
        for case in cases
        if case.case_id in masks
    )


def _masks(folder: Path) -> dict[str, Path]:
    """Files of images or masks, by case id."""
    if not folder.is_dir():
        raise InputError(str(folder), "is not a folder")
    parts = ((split_name(path.name), path) for path in sorted(folder.iterdir()))
    return {name[0]: path for name, path in parts if name is not None and not path.name.startswith(".")}


def _patients(found: Iterable[TestCase], hashes: Mapping[Path, str]) -> dict[str, str]:
    """Hash of every patient; `hashes` are those of the masks' voxels."""
    parts: dict[str, list[object]] = {}
    for test in found:
        with test.image.open("rb") as file:
            image = hashlib.file_digest(file, "sha256").hexdigest()
        parts.setdefault(test.patient, []).append([image, hashes[test.mask]])
    return {patient: hashlib.sha256(canonical(body).encode()).hexdigest() for patient, body in parts.items()}


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
    proposable = [case.case_id for case in cases if case.role in (Role.IMAGE, Role.UNLABELLED)]
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
