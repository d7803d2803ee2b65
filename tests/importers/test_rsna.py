"""rsna.py: slices and series of RSNA 2019, with what that data set is known for."""

from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_volume
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.report import LeftOut, no_progress
from recursive_expand.importers.rsna import RsnaImporter, Sampling
from recursive_expand.importers.runner import run_import

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
TYPES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")


class Rsna:
    """RSNA 2019's folder; each image gets a number of types."""

    def __init__(self, root):
        self.root = root / "rsna-intracranial-hemorrhage-detection"
        (self.root / "stage_2_train").mkdir(parents=True)
        self.lines = ["ID,Label"]

    def label(self, image, *types):
        self.lines += [f"{image}_{name},{int(name in types or (name == 'any' and bool(types)))}" for name in TYPES]
        (self.root / "stage_2_train.csv").write_text("\n".join(self.lines) + "\n")

    def add(self, image, *types, patient="ID_0000000a", series="ID_series", z=0.0, values=None, **attributes):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.is_little_endian, dataset.is_implicit_VR = True, False
        dataset.SOPInstanceUID, dataset.Modality = image, "CT"
        dataset.PatientID, dataset.SeriesInstanceUID = patient, series
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-4, -5, z], [1, 0, 0, 0, 1, 0]
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.Rows, dataset.Columns, dataset.PixelSpacing = 6, 5, [0.5, 0.5]
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        pixels = np.arange(30) + 1024 + z if values is None else np.resize(values, 30)
        dataset.PixelData = (pixels.astype(np.int64) & 0xFFFF).astype("<u2").tobytes()
        for name, value in attributes.items():
            setattr(dataset, name, value)
        dataset.save_as(self.root / "stage_2_train" / f"{image}.dcm", write_like_original=False)
        self.label(image, *types)


@pytest.fixture
def rsna(tmp_path):
    return Rsna(tmp_path)


@pytest.fixture
def studies(tmp_path):
    return tmp_path / "studies"


def load(rsna, studies, on_progress=no_progress, **options):
    return run_import(RsnaImporter(rsna.root, CLASSES, **options), studies, on_progress=on_progress)


def found(studies):
    return {case.case_id: case for case in FolderArchive(studies, CLASSES).scan().cases}


def test_rows_of_types_become_labels_of_slices(rsna, studies):
    rsna.add("ID_aa", "subdural", "epidural")
    rsna.add("ID_bb")
    done = load(rsna, studies)
    assert done.imported == {"rsna-aa": "epidural, subdural", "rsna-bb": "clean"}
    cases = found(studies)
    assert cases["rsna-aa"].image_labels[None].present == {"epidural", "subdural"}
    assert cases["rsna-bb"].image_labels[None].present == set()
    assert {case.role for case in cases.values()} == {Role.IMAGE}
    assert {case.patient for case in cases.values()} == {"rsna-ID_0000000a"}
    volume = read_volume(studies / "rsna-aa.nii.gz")
    assert np.array_equal(volume.hu, np.arange(30).reshape(1, 6, 5))
    assert volume.geometry.native_shape == (5, 6, 1)
    assert np.allclose(volume.geometry.affine @ (1, 2, 0, 1), (3.5, 4, 0, 1))


def test_twelve_bits_that_claim_to_be_unsigned_are_hu(rsna, studies):
    # -1000 and 40 HU, written into 12 unsigned bits without an intercept.
    twelve = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "RescaleIntercept": 0}
    rsna.add("ID_aa", "subdural", values=[3096, 40], **twelve)
    rsna.add("ID_bb", "subdural", values=[-2000, 1064], PixelPaddingValue=-2000)
    load(rsna, studies)
    assert set(np.unique(read_volume(studies / "rsna-aa.nii.gz").hu)) == {-1000, 40}
    assert set(np.unique(read_volume(studies / "rsna-bb.nii.gz").hu)) == {-1024, 40}


