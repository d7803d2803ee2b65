"""report.py: what importers say of a folder that holds nothing."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from recursive_expand.cases import Role
from recursive_expand.importers.bhsd import import_bhsd
from recursive_expand.importers.cq500 import import_cq500
from recursive_expand.importers.dicom import import_dicom
from recursive_expand.importers.folder import FolderSettings, import_folder
from recursive_expand.importers.slices import SliceSettings, import_slices

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")


@pytest.mark.parametrize(
    ("load", "line"),
    [
        (import_dicom, ".: holds no CT image (0 files were looked at)"),
        (partial(import_folder, settings=FolderSettings(CLASSES, Role.TEST)), ".: holds no scans (.nii.gz, "),
        (partial(import_slices, settings=SliceSettings(CLASSES, 40, 120, Role.TEST)), ".: holds no pictures (.png, "),
        (partial(import_bhsd, classes=CLASSES, role=Role.UNLABELLED), ".: holds no volume"),
        (partial(import_cq500, classes=CLASSES, patients=None), ".: holds no folder CQ500CT<number>"),
    ],
)
def test_the_working_folder_has_a_name_where_it_holds_nothing(tmp_path, monkeypatch, load, line):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("recursive_expand.importers.cq500.read_table", lambda *_: [])
    assert load(Path(), tmp_path / "studies").left_out[0].startswith(line)
