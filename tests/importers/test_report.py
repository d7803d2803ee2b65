"""report.py: what importers say of a folder that holds nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from recursive_expand.cases import Role
from recursive_expand.importers.bhsd import BhsdImporter
from recursive_expand.importers.cq500 import Cq500Importer
from recursive_expand.importers.dicom import DicomImporter
from recursive_expand.importers.folder import FolderImporter, FolderSettings
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.slices import SliceSettings, SlicesImporter

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")


@pytest.mark.parametrize(
    ("load", "line"),
    [
        (DicomImporter, ".: holds no CT image (0 files were looked at)"),
        (partial(FolderImporter, settings=FolderSettings(CLASSES, Role.TEST)), ".: holds no scans (.nii.gz, "),
        (partial(SlicesImporter, settings=SliceSettings(CLASSES, 40, 120, Role.TEST)), ".: holds no pictures (.png, "),
        (partial(BhsdImporter, classes=CLASSES, role=Role.UNLABELLED), ".: holds no volume"),
        (partial(Cq500Importer, classes=CLASSES, patients=None), ".: holds no folder CQ500CT<number>"),
    ],
)
def test_the_working_folder_has_a_name_where_it_holds_nothing(tmp_path, monkeypatch, load, line):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("recursive_expand.importers.cq500.read_table", lambda *_: [])
    assert run_import(load(Path()), tmp_path / "studies").left_out[0].startswith(line)
