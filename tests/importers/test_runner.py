"""runner.py: nothing that goes wrong with one case costs another, and an import that ended goes on."""

from __future__ import annotations

import csv
import errno
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_volume, write_volume
from recursive_expand.cases import Geometry, ImageLabels, LabelMap, Role, Volume
from recursive_expand.errors import InputError
from recursive_expand.importers import batches
from recursive_expand.importers.importer import CaseContent, Importer, PlannedCase
from recursive_expand.importers.report import LeftOut
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.studies_folder import LOCK, StudiesError

CLASSES = ("epidural", "subdural")
GEOMETRY = Geometry.of((5, 6, 3), np.diag([-0.5, -0.5, 5, 1]))


def content(value=0, **changes):
    hu = np.full(GEOMETRY.shape, value, np.int16)
    hu[:, 0] = -1000
    return CaseContent(Volume(hu, GEOMETRY), "a case", **changes)


def mask(value=2, voxels=4):
    drawn = np.zeros(GEOMETRY.shape, np.uint8)
    drawn[1, 3, :voxels] = value
    return LabelMap.from_slices(drawn, GEOMETRY, CLASSES)


@dataclass(frozen=True)
class Given(Importer):
    """Imports what it is given: content, or what reading raises."""

    name = "given"
    cases: dict = field(default_factory=dict)
    classes: tuple = CLASSES

    def plan(self, context):
        return [
            PlannedCase(case_id, f"{case_id}.src", lambda found=found: self._read(found))
            for case_id, found in self.cases.items()
        ]

    def _read(self, found):
        if isinstance(found, BaseException):
            raise found
        return found


@pytest.fixture
def studies(tmp_path):
    return tmp_path / "studies"


def ids(studies):
    return [case.case_id for case in FolderArchive(studies, CLASSES).scan().cases]


@pytest.mark.parametrize(
    "error", [ValueError("Doe^Jane"), KeyError("x"), MemoryError(), RecursionError(), OSError(5, "I/O error")]
)
def test_any_exception_of_one_case_is_a_line(studies, error):
    report = run_import(Given({"a": content(), "b": error, "c": content()}), studies)
    assert list(report.imported) == ids(studies) == ["a", "c"]
    (line,) = report.details
    assert (line.code, line.case_id, line.source) == (LeftOut.FAILED, "b", "b.src")
    assert line.reason.startswith("cannot be read (") and "Doe" not in line.reason and "\n" not in line.reason


def test_reasons_are_coded(studies):
    report = run_import(Given({"a": InputError("a.src", "is bad"), "b": content()}), studies)
    assert [(line.code, line.reason) for line in report.details] == [(LeftOut.UNUSABLE, "is bad")]


def test_texts_that_are_not_utf_8_and_control_characters_are_escaped(studies):
    name = b"caf\xe9\x1b[31m".decode("utf-8", "surrogateescape")
    report = run_import(Given({"a": InputError(name, "is bad"), "b": content(left_out=[name])}), studies)
    assert report.left_out == ["a.src: caf\\udce9\\x1b[31m: is bad", "b: caf\\udce9\\x1b[31m"]
    assert "caf\\udce9" in (studies / "import-given.csv").read_text()


@pytest.mark.parametrize("after", [0, 1, 5, 70])
def test_a_full_disk_ends_the_run_with_one_line_and_a_later_run_goes_on(studies, monkeypatch, after):
    cases = {
        f"c{number:03d}": content(number, role=Role.PIXEL, mask=mask(), patient=f"p{number}") for number in range(80)
    }

    def full(path, volume, **options):
        # Two threads write: which of them comes first is not known.
        if int(path.name[1:4]) >= after:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_volume(path, volume, **options)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "write_volume", full)
        with pytest.raises(StudiesError, match="studies: the disk is full; what is imported stays: make room") as ended:
            run_import(Given(cases), studies)
    assert "\n" not in str(ended.value)
    there = ids(studies)
    assert there == sorted(cases)[: len(there)] and len(there) == after
    report = run_import(Given(cases), studies)
    assert sorted(report.skipped) == there and len(report.imported) == 80 - len(there)
    assert ids(studies) == sorted(cases)
    assert int(read_volume(studies / "c079.nii.gz").hu.max()) == 79
    assert not (studies / ".recursive-import").exists()


