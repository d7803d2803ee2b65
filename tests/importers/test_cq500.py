"""cq500.py: one series a patient, the readers' majority, masks where given."""

from __future__ import annotations

import csv

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers import cq500 as cq500_module
from recursive_expand.importers.cq500 import PAPER_PATIENTS, Cq500Importer, parse_patients
from recursive_expand.importers.runner import run_import

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
FINDINGS = ("ICH", "IPH", "IVH", "SDH", "EDH", "SAH")


@pytest.fixture
def cq500(tmp_path, make_series, source):
    """Patients 4 and 35 with a thick and a thin plain series and three that are not plain."""

    def study(patient):
        folder = f"CQ500CT{patient} CQ500CT{patient}/Unknown Study"
        make_series(f"{folder}/CT Plain", count=3, step=(0, 0, 5)).write()
        make_series(f"{folder}/CT PLAIN THIN", count=6, step=(0, 0, 0.625)).write()
        make_series(f"{folder}/CT Bone", count=8, step=(0, 0, 0.5)).write()
        make_series(f"{folder}/CT POST CONTRAST THIN", count=8, step=(0, 0, 0.5)).write()
        make_series(f"{folder}/CT Thin", count=9, step=(0, 0, 0.5)).change(ContrastBolusAgent="x").write()

    for patient in (4, 35):
        study(patient)
    reads = {4: ("ICH IPH SDH", "ICH IPH", "ICH IPH SDH"), 35: ("", "ICH SAH", ""), 7: ("ICH SAH", "ICH SDH", "")}
    columns = [f"R{reader}:{name}" for reader in (1, 2, 3) for name in FINDINGS]
    rows = [
        [f"CQ500-CT-{patient}", "B1", *(int(name in saw.split()) for saw in readers for name in FINDINGS)]
        for patient, readers in reads.items()
    ]
    with (source / "reads.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["name", "Category", *columns], *rows])
    return source


def load(cq500, tmp_path, **options):
    return run_import(Cq500Importer(cq500, CLASSES, **options), tmp_path / "studies")


def cases(tmp_path):
    return {case.case_id: case for case in FolderArchive(tmp_path / "studies", CLASSES).scan().cases}


def read(tmp_path, case_id):
    """The case's volume and its mask's native voxels."""
    volume, label = check_case(FolderArchive(tmp_path / "studies", CLASSES), cases(tmp_path)[case_id])
    return volume, label.native


def test_the_thinnest_plain_series_and_the_majority_of_the_readers(cq500, tmp_path):
    done = load(cq500, tmp_path)
    assert done.imported == {
        f"cq500-{patient}": "CT PLAIN THIN: 5 x 6 x 6 voxels, slices 0.62 mm apart; no mask" for patient in (4, 35)
    }
    found = cases(tmp_path)
    assert {case.role for case in found.values()} == {Role.TEST}
    assert found["cq500-4"].patient == "cq500-4"
    assert found["cq500-4"].image_labels[None].present == {"intraparenchymal", "subdural"}
    assert found["cq500-35"].image_labels[None].present == set()
    text = "\n".join(done.left_out)
    for clause in ("Bone is not plain (Bone)", "Plain is not as thin", "Thin is not plain (ContrastBolusAgent)"):
        assert f"cq500-4: series CT {clause}" in text
    assert "cq500-4: series CT POST CONTRAST THIN is not plain (POST)" in text
    assert "CQ500-CT-48: has no folder here" in text


def test_a_pre_contrast_series_is_plain(cq500, tmp_path, make_series):
    make_series("CQ500-CT-48/CT PRE CONTRAST THIN", count=4, step=(0, 0, 0.5)).write()
    assert "cq500-48" in load(cq500, tmp_path, patients=(48,)).imported
    assert "has no row: no image-level label" in load(cq500, tmp_path / "b", patients=(48,)).left_out[0]


def mask_for(cq500, name, shape=(5, 6, 6), value=1, step=0.625):
    """A mask on the thin series' grid as dcm2niix would have it: rows upwards."""
    (cq500 / "masks").mkdir(exist_ok=True)
    mask = np.zeros(shape, np.uint8)
    mask[1, 5, 2] = value  # row 0 from the top
    affine = np.array([[-0.4, 0, 0, 100], [0, 0.5, 0, 90 - 2.5], [0, 0, step, 10], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(mask, affine), cq500 / "masks" / name)


def test_masks_find_their_series_by_size_and_are_turned_onto_its_grid(cq500, tmp_path):
    mask_for(cq500, "CQ500-CT-4.nii.gz", value=2)
    mask_for(cq500, "CT_35.nii.gz", shape=(5, 6, 3), value=5, step=5)
    load(cq500, tmp_path)
    volume, native = read(tmp_path, "cq500-4")
    assert volume.hu.shape == (6, 6, 5)
    assert np.argwhere(native).tolist() == [[1, 0, 2]] and native.max() == 2
    volume, native = read(tmp_path, "cq500-35")
    assert volume.hu.shape == (3, 6, 5) and native.max() == 5


def test_a_mask_of_one_value_is_of_the_type_that_the_readers_saw(cq500, tmp_path):
    table = (cq500 / "reads.csv").read_text().replace("CQ500-CT-4,B1,1,1,0,1", "CQ500-CT-4,B1,1,1,0,0")
    (cq500 / "reads.csv").write_text(table)
    mask_for(cq500, "4.nii.gz", value=1)
    load(cq500, tmp_path, patients=(4,))
    assert read(tmp_path, "cq500-4")[1].max() == 2


def test_masks_that_do_not_fit_are_left_out_with_their_case(cq500, tmp_path):
    mask_for(cq500, "4.nii.gz", shape=(5, 6, 7))
    mask_for(cq500, "35.nii.gz", value=9)
    mask_for(cq500, "35-1.nii.gz")
    done = load(cq500, tmp_path, patients=(4, 35))
    assert not done.imported
    text = "\n".join(done.left_out)
    assert "4.nii.gz: has the size (5, 6, 7); no series has it (CT PLAIN THIN 5 x 6 x 6; CT Plain 5 x 6 x 3)" in text
    assert "35.nii.gz: holds the value 9" in text
    assert "masks/35-1.nii.gz: is no mask with one patient's number in its name" in text


def test_readers_who_leave_the_types_open_give_no_label(cq500, tmp_path, make_series):
    make_series("CQ500CT7/CT Plain").write()
    done = load(cq500, tmp_path, patients=None)
    assert not cases(tmp_path)["cq500-7"].image_labels
    assert any("saw ICH, which leaves the types open" in line for line in done.left_out)
    assert len(done.imported) == 3


def test_damaged_files_cost_their_patient_at_most(cq500, tmp_path, make_series, monkeypatch):
    make_series("CQ500-CT-48/CT Plain THIN").change(0, Columns=None).write()
    torn = make_series("CQ500-CT-7/CT Plain").write().folder / "torn"
    torn.write_bytes((torn.parent / "slice0").read_bytes())
    whole = cq500_module.read_dicom

    def read_dicom(path, **options):
        if path.name == "torn":
            raise InputError(path.name, "cannot be read as DICOM")
        return whole(path, **options)

    monkeypatch.setattr(cq500_module, "read_dicom", read_dicom)
    done = load(cq500, tmp_path, patients=(4, 7, 48))
    assert list(done.imported) == ["cq500-4", "cq500-7", "cq500-48"]
    text = "\n".join(done.left_out)
    assert "cq500-48: slice0 its position is not known" in text
    assert "cq500-7: torn: cannot be read as DICOM" in text


def test_patients_are_given_as_the_paper_writes_them():
    assert parse_patients("CT_107, CQ500-CT-35,4") == (107, 35, 4)
    assert parse_patients("all") is None
    assert len(PAPER_PATIENTS) == 20
    with pytest.raises(InputError, match="--patients 'x'"):
        parse_patients("4,x")


@pytest.mark.parametrize(
    ("folder", "attributes", "why"),
    [
        ("CT C THIN", {}, "plain (C)"),
        ("CT Thin", {"SeriesDescription": "HEAD C+ 0.5"}, "plain (C+)"),
        ("CT Thin", {"SeriesDescription": "CTA 0.5"}, "plain (CTA)"),
        ("CT 0.5", {"ConvolutionKernel": "BONE"}, "plain (ConvolutionKernel BONE)"),
        ("CT 0.5", {"ConvolutionKernel": ["Hr64h", "3"]}, "plain (ConvolutionKernel Hr64h, 3)"),
        ("CT 0.5", {"ConvolutionKernel": "FC30"}, "plain (ConvolutionKernel FC30)"),
        ("CT MPR", {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}, "axial"),
        ("CT MPR", {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "axial"),
    ],
)
def test_thinner_series_that_are_not_plain_axial_soft_tissue_are_passed_over(
    cq500, tmp_path, make_series, folder, attributes, why
):
    step = (0, 0.4, 0) if "MPR" in folder else (0, 0, 0.4)
    if attributes.get("ImageOrientationPatient", [1])[0] == 0:
        step = (0.4, 0, 0)
    make_series(f"CQ500CT4 CQ500CT4/Unknown Study/{folder}", count=9, step=step).change(**attributes).write()
    done = load(cq500, tmp_path, patients=(4,))
    assert done.imported["cq500-4"].startswith("CT PLAIN THIN")
    assert f"cq500-4: series {folder} is not {why}" in done.left_out


@pytest.mark.parametrize("kernel", ["STANDARD", "SOFT", "H31s", "Hr38h", "FC26", "UB"])
def test_soft_tissue_kernels_and_tilted_gantries_are_plain(cq500, tmp_path, make_series, kernel):
    series = make_series("CQ500CT4 CQ500CT4/Unknown Study/CT 0.5", count=9, step=(0, 0.2, 0.4))
    series.change(ConvolutionKernel=kernel).write()
    assert load(cq500, tmp_path, patients=(4,)).imported["cq500-4"].startswith("CT 0.5")


def test_a_mask_chooses_its_series_by_its_place_not_only_by_its_size(cq500, tmp_path, make_series):
    # As many slices as the thin series has, and thinner ones, elsewhere.
    make_series("CQ500CT4 CQ500CT4/Unknown Study/CT 0.5", count=6, step=(0, 0, 0.5)).write()
    mask_for(cq500, "4.nii.gz", value=2)
    done = load(cq500, tmp_path, patients=(4,))
    assert done.imported["cq500-4"].startswith("CT PLAIN THIN")
    volume, native = read(tmp_path, "cq500-4")
    world = volume.geometry.affine @ (*np.argwhere(native)[0], 1)
    assert np.allclose(world[:3], (99.6, 90, 10 + 2 * 0.625), atol=1e-3)


def test_a_mask_15_mm_off_or_of_another_spacing_is_on_no_grid(cq500, tmp_path):
    mask_for(cq500, "4.nii.gz", step=2.5)
    mask_for(cq500, "35.nii.gz")
    path = cq500 / "masks" / "35.nii.gz"
    image = nib.load(path)
    affine = image.affine.copy()
    affine[2, 3] += 15
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), affine), path)
    done = load(cq500, tmp_path, patients=(4, 35))
    assert not done.imported
    text = "\n".join(done.left_out)
    assert "4.nii.gz: is on no series' grid (CT PLAIN THIN: lies 9 mm off its scan at a corner" in text
    assert "35.nii.gz: is on no series' grid (CT PLAIN THIN: lies 15 mm off its scan at a corner" in text
