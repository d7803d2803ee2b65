"""folder.py: what is found in a folder of studies, and each kind of bad input set aside with one line."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.cache import VoxelCache
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.archives.images import read_label, write_label, write_volume
from recursive_expand.cases import Geometry, LabelMap, Role, Volume
from recursive_expand.errors import InputError

CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
GEOMETRY = Geometry.of((6, 5, 4), np.diag([-0.5, -0.5, 5.0, 1.0]))


class Studies:
    """A folder of studies that tests fill."""

    def __init__(self, root):
        self.root = root
        (root / "labels" / "final").mkdir(parents=True)

    def image(self, name, shape=(6, 5, 4)):
        geometry = Geometry.of(shape, GEOMETRY.affine)
        write_volume(self.root / name, Volume(np.zeros(geometry.shape, np.int16), geometry), fsync=False)
        return self.root / name

    def mask(self, name, value=1, shape=(6, 5, 4), affine=GEOMETRY.affine):
        path = self.root / "labels" / "final" / name
        write_label(path, LabelMap(np.full(shape, value, np.uint8), Geometry.of(shape, affine)), fsync=False)
        return path

    def text(self, name, content):
        (self.root / name).write_text(content)

    @property
    def archive(self):
        return FolderArchive(self.root, CLASSES)

    def scan(self):
        return self.archive.scan()

    def roles(self):
        return {case.case_id: case.role for case in self.scan().cases}

    def lines(self):
        return [str(line) for line in self.scan().set_aside]

    def case(self, case_id):
        (found,) = [case for case in self.scan().cases if case.case_id == case_id]
        return found


@pytest.fixture
def studies(tmp_path):
    return Studies(tmp_path / "studies")


def test_every_image_of_the_top_level_is_a_case(studies):
    for name in ("b.nii.gz", "A.NII", "c.d.nrrd", ".hidden.nii.gz"):
        studies.image(name.lower() if name == "A.NII" else name)
    (studies.root / "a.nii").rename(studies.root / "A.NII")
    (studies.root / ".recursive").mkdir()
    studies.image(".recursive/x.nii.gz")
    studies.text("notes.txt", "no case")
    scan = studies.scan()
    assert [case.case_id for case in scan.cases] == ["A", "b", "c.d"]
    assert {case.role for case in scan.cases} == {Role.UNLABELLED}
    assert not scan.set_aside


def test_roles_follow_from_the_labels_that_are_there(studies):
    for name in ("drawn", "accepted", "labelled", "plain"):
        studies.image(f"{name}.nii.gz")
    mask = studies.mask("drawn.nii.gz")
    studies.text("labels/final/drawn.json", '{"drawn_by": "expert"}')
    studies.mask("accepted.nii.gz")
    studies.text("labels/final/accepted.json", '{"verdict": "accept"}')
    studies.text("image_labels.csv", f"case_id,slice,{','.join(CLASSES)}\nlabelled,2,0,1,0,0,0\n")
    assert studies.roles() == {
        "drawn": Role.PIXEL,
        "accepted": Role.UNLABELLED,
        "labelled": Role.IMAGE,
        "plain": Role.UNLABELLED,
    }
    assert studies.case("drawn").expert_label is not None
    assert studies.archive.label_file("drawn", "final") == mask
    assert studies.case("accepted").expert_label is None
    assert studies.case("labelled").image_labels[2].present == {"intraparenchymal"}
    assert studies.lines() == []


def test_cases_csv_overrules_the_labels(studies):
    for name in ("a", "b", "c", "d"):
        studies.image(f"{name}.nii.gz")
    mask = studies.mask("a.nii.gz")
    studies.mask("b.nii.gz")
    studies.text("cases.csv", "case_id,role\na,test\nb,unlabelled\nc,test\nd,image\n")
    assert studies.roles() == {"a": Role.TEST, "b": Role.UNLABELLED, "c": Role.TEST, "d": Role.UNLABELLED}
    assert studies.case("a").expert_label is not None and studies.archive.label_file("a", "final") == mask
    assert studies.case("b").expert_label is None
    assert studies.lines() == [
        "cases.csv line 5: case d has no usable row in image_labels.csv; it counts as unlabelled"
    ]


def test_pixel_without_an_expert_mask_is_set_aside(studies):
    studies.image("a.nii.gz")
    studies.image("b.nii.gz")
    studies.mask("b.nii.gz")
    studies.text("labels/final/b.json", '{"verdict": "accept"}')
    studies.text("cases.csv", "case_id,role\na,pixel\nb,pixel\n")
    assert studies.roles() == {}
    assert studies.lines() == [
        f"cases.csv line {line}: case {case} is to be pixel, but labels/final has no expert mask"
        for line, case in ((2, "a"), (3, "b"))
    ]


def test_a_misspelt_role_keeps_its_case_out(studies):
    studies.image("a.nii.gz")
    studies.mask("a.nii.gz")
    studies.image("b.nii.gz")
    studies.text("cases.csv", "case_id,role\na,tset\n")
    assert studies.roles() == {"b": Role.UNLABELLED}


@pytest.mark.parametrize("names", [("a.nii", "a.nii.gz"), ("a.nii.gz", "A.nii.gz"), ("a.nrrd", "A.nii", "a.nii.gz")])
def test_duplicate_ids_are_all_set_aside(studies, names):
    for name in names:
        studies.image(name)
    studies.image("other.nii.gz")
    assert list(studies.roles()) == ["other"]
    lines = studies.lines()
    assert len(lines) == len(names)
    for name in names:
        (line,) = [line for line in lines if line.startswith(f"{name}: has the same case id as ")]
        assert all(other in line for other in names)


@pytest.mark.parametrize("name", ["cases.csv", "image_labels.csv"])
def test_a_table_that_is_not_understood_makes_the_scan_unusable(studies, name):
    studies.image("a.nii.gz")
    assert studies.scan().unusable is None
    (studies.root / name).write_bytes(b"\xff\xfe\0")
    assert studies.scan().unusable.startswith(f"{name}: is not UTF-8")
    studies.text(name, "")
    assert studies.scan().unusable is None


@pytest.mark.parametrize("name", ["Cases.csv", "CASES.CSV", "Image_Labels.csv"])
def test_a_table_of_another_letter_case_makes_the_scan_unusable(studies, name):
    studies.text(name, "case_id,role\n")
    if (studies.root / name.lower()).exists():
        pytest.skip("this file system does not tell letter cases apart")
    (line,) = studies.scan().set_aside
    assert studies.scan().unusable == str(line)
    assert str(line).startswith(f"{name}: is not read under this name; call it {name.lower()}")


def test_label_folders_that_cannot_be_read_make_the_scan_unusable(studies, monkeypatch):
    studies.image("a.nii.gz")
    studies.mask("a.nii.gz")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("recursive_expand.archives.expert_masks.ExpertMasks.find", refuse)
    assert studies.scan().unusable.startswith("labels/final: cannot be read (Permission denied); nothing is trained")


def test_a_case_of_more_bytes_than_allowed_is_refused(studies):
    studies.image("a.nii.gz")
    studies.mask("a.nii.gz")
    assert FolderArchive(studies.root, CLASSES, max_case_bytes=240).read_volume("a").hu.size == 120
    archive = FolderArchive(studies.root, CLASSES, max_case_bytes=239)
    for read in (archive.read_volume, archive.read_expert_label):
        with pytest.raises(
            InputError, match=r"a.nii.gz: claims 6 x 5 x 4 voxels, which need 240 bytes; no more than 239"
        ):
            read("a")
    large = studies.image("b.nii").rename(studies.root.parent / "b.nii")
    with pytest.raises(InputError, match=r"b.nii: has 592 bytes; no more than 239 are taken \(max_case_bytes\)"):
        archive.add_image("c", large)


def test_labels_of_threads_that_disagree_come_as_they_were_given(studies):
    studies.image("a.nii.gz")
    archive, final = studies.archive, studies.root / "labels" / "final"

    def write(value):
        label = LabelMap(np.full((6, 5, 4), value, np.uint8), GEOMETRY)
        archive.put_label("a", "final", label, {"verdict": "accept", "round": value})
        if value % 5 == 0:
            archive.remove_label("a", "final")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(1, 41)))
    left = sorted(path.name for path in final.iterdir())
    assert left in ([], ["a.json", "a.nii.gz"])
    if left:
        value = json.loads((final / "a.json").read_bytes())["round"]
        assert read_label(final / "a.nii.gz").values == (value,)


def test_an_empty_folder_says_what_to_do(studies):
    (line,) = studies.scan().set_aside
    assert line.kind == "folder"
    assert str(line) == "studies: holds no scans (*.nii.gz, *.nii, *.nrrd)"
    studies.text("01.dcm", "")
    assert "recursive-expand import dicom" in studies.lines()[0]
    (studies.root / "01.dcm").rename(studies.root / "01.png")
    assert "recursive-expand import slices" in studies.lines()[0]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: is no folder"):
        FolderArchive(tmp_path / "nowhere")


def test_names_that_can_be_no_id_are_set_aside(studies):
    studies.image("ok.nii.gz")
    (studies.root / "folder.nii.gz").mkdir()
    for name in ("bad\nname.nii.gz", f"{'x' * 140}.nii.gz", " space.nii.gz"):
        (studies.root / name).write_bytes(b"")
    scan = studies.scan()
    assert [case.case_id for case in scan.cases] == ["ok"]
    lines = studies.lines()
    assert len(lines) == 4 and not any("\n" in line for line in lines)
    assert "folder.nii.gz: is no file" in lines


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows; run this on Linux or macOS")
def test_links_that_leave_the_folder_are_set_aside(studies, tmp_path):
    outside = studies.image("inside.nii.gz").rename(tmp_path / "outside.nii.gz")
    studies.image("real.nii.gz")
    (studies.root / "out.nii.gz").symlink_to(outside)
    (studies.root / "in.nii.gz").symlink_to(studies.root / "real.nii.gz")
    (studies.root / "gone.nii.gz").symlink_to(studies.root / "missing")
    (studies.root / "loop.nii.gz").symlink_to(studies.root / "loop.nii.gz")
    (studies.root / "labels" / "final" / "real.nii.gz").symlink_to(outside)
    assert studies.roles() == {"in": Role.UNLABELLED, "real": Role.UNLABELLED}
    assert {line.split(": ")[0] for line in studies.lines()} == {
        "out.nii.gz",
        "gone.nii.gz",
        "loop.nii.gz",
        "labels/final/real.nii.gz",
    }
    with pytest.raises(InputError, match="'out': names no case"):
        studies.archive.image_file("out")


def test_labels_of_no_use_are_named(studies):
    studies.image("a.nii.gz")
    studies.image("b.nii.gz")
    studies.image("c.nii.gz")
    studies.mask("ghost.nii.gz")
    studies.mask("b.nii.gz")
    studies.mask("b.nrrd")
    studies.mask("c.nii.gz")
    studies.text("labels/final/c.json", "{half")
    assert studies.roles() == {"a": Role.UNLABELLED, "c": Role.UNLABELLED}
    assert studies.lines() == [
        "labels/final/b.nrrd: case b has another mask, b.nii.gz; remove one",
        "labels/final/ghost.nii.gz: belongs to no case of this folder (case ids are compared letter by letter)",
        "labels/final/c.json: is not readable as JSON; the mask of case c is not used as an expert's",
    ]


def test_slice_numbers_are_held_against_the_image(studies):
    studies.image("a.nii.gz")
    (studies.root / "b.nii.gz").write_bytes(b"broken")
    rows = "a,3,1,0,0,0,0\na,4,1,0,0,0,0\nb,0,1,0,0,0,0\n"
    studies.text("image_labels.csv", f"case_id,slice,{','.join(CLASSES)}\n{rows}")
    assert list(studies.case("a").image_labels) == [3]
    assert studies.lines() == [
        "image_labels.csv line 3: slice 4 is out of range: slices are numbered 0 to 3",
        "image_labels.csv line 4: b.nii.gz: is truncated: its NIfTI header ends early; copy or export it again",
    ]


def test_the_signature_changes_with_all_that_a_case_is_made_of(studies):
    path = studies.image("a.nii.gz")
    seen = [studies.case("a").signature]
    assert studies.case("a").signature == seen[0]

    def changed():
        seen.append(studies.case("a").signature)
        return len(set(seen)) == len(seen)

    os.utime(path, ns=(5, 5))
    assert changed()
    assert seen[-1].startswith(studies.archive.signature("a") + "-")
    studies.text("image_labels.csv", f"case_id,slice,{','.join(CLASSES)}\na,2,0,1,0,0,0\n")
    assert changed()
    studies.text("cases.csv", "case_id,role,patient\na,test,\n")
    assert changed()
    studies.text("cases.csv", "case_id,role,patient\na,test,p\n")
    assert changed()
    mask = studies.mask("a.nii.gz")
    assert changed()
    os.utime(mask, ns=(5, 5))
    assert changed()


def test_the_signature_stays_when_the_folder_is_moved(studies):
    studies.image("a.nii.gz")
    studies.mask("a.nii.gz")
    before = studies.case("a").signature
    studies.root = studies.root.rename(studies.root.with_name("moved"))
    assert studies.case("a").signature == before


def test_a_good_pixel_case_gives_volume_and_native_mask(studies):
    studies.image("a.nii.gz")
    studies.mask("a.nrrd", 5)
    volume, label = check_case(studies.archive, studies.case("a"))
    assert volume.hu.shape == (4, 5, 6)
    assert label.native.shape == (6, 5, 4) and label.voxels() == {"subdural": 120} and label.filled == (0, 1, 2, 3)
    assert label.geometry.orientation == volume.geometry.orientation


def test_a_case_is_read_through_the_cache_where_one_is_given(studies, tmp_path):
    studies.image("a.nii.gz")
    cache = VoxelCache(tmp_path / "cache")
    archive = studies.archive
    through = lambda: cache.load("a", archive.signature("a"), lambda: archive.read_volume("a"))  # noqa: E731
    volume, label = check_case(archive, studies.case("a"), read=through)
    assert isinstance(volume.hu, np.memmap) and label is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: s.mask("a.nii.gz", shape=(6, 5, 3)), r"has 6 x 5 x 3 voxels, its image 6 x 5 x 4"),
        (
            lambda s: s.mask("a.nii.gz", 6),
            r"holds the value 6, which is no class; classes are 0 background, 1 epidural",
        ),
        (lambda s: s.mask("a.nii.gz", affine=np.diag([0.5, -0.5, 5, 1])), "its axes run RPS, its image's LPS"),
        (lambda s: s.mask("a.nrrd", affine=np.diag([0.5, -0.5, 5, 1])), "its axes run RPS, its image's LPS"),
        (lambda s: s.mask("a.nii.gz").write_bytes(b""), "is empty"),
        (lambda s: s.text("labels/final/a.nii", "text" * 200), "is no NIfTI image"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(studies, make, message):
    studies.image("a.nii.gz")
    make(studies)
    with pytest.raises(InputError, match=rf"^(labels/final/)?a\.\w+(\.gz)?: {message}"):
        check_case(studies.archive, studies.case("a"))


def test_a_bad_image_is_named_when_its_case_is_checked(studies):
    nib.save(nib.Nifti1Image(np.zeros((6, 5, 4, 2), np.int16), np.eye(4)), studies.root / "a.nii.gz")
    with pytest.raises(InputError, match=r"a.nii.gz: has 4 dimensions"):
        check_case(studies.archive, studies.case("a"))


def test_labels_are_written_with_their_story_and_removed(studies):
    studies.image("a.nii.gz")
    archive = FolderArchive(studies.root)
    mask = np.zeros((6, 5, 4), np.uint8)
    mask[1, 2, 3] = 2
    label = LabelMap(mask, GEOMETRY)
    archive.put_label("a", "final", label, {"verdict": "accept", "reviewer": "Ä"})
    path = archive.label_file("a", "final")
    assert path == archive.studies / "labels" / "final" / "a.nii.gz"
    assert np.array_equal(read_label(path).native, mask)
    assert json.loads(path.with_name("a.json").read_bytes()) == {"verdict": "accept", "reviewer": "Ä"}
    assert studies.roles() == {"a": Role.UNLABELLED}  # accepted, not drawn
    archive.put_label("a", "rejected", label, {"verdict": "reject"})
    assert (studies.root / "labels" / "rejected" / "a.nii.gz").exists()
    for _ in range(2):
        archive.remove_label("a", "final")
    assert not list((studies.root / "labels" / "final").iterdir())


EMPTY = LabelMap.background(GEOMETRY)


def test_what_a_killed_process_left_of_a_label_goes_with_the_next_write_or_removal(studies):
    studies.image("a.nii.gz")
    folder = studies.root / "labels" / "final"
    folder.mkdir(parents=True, exist_ok=True)
    others = folder / f".b.nii.gz.{'0' * 16}.tmp"
    others.touch()  # an import may be writing it
    for work, left in (
        (lambda new: new.put_label("a", "final", EMPTY, {"verdict": "accept"}), {"a.json", "a.nii.gz", others.name}),
        (lambda new: new.remove_label("a", "final"), {others.name}),
    ):
        for name in ("a.nii.gz", "a.json"):
            (folder / f".{name}.{'1' * 16}.tmp").touch()
        work(FolderArchive(studies.root))
        assert {path.name for path in folder.iterdir()} == left


def test_a_label_folder_is_not_listed_at_every_verdict(studies, monkeypatch):
    listed = []
    monkeypatch.setattr("recursive_expand.archives.folder.leftovers", lambda folder: listed.append(folder) or [])
    for case in ("a", "b"):
        studies.image(f"{case}.nii.gz")
    archive = studies.archive
    for case in ("a", "b", "a"):
        archive.put_label(case, "final", EMPTY, {"verdict": "accept"})
        archive.remove_label(case, "final")
    assert listed == [studies.root / "labels" / "final"]


@pytest.mark.parametrize("broken", ["write_atomic", "write_label"])
def test_a_label_that_broke_off_never_passes_for_an_expert_s(studies, monkeypatch, broken):
    studies.image("a.nii.gz")
    monkeypatch.setattr(f"recursive_expand.archives.folder.{broken}", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        studies.archive.put_label("a", "final", EMPTY, {"verdict": "accept"})
    assert studies.roles() == {"a": Role.UNLABELLED}


def test_a_verdict_s_mask_without_the_file_beside_it_is_no_expert_s(studies):
    studies.image("a.nii.gz")
    archive = studies.archive
    archive.put_label("a", "final", EMPTY, {"verdict": "accept"})
    (studies.root / "labels" / "final" / "a.json").unlink()
    assert studies.roles() == {"a": Role.UNLABELLED}
    studies.text("cases.csv", "case_id,role\na,pixel\n")
    assert studies.roles() == {}
    with pytest.raises(InputError, match="is what a verdict left"):
        archive.read_expert_label("a")
    studies.text("labels/final/a.json", '{"source": "expert mask"}')  # the mask was not yet replaced
    assert studies.roles() == {}
    archive.put_label("a", "final", EMPTY, {"source": "expert mask"})
    (studies.root / "labels" / "final" / "a.json").unlink()
    assert archive.scan().cases[0].role is Role.PIXEL


def test_what_is_inside_a_label_is_looked_at_again_when_it_changed(studies):
    studies.image("a.nii.gz")
    archive = studies.archive
    archive.put_label("a", "final", EMPTY, {"verdict": "accept"})
    (studies.root / "labels" / "final" / "a.json").unlink()
    assert archive.scan().cases[0].role is Role.UNLABELLED
    os.utime(studies.mask("a.nii.gz"), ns=(7, 7))
    assert archive.scan().cases[0].role is Role.PIXEL


def test_an_expert_s_mask_is_neither_replaced_nor_removed_by_a_verdict(studies):
    studies.image("a.nii.gz")
    before = studies.mask("a.nii.gz", 3).read_bytes()
    studies.text("cases.csv", "case_id,role\na,unlabelled\n")
    with pytest.raises(InputError, match=r"labels/final/a.nii.gz: is an expert's mask, which no verdict replaces"):
        studies.archive.put_label("a", "final", EMPTY, {"verdict": "accept"})
    studies.archive.remove_label("a", "final")
    assert studies.archive.label_file("a", "final").read_bytes() == before
    assert not (studies.root / "labels" / "final" / "a.json").exists()
    studies.archive.put_label("a", "final", EMPTY, {"source": "expert mask"})
    assert studies.archive.label_file("a", "final").read_bytes() != before


def test_labels_of_another_format_in_the_place_of_a_new_one_are_named(studies):
    studies.image("a.nii.gz")
    studies.mask("a.nrrd")
    with pytest.raises(InputError, match=r"labels/final/a.nrrd: is in the place of a new label"):
        studies.archive.put_label("a", "final", EMPTY, {"source": "expert mask"})


def test_info_that_is_no_text_of_utf_8_is_written(studies):
    studies.image("a.nii.gz")
    studies.archive.put_label("a", "final", EMPTY, {"verdict": "accept", "reviewer": "x\udc80"})
    assert json.loads((studies.root / "labels" / "final" / "a.json").read_bytes())["reviewer"] == "x\udc80"


REFERENCE = {
    "series_instance_uid": "1.2",
    "study_instance_uid": "1",
    "sop_instance_uids": ["1.2.1", "1.2.2"],
    "image_position_patient": [[0, 0, 0], [0, 0, 5]],
    "image_orientation_patient": [1, 0, 0, 0, 1, 0],
    "pixel_spacing_mm": [0.5, 0.5],
    "tilt_degrees": 0,
    "slice_spacings_mm": [5],
}


def test_the_series_of_a_case_is_read_from_its_file(studies):
    studies.image("a.nii.gz")
    (studies.root / "geometry").mkdir()
    assert studies.archive.reference("a") is None
    studies.text("geometry/a.geometry.json", json.dumps(REFERENCE))
    assert studies.archive.reference("a").sop_instance_uids == ("1.2.1", "1.2.2")
    studies.text("geometry/a.geometry.json", '{"pictures": 3}')
    assert studies.archive.reference("a") is None
    with pytest.raises(InputError, match="'b': names no case"):
        studies.archive.reference("b")


@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000, '{"series_instance_uid": "1"}', "\x00", '"text"'])
def test_a_damaged_reference_is_named(studies, content):
    studies.image("a.nii.gz")
    (studies.root / "geometry").mkdir()
    studies.text("geometry/a.geometry.json", content)
    with pytest.raises(InputError, match=r"^geometry/a.geometry.json: does not place a series"):
        studies.archive.reference("a")


@pytest.mark.parametrize(
    ("case_id", "tag", "message"),
    [
        ("a", "../../x", r"label tag '../../x': is not known; choose one of final, rejected"),
        ("a", "version_1", "label tag"),
        ("../a", "final", "case id '../a': must not hold"),
        ("ghost", "final", "case id 'ghost': names no case"),
        ("", "final", "case id ''"),
    ],
)
def test_tags_and_ids_from_outside_are_checked(studies, case_id, tag, message):
    studies.image("a.nii.gz")
    archive = FolderArchive(studies.root)
    with pytest.raises(InputError, match=message):
        archive.label_file(case_id, tag)
    with pytest.raises(InputError, match=message):
        archive.put_label(case_id, tag, EMPTY, {})
    with pytest.raises(InputError, match=message):
        archive.remove_label(case_id, tag)


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows; run this on Linux or macOS")
def test_a_label_folder_that_leads_outside_is_not_written_to(studies, tmp_path):
    studies.image("a.nii.gz")
    (tmp_path / "outside").mkdir()
    (studies.root / "labels" / "rejected").symlink_to(tmp_path / "outside")
    with pytest.raises(InputError, match="leaves the studies folder"):
        studies.archive.put_label("a", "rejected", EMPTY, {})
    assert not list((tmp_path / "outside").iterdir())


def test_images_are_added_and_removed(studies, tmp_path):
    source = studies.image("x.NII.GZ".lower()).rename(tmp_path / "Upload.NII.GZ")
    archive = FolderArchive(studies.root)
    archive.add_image("new-1", source)
    assert archive.image_file("new-1") == archive.studies / "new-1.nii.gz"
    assert studies.roles() == {"new-1": Role.UNLABELLED}
    for taken in ("new-1", "NEW-1"):
        with pytest.raises(InputError, match=r"is taken by new-1.nii.gz"):
            archive.add_image(taken, source)
    for bad in ("../x", "a b", ".x", "Ä", ""):
        with pytest.raises(InputError, match="case id"):
            archive.add_image(bad, source)
    with pytest.raises(InputError, match=r"scan.dcm: is no image"):
        archive.add_image("y", tmp_path / "scan.dcm")
    archive.remove_image("new-1")
    archive.remove_image("new-1")
    assert studies.roles() == {}


def test_an_image_with_an_extension_in_capitals_is_found(studies):
    studies.image("a.nii").rename(studies.root / "a.NiI")
    archive = FolderArchive(studies.root)
    assert archive.image_file("a") == archive.studies / "a.NiI"
    with pytest.raises(InputError, match="'b': names no case"):
        archive.image_file("b")


def test_sweep_clears_half_written_files(studies):
    studies.text(".a.nii.gz.0123.tmp", "")
    studies.text("labels/final/.a.json.0123.tmp", "")
    assert FolderArchive(studies.root).sweep() == 2


def test_a_label_that_is_not_there_is_looked_for_without_listing_the_folder(studies, monkeypatch):
    """A verdict looks for the case's label: with 25,000 labels a listing takes longer than the verdict."""
    studies.image("a.nii.gz")
    studies.text("labels/final/other.json", "{}")
    archive = FolderArchive(studies.root)

    def no_listing(folder: object) -> None:
        raise AssertionError(f"{folder} was listed")

    monkeypatch.setattr("os.scandir", no_listing)
    with pytest.raises(InputError, match="no label final"):
        archive.label_file("a", "final")