def test_a_disk_that_is_full_from_the_start_is_one_line(studies, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("recursive_expand.importers.report.write_atomic", full)
    monkeypatch.setattr("recursive_expand.importers.study_tables._append", full)
    with pytest.raises(StudiesError, match="the disk is full"):
        run_import(Given({"a": content(role=Role.IMAGE)}), studies)
    assert not list(studies.glob("*.nii.gz"))


def test_two_imports_at_once_are_refused(studies):
    studies.mkdir()
    with FileLock(studies / LOCK), pytest.raises(StudiesError, match="another import is writing into this folder"):
        run_import(Given({"a": content()}), studies)
    assert ids(studies) == []
    assert list(run_import(Given({"a": content()}), studies).imported) == ["a"]


def rows(studies, table):
    with (studies / table).open() as file:
        return list(csv.reader(file))[1:]


def test_an_image_that_is_removed_is_imported_anew_with_its_rows(studies):
    labels = {0: ImageLabels(frozenset({"subdural"})), 2: ImageLabels(frozenset())}
    run_import(
        Given(
            {
                "a": content(role=Role.IMAGE, patient="p", image_labels=labels),
                "b": content(role=Role.IMAGE, patient="q"),
            }
        ),
        studies,
    )
    (studies / "a.nii.gz").unlink()
    shifted = {1: ImageLabels(frozenset({"epidural"}))}
    report = run_import(
        Given({"a": content(role=Role.IMAGE, patient="p2", image_labels=shifted), "b": content()}), studies
    )
    assert "a: its row in cases.csv said image, p; it says image, p2 now" in report.notes
    assert rows(studies, "cases.csv") == [["a", "image", "p2"], ["b", "image", "q"]]
    assert rows(studies, "image_labels.csv") == [["a", "1", "1", "0"]]


def test_a_patient_cannot_come_into_two_roles_by_importing_anew(studies):
    run_import(Given({"a": content(role=Role.IMAGE, patient="p"), "b": content(role=Role.TEST, patient="q")}), studies)
    (studies / "a.nii.gz").unlink()
    report = run_import(Given({"a": content(role=Role.IMAGE, patient="q")}), studies)
    assert [(line.code, line.reason) for line in report.details] == [
        (LeftOut.ROLES, "its patient q has cases in another role than image: test (b)")
    ]
    assert ids(studies) == ["b"]
    assert rows(studies, "cases.csv")[1] == ["b", "test", "q"]


def test_a_mask_from_before_is_no_mask_of_what_comes_now(studies):
    run_import(Given({"a": content(role=Role.PIXEL, mask=mask())}), studies)
    (studies / "a.nii.gz").unlink()
    report = run_import(Given({"a": content(role=Role.IMAGE)}), studies)
    assert "labels/final/a.nii.gz: holds a mask of this case from before" in report.left_out[0]
    assert list(run_import(Given({"a": content(role=Role.PIXEL, mask=mask(1))}), studies).imported) == ["a"]


def test_the_report_has_voxels_millilitres_and_hu(studies):
    report = run_import(
        Given({"a": content(60, role=Role.PIXEL, mask=mask(2)), "b": content(60, role=Role.PIXEL, mask=mask(1, 2))}),
        studies,
    )
    assert report.measured["a"] == "subdural 4 voxels, 0.01 mL; HU 1 % -1000, 50 % 60, 99 % 60"
    assert report.summary == [
        "marked: epidural 2 voxels, 0.0 mL in 1 cases",
        "marked: subdural 4 voxels, 0.0 mL in 1 cases",
        "imported voxels: HU 1 % -1000, 50 % 60, 99 % 60",
    ]
    text = (studies / "import-given.csv").read_text()
    assert "a case; subdural 4 voxels" in text and "note,,,imported voxels" in text.replace('"', "")
    assert (studies / "import-given.png").read_bytes().startswith(b"\x89PNG")
    again = run_import(Given({"a": content(), "b": content()}), studies)
    assert again.skipped == ["a", "b"] and (studies / "import-given.csv").read_text() == text


def test_marks_that_are_no_blood_and_volumes_without_air_are_said(studies):
    without_air = content()
    without_air = CaseContent(Volume(np.full(GEOMETRY.shape, 40, np.int16), GEOMETRY), "a case")
    report = run_import(Given({"a": content(500, role=Role.PIXEL, mask=mask()), "b": without_air}), studies)
    assert report.summary[-2:] == [
        "look at a: most marked voxels are outside -10 to 120 HU: is the mask another scan's, or turned?",
        "look at b: never below -500 HU, so that there is no air: are these HU, or a window's grey values?",
    ]


def test_leftovers_of_a_killed_run_are_swept(studies):
    (studies / ".recursive-import").mkdir(parents=True)
    (studies / ".recursive-import" / "a.image.nii.gz").write_bytes(b"half")
    assert list(run_import(Given({"a": content()}), studies).imported) == ["a"]
    assert not (studies / ".recursive-import").exists()


def test_a_killed_import_leaves_no_case_half_there(tmp_path, studies):
    program = (
        "import sys; from pathlib import Path\n"
        "from recursive_expand.importers.slices import SliceSettings, SlicesImporter\n"
        "from recursive_expand.importers.runner import run_import\n"
        "from recursive_expand.cases import Role\n"
        "settings = SliceSettings(('epidural', 'subdural'), 40, 120, Role.TEST, mask_class='subdural')\n"
        "run_import(SlicesImporter(Path(sys.argv[1]), settings, Path(sys.argv[2])), Path(sys.argv[3]))\n"
    )
    pictures, masks = tmp_path / "pictures", tmp_path / "masks"
    for folder in (pictures, masks):
        folder.mkdir()
        for number in range(400):
            Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(folder / f"{number:03d}.png")
    command = [sys.executable, "-c", program, str(pictures), str(masks), str(studies)]
    running = subprocess.Popen(command)
    while running.poll() is None and len(list(studies.glob("*.nii.gz"))) < 100:
        time.sleep(0.001)
    running.kill()
    running.wait()
    there = {path.name for path in studies.glob("*.nii.gz")}
    assert 0 < len(there) <= 400
    listed = {row[0] for row in rows(studies, "cases.csv")}
    assert there <= {f"{case_id}.nii.gz" for case_id in listed}  # a row before its image, never after
    assert there <= {path.name for path in studies.glob("labels/final/*.nii.gz")}
    subprocess.run(command, check=True)
    assert len(ids(studies)) == 400 and len(rows(studies, "cases.csv")) == 400
    assert {case.role for case in FolderArchive(studies, CLASSES).scan().cases} == {Role.TEST}