def test_what_the_data_set_is_known_for_is_left_out_with_the_reason(rsna, studies):
    rsna.add("ID_6431af929", "subdural", PixelData=b"\0" * 20)
    rsna.add("ID_cut", "subdural", PixelData=b"\0" * 20)
    rsna.add("ID_grey", "subdural", values=[7])
    rsna.add("ID_twice", "subdural")
    rsna.label("ID_twice", "subdural")
    rsna.add("ID_torn", "subdural")
    rsna.label("ID_torn")
    rsna.label("ID_nofile")
    rsna.lines.append("ID_part_subdural,1")
    rsna.add("ID_odd")
    rsna.lines.remove("ID_odd_any,0")
    rsna.lines.append("ID_odd_any,1")
    rsna.add("ID_ok")
    (rsna.root / "stage_2_train" / "ID_new.dcm").write_bytes(b"")
    done = load(rsna, studies)
    assert sorted(done.imported) == ["rsna-ok", "rsna-twice"]
    text = "\n".join(done.left_out)
    assert "ID_6431af929: is known to be cut short in the data set itself" in text
    assert "ID_cut.dcm: its pixel data" in text
    assert "ID_grey.dcm: all its pixels are -1017 HU" in text
    assert "ID_torn: has two labels for subdural that contradict each other" in text
    assert "ID_part: has no label for" in text
    assert "ID_odd: its label for any contradicts those for the types" in text
    assert len(done.left_out) == 6
    assert any(note.startswith("1 images of stage_2_train.csv have no file") for note in done.notes)
    assert any("files in stage_2_train/ have no usable label" in note for note in done.notes)


def test_repeated_rows_count_once(rsna, studies):
    rsna.add("ID_aa", "subdural")
    rsna.label("ID_aa", "subdural")
    assert "6 rows of stage_2_train.csv repeat others; each counts once" in load(rsna, studies).notes


@pytest.fixture
def many(rsna):
    """Six slices of each type alone, three of two types, five clean ones, each of a patient of its own."""
    for number, name in enumerate(CLASSES):
        for k in range(6):
            rsna.add(f"ID_{number}{k}", name, patient=f"ID_000000{number}{k}")
    for k in range(3):
        rsna.add(f"ID_m{k}", "subdural", "epidural", patient=f"ID_000000a{k}")
    for k in range(5):
        rsna.add(f"ID_c{k}", patient=f"ID_000000b{k}")
    return rsna


def test_the_papers_sampling(many, studies, tmp_path):
    sampling = Sampling(single_class=True, per_class=4, none=2, seed=3)
    told = []
    done = load(many, studies, sampling=sampling, on_progress=lambda *step: told.append(step))
    present = [",".join(sorted(case.image_labels[None].present)) for case in found(studies).values()]
    assert {name: present.count(name) for name in set(present)} == {"": 2} | dict.fromkeys(CLASSES, 4)
    assert told[-1] == ("importing slices", 22, 22)
    again = load(many, tmp_path / "again", sampling=sampling)
    assert again.imported == done.imported
    other = load(many, tmp_path / "other", sampling=Sampling(single_class=True, per_class=4, none=2, seed=4))
    assert other.imported.keys() != done.imported.keys()


def test_unusable_slices_are_replaced_and_a_second_run_adds_none(many, studies):
    for k in range(6):
        if k != 5:
            (many.root / "stage_2_train" / f"ID_0{k}.dcm").write_bytes(b"broken")
    done = load(many, studies, sampling=Sampling(single_class=True, per_class=1, none=0))
    assert "rsna-05" in done.imported and len(done.imported) == 5
    again = load(many, studies, sampling=Sampling(single_class=True, per_class=1, none=0))
    assert not again.imported and sorted(again.skipped) == sorted(done.imported)


def test_slices_of_several_types_are_drawn_once(many, studies):
    done = load(many, studies)
    assert len(done.imported) == 38 and len(done.left_out) == 0


