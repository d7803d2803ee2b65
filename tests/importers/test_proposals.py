"""Masks of other tools: whose they are, what is left out and why, and what becomes of their values."""

import csv
import hashlib

import numpy as np
import pytest

from recursive_expand.archives.images import write_label
from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.errors import InputError
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.importers.proposals import MaskSettings, import_proposals
from recursive_expand.importers.report import LeftOut

TOOL = "BLAST-CT 2.0"


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    return folder


@pytest.fixture
def write(masks, recursion):
    """Write a mask of a case's grid, or another's; all of its middle slice's centre has this value."""

    def _write(name, value=2, geometry=None):
        geometry = geometry or Geometry.of((48, 48, 3), np.diag([-4.0, -4.0, 5.0, 1.0]))
        mask = np.zeros(geometry.shape, np.uint8)
        mask[1, 20:28, 20:28] = value
        path = masks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label(path, LabelMap.from_slices(mask, geometry), fsync=False)
        return path

    return _write


def codes(report):
    return [(line.code, line.case_id) for line in report.details]


@pytest.mark.parametrize(
    "name",
    ["i0.nii.gz", "i0.nrrd", "i0_prediction.nii.gz", "i0_seg.nii", "i0/intracerebral_hemorrhage.nii.gz", "a/i0.nii.gz"],
)
def test_a_mask_is_of_the_case_that_it_or_its_folder_is_called_as(recursion, masks, write, name):
    path = write(name)
    report = import_proposals(recursion, masks, MaskSettings(TOOL))
    assert (list(report.imported), report.left_out) == (["i0"], [])
    proposal = recursion.ledger.proposals.current("i0")
    assert (proposal.tool, proposal.model_sha256) == (TOOL, hashlib.sha256(path.read_bytes()).hexdigest())
    assert (proposal.slices, proposal.voxels) == ((1,), {"intraparenchymal": 64})
    again = import_proposals(recursion, masks, MaskSettings(TOOL))
    assert (again.skipped, list(again.imported), again.left_out) == (["i0"], [], [])


def test_nnunet_drops_what_it_puts_behind_its_scans(recursion, masks, write):
    studies = recursion.archive.studies
    (studies / "u0.nii.gz").rename(studies / "u0_0000.nii.gz")
    (studies / "cases.csv").write_text("case_id,role\nu0_0000,unlabelled\n")
    write("u0.nii.gz")
    assert list(import_proposals(recursion, masks, MaskSettings("nnU-Net 2.5")).imported) == ["u0_0000"]


def test_each_mask_that_does_not_do_is_left_out_with_a_code(recursion, masks, write):
    spaced = Geometry.of((48, 48, 3), np.diag([-4.0, -4.0, 9.0, 1.0]))
    write("nobody.nii.gz")
    write("p0.nii.gz")
    write("t0.nii.gz")
    write("i0.nii.gz", geometry=spaced)
    write("i1.nii.gz", value=9)
    write("u0.nii.gz")
    write("b/u0.nii.gz")
    report = import_proposals(recursion, masks, MaskSettings(TOOL))
    assert set(codes(report)) == {
        (LeftOut.NO_CASE, ""),
        (LeftOut.NOT_JUDGED, "p0"),
        (LeftOut.NOT_JUDGED, "t0"),
        (LeftOut.OTHER_GRID, "i0"),
        (LeftOut.OTHER_VALUES, "i1"),
        (LeftOut.SEVERAL, "u0"),
    }
    assert recursion.ledger.rounds.current() is None  # nothing was imported: the first round can still train
    with (recursion.archive.studies / "import-proposals.csv").open(encoding="utf-8") as file:
        assert [row["outcome"] for row in csv.DictReader(file)] == ["left out"] * 6


def test_a_mask_turned_round_is_turned_back(recursion, masks, write):
    straight = write("i0.nii.gz")
    turned = Geometry.of((48, 48, 3), np.array([[4.0, 0, 0, -188], [0, 4.0, 0, -188], [0, 0, 5, 0], [0, 0, 0, 1]]))
    mask = np.zeros((48, 48, 3), np.uint8)
    mask[2:9, 4:7, 1] = 2  # native axes; index i of the scan is 47 - i here
    write_label(straight, LabelMap(mask, turned), fsync=False)
    assert import_proposals(recursion, masks, MaskSettings(TOOL)).left_out == []
    proposal = recursion.ledger.proposals.current("i0")
    frozen = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes)
    np.testing.assert_array_equal(frozen.native, mask[::-1, ::-1])


def test_values_become_classes_by_the_command_line_s_table(recursion, masks, write):
    """BLAST-CT's: 1 intraparenchymal, 2 extra-axial, 3 oedema, 4 intraventricular."""
    values = {1: "intraparenchymal", 2: "subdural", 3: "background", 4: "intraventricular"}
    write("i0.nii.gz", value=2)
    write("i1.nii.gz", value=3)
    report = import_proposals(recursion, masks, MaskSettings(TOOL, values))
    assert recursion.ledger.proposals.current("i0").voxels == {"subdural": 64}
    assert recursion.ledger.proposals.current("i1").state == "empty"
    assert "not shown: it marks nothing" in report.imported["i1"]
    with pytest.raises(InputError, match="class-values 1=tumour"):
        import_proposals(recursion, masks, MaskSettings(TOOL, {1: "tumour"}))


def test_a_table_says_whose_a_file_is_and_which_class_it_marks(recursion, masks, write, tmp_path):
    write("x/sdh.nii.gz", value=1)
    write("x/iph.nii.gz", value=1)
    write("y.nii.gz", value=5)
    table = tmp_path / "masks.csv"
    rows = [
        "case,mask,class", "i0,x/sdh.nii.gz,subdural", "i0,x/iph.nii.gz,intraparenchymal", "u0,y.nii.gz,",
        "nobody,y.nii.gz,", "i1,../studies/i1.nii.gz,", "i1,z.nii.gz,", "i1,y.nii.gz,tumour",
    ]  # fmt: skip
    table.write_text("\n".join(rows))
    report = import_proposals(recursion, masks, MaskSettings(TOOL, table=table))
    assert sorted(report.imported) == ["i0", "u0"]
    assert recursion.ledger.proposals.current("i0").voxels == {"intraparenchymal": 64}  # the later file is on top
    assert recursion.ledger.proposals.current("u0").voxels == {"subdural": 64}
    expected = [(LeftOut.NO_CASE, ""), *[(LeftOut.UNUSABLE, "i1")] * 2, (LeftOut.OTHER_VALUES, "i1")]
    assert codes(report) == expected


def test_a_case_keeps_the_mask_that_it_has(recursion, masks, write):
    write("i0.nii.gz")
    import_proposals(recursion, masks, MaskSettings(TOOL))
    report = import_proposals(recursion, masks, MaskSettings("another"))
    assert codes(report) == [(LeftOut.OTHER_PROPOSAL, "i0")]
    assert "has the mask of BLAST-CT 2.0 already" in report.left_out[0]


def test_a_tool_must_have_a_name():
    with pytest.raises(InputError, match="must say who made the masks"):
        MaskSettings(" ")