def test_series_are_put_together_by_position(rsna, studies):
    for image, z, types in (("c", 10, ()), ("a", 0, ("subdural",)), ("b", 5, ("subdural", "epidural"))):
        rsna.add(f"ID_{image}", *types, z=z)
    rsna.add("ID_alone", series="ID_other")
    done = load(rsna, studies, cases="series")
    ((case_id, what),) = done.imported.items()
    assert what == "5 x 6 x 3 voxels, slices 5.00 mm apart; epidural, subdural"
    assert "has 1 slices; a scan has 3 or more" in done.left_out[0]
    case = found(studies)[case_id]
    assert {n: set(label.present) for n, label in case.image_labels.items()} == {
        0: {"subdural"},
        1: {"subdural", "epidural"},
        2: set(),
    }
    assert read_volume(studies / f"{case_id}.nii.gz").hu[:, 0, 0].tolist() == [0, 5, 10]


def test_headers_are_read_once(rsna, studies, monkeypatch):
    for z in range(3):
        rsna.add(f"ID_{z}", z=z * 5)
    load(rsna, studies, cases="series")
    with (studies / "import-rsna-headers.csv").open("a") as file:
        file.write("ID_2.d")  # a kill in the middle of a line
    monkeypatch.setattr("recursive_expand.importers.header_index.read_dicom", None)
    assert len(load(rsna, studies, cases="series").skipped) == 1


def test_a_patient_who_is_in_another_role_is_left_out_with_the_names(rsna, studies):
    studies.mkdir()
    (studies / "cases.csv").write_text("case_id,role,patient\nbhsd-1,test,rsna-ID_0000000a\n")
    rsna.add("ID_aa", "subdural")
    rsna.add("ID_bb", patient="ID_0000000b")
    done = load(rsna, studies)
    assert list(done.imported) == ["rsna-bb"]
    assert done.left_out == [
        "ID_aa.dcm: its patient rsna-ID_0000000a has cases in another role than image: test (bhsd-1)"
    ]


def test_options_that_do_not_go_together(rsna, studies):
    with pytest.raises(InputError, match="do not go with --as series"):
        load(rsna, studies, cases="series", sampling=Sampling(per_class=3))
    with pytest.raises(InputError, match=r"does not hold stage_2_train/ and stage_2_train\.csv"):
        run_import(RsnaImporter(studies, CLASSES), studies)


def test_a_file_that_could_not_be_read_is_looked_at_again(rsna, studies):
    for z in range(4):
        rsna.add(f"ID_{z}", z=z * 5)
    path = rsna.root / "stage_2_train" / "ID_3.dcm"
    whole = path.read_bytes()
    path.write_bytes(b"half copied")
    first = load(rsna, studies, cases="series")
    assert any(line.source == "ID_3.dcm" and line.code is LeftOut.UNUSABLE for line in first.details)
    path.write_bytes(whole)
    second = load(rsna, studies, cases="series")
    (case_id,) = second.skipped
    assert second.notes[-1] == f"{case_id}: was imported from 3 files and has 4 now; remove it to import it anew"
    (studies / f"{case_id}.nii.gz").unlink()
    assert "5 x 6 x 4 voxels" in load(rsna, studies, cases="series").imported[case_id]
    assert len(found(studies)[case_id].image_labels) == 4


def test_a_file_that_was_replaced_is_looked_at_again_and_old_indexes_are_read_anew(rsna, studies):
    for z in range(6):
        rsna.add(f"ID_{z}", z=z * 5, series="ID_a" if z < 3 else "ID_b")
    studies.mkdir()
    (studies / "import-rsna-headers.csv").write_text("ID_0.dcm,ID_b,\nID_1.dcm,,is not DICOM\n")  # of 0.1.0
    assert len(load(rsna, studies, cases="series").imported) == 2
    rsna.add("ID_0", z=-5, series="ID_bb", StudyDescription="longer now")
    third = load(rsna, studies, cases="series")
    assert any("was imported from 3 files and has 2 now" in note for note in third.notes)
