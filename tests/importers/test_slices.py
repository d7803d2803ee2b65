"""slices.py: pictures become single-slice cases with roles and masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recursive_expand.archives.archive import check_case
from recursive_expand.archives.folder import FolderArchive
from recursive_expand.cases import Role
from recursive_expand.errors import InputError
from recursive_expand.importers.runner import run_import
from recursive_expand.importers.slices import SliceSettings, SlicesImporter

CT_ICH = Path(__file__).parents[3] / "shared" / "data" / "ct_ich_v1_slices"
CLASSES = ("epidural", "intraparenchymal", "subdural")


class Pictures:
    """A folder of pictures, one of masks, and the studies that they are imported to."""

    def __init__(self, root):
        self.images, self.masks, self.studies = root / "images", root / "masks", root / "studies"
        self.images.mkdir()
        self.masks.mkdir()

    def add(self, stem, mark=((1, 2),), *, value=255, shape=(6, 8)):
        grey = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        Image.fromarray(grey).save(self.images / f"{stem}.png")
        if mark is not None:
            mask = np.zeros(shape, np.uint8)
            for pixel in mark:
                mask[pixel] = value
            Image.fromarray(mask).save(self.masks / f"{stem}.png")
        return grey

    def load(self, masks=True, **settings):
        defaults = {"classes": CLASSES, "level": 40, "width": 120, "mask_class": "subdural"}
        settings = SliceSettings(**(defaults | settings))
        return run_import(SlicesImporter(self.images, settings, self.masks if masks else None), self.studies)

    def case(self, case_id):
        (found,) = [case for case in FolderArchive(self.studies, CLASSES).scan().cases if case.case_id == case_id]
        return found

    @property
    def archive(self):
        return FolderArchive(self.studies, CLASSES)


@pytest.fixture
def pictures(tmp_path):
    return Pictures(tmp_path)


def test_a_picture_becomes_a_slice_in_hu_with_its_mask(pictures):
    grey = pictures.add("a", [(1, 2)])
    report = pictures.load()
    assert report.imported == {"a": "8 x 6 pixels, pixel"}
    volume, mask = check_case(pictures.archive, pictures.case("a"))
    assert pictures.case("a").role is Role.PIXEL
    assert np.array_equal(volume.hu[0], np.rint(-20 + grey / 255 * 120))
    slices = mask.slices
    assert np.argwhere(slices).tolist() == [[0, 1, 2]] and slices.max() == 3
    assert volume.geometry.spacing[1:] == (0.5, 0.5)
    # Row 0 is the forehead, column 0 the patient's right.
    assert np.allclose(volume.geometry.affine[:2, :2], [[-0.5, 0], [0, -0.5]])


def test_black_and_white_are_the_ends_of_the_window(pictures):
    Image.fromarray(np.array([[0, 255] * 4] * 4, np.uint8)).save(pictures.images / "a.png")
    pictures.load(masks=False, role=Role.IMAGE)
    hu = check_case(pictures.archive, pictures.case("a"))[0].hu
    assert (hu.min(), hu.max()) == (-20, 100)


def test_the_assumed_spacing_is_said(pictures):
    pictures.add("a")
    assert pictures.load(spacing=0.4).notes == ["pixel spacing is not in a picture: 0.4 mm is assumed (--spacing)"]
    assert check_case(pictures.archive, pictures.case("a"))[0].geometry.spacing[1:] == pytest.approx((0.4, 0.4))


def test_the_spacing_is_the_one_that_fits_the_heads(pictures):
    across = np.arange(300) - 150
    radius = np.hypot(across[:, None], across)
    Image.fromarray(np.select([radius > 126, radius > 118], [0, 255], 90).astype(np.uint8)).save(
        pictures.images / "a.png"
    )
    (pictures.images / "b.png").write_bytes(b"no picture")
    report = pictures.load(masks=False, role=Role.IMAGE)
    assert "fits the size of the heads" in report.notes[0]
    spacing = check_case(pictures.archive, pictures.case("a"))[0].geometry.spacing[1]
    assert 253 * spacing == pytest.approx(167, rel=0.01)  # the ring is 253 pixels wide
    (pictures.images / "a.png").unlink()
    pictures.add("c")
    assert (
        pictures.load(masks=False, role=Role.IMAGE)
        .notes[0]
        .endswith("no skull tells it: 0.5 mm is assumed (--spacing)")
    )


def test_test_slices_are_held_out_from_the_moment_they_are_there(pictures, monkeypatch):
    pictures.add("a")
    pictures.add("b", None)
    seen = []

    def sync_folder(folder):
        images = sorted(path.name for path in pictures.studies.glob("*.nii.gz"))
        masks = sorted(path.name for path in pictures.studies.glob("labels/final/*.nii.gz"))
        seen.append((folder.name, images, masks, (pictures.studies / "cases.csv").read_text()))

    monkeypatch.setattr("recursive_expand.importers.batches.sync_folder", sync_folder)
    pictures.load(role=Role.TEST)
    table = "case_id,role\na,test\nb,test\n"
    masks = ["a.nii.gz"]
    assert seen == [("final", [], masks, table), ("studies", ["a.nii.gz", "b.nii.gz"], masks, table)]
    monkeypatch.undo()
    pictures.load(role=Role.TEST)
    assert (pictures.case("a").role, pictures.case("b").role) == (Role.TEST, Role.TEST)
    assert pictures.case("a").expert_label is not None and pictures.case("b").expert_label is None
    assert (pictures.studies / "cases.csv").read_text() == "case_id,role\na,test\nb,test\n"


def test_a_row_without_an_image_is_replaced_with_a_note(pictures):
    pictures.add("a")
    pictures.studies.mkdir()
    (pictures.studies / "cases.csv").write_text("case_id,role\na,pixel\nb,image\n")
    report = pictures.load(role=Role.TEST)
    assert "a: its row in cases.csv said pixel, no patient; it says test, no patient now" in report.notes
    assert (pictures.studies / "cases.csv").read_text() == "case_id,role\na,test\nb,image\n"


def test_image_slices_keep_only_the_classes_of_their_masks(pictures):
    pictures.add("a", [(1, 2)])
    pictures.add("b", [])
    pictures.load(role=Role.IMAGE)
    assert {case: pictures.case(case).role for case in "ab"} == {"a": Role.IMAGE, "b": Role.IMAGE}
    assert pictures.case("a").image_labels[None].present == {"subdural"}
    assert pictures.case("b").image_labels[None].present == set()
    assert not list((pictures.studies / "labels" / "final").iterdir())


def test_rows_are_added_to_tables_that_are_there(pictures):
    pictures.add("a")
    pictures.studies.mkdir()
    (pictures.studies / "cases.csv").write_text("\ufeffcase_id,role\nother,pixel", encoding="utf-8")
    pictures.load(role=Role.TEST)
    assert (pictures.studies / "cases.csv").read_text("utf-8-sig") == "case_id,role\nother,pixel\na,test\n"


def test_a_table_with_other_columns_is_not_written_to(pictures):
    pictures.add("a")
    pictures.studies.mkdir()
    (pictures.studies / "cases.csv").write_text("role;case_id\n")
    with pytest.raises(InputError, match=r"cases.csv: has other columns than case_id,role"):
        pictures.load(role=Role.TEST)
    assert not list(pictures.studies.glob("*.nii.gz"))


def test_class_values_are_mapped_to_the_task(pictures):
    pictures.add("a", value=7)
    pictures.load(mask_class=None, class_values={7: "intraparenchymal"})
    assert set(pictures.archive.read_expert_label("a").values) == {2}


def test_what_is_there_is_skipped(pictures):
    pictures.add("a")
    pictures.load()
    pictures.add("b")
    report = pictures.load()
    assert (list(report.imported), report.skipped) == (["b"], ["a"])


def test_a_broken_off_import_has_its_report_with_the_pictures_names(pictures, monkeypatch):
    monkeypatch.setattr("recursive_expand.importers.runner.TELL_SECONDS", 0)
    pictures.add("a")
    pictures.add("b")
    pictures.add("c", None)
    settings = SliceSettings(CLASSES, 40, 120, mask_class="subdural")

    def stop(stage, done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_import(SlicesImporter(pictures.images, settings, pictures.masks), pictures.studies, on_progress=stop)
    assert "imported,a,a.png," in (pictures.studies / "import-slices.csv").read_text()
    pictures.load()
    lines = (pictures.studies / "import-slices.csv").read_text().splitlines()
    assert lines[1].startswith('imported,a,a.png,"8 x 6 pixels, pixel; subdural')
    assert lines[2].startswith('imported,b,b.png,"8 x 6 pixels, pixel; subdural')
    assert lines[3].startswith("left out,c,c.png,has no mask of its name")


def test_bad_pictures_are_left_out_one_by_one(pictures):
    pictures.add("good")
    pictures.add("unmasked", None)
    pictures.add("other")
    Image.fromarray(np.zeros((650, 8), np.uint8)).save(pictures.masks / "other.png")
    pictures.add("twice")
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(pictures.images / "twice.bmp")
    Image.fromarray(np.full((6, 8, 3), (9, 99, 0), np.uint8)).save(pictures.images / "colour.png")
    Image.fromarray(np.zeros((2, 8), np.uint8)).save(pictures.images / "thin.png")
    (pictures.images / "broken.png").write_text("x")
    pictures.add("a b")
    pictures.add("a+b")
    report = pictures.load()
    assert list(report.imported) == ["a-b", "good"]
    assert sorted(line.split(" (")[0] for line in report.left_out) == [
        "a+b.png: would be case a-b, as a b.png is; rename one",
        "broken.png: is no picture that can be read",
        "colour.png: is a colour picture",
        "other.png: the mask has 8 x 650 pixels, its picture 8 x 6; they must match",
        "thin.png: has 2 x 8 pixels: too few for a CT",
        "twice.bmp, twice.png: have the same name; keep one",
        "unmasked.png: has no mask of its name; give an all-black one if there is nothing to mark",
    ]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mask_class": None}, "--class: is missing: say which class the masks mark"),
        ({"mask_class": "stroke"}, "class 'stroke': is not in the task; choose one of epidural"),
        ({"class_values": {1: "epidural"}}, "exclude each other"),
        ({"mask_class": None, "class_values": {1: "stroke"}}, "class 'stroke'"),
        ({"role": Role.UNLABELLED}, "--role unlabelled: is not possible here"),
        ({"masks": False}, "--role pixel: needs masks"),
        ({"width": 0}, "must be above 0"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_written(pictures, settings, message):
    pictures.add("a")
    with pytest.raises(InputError, match=message):
        pictures.load(**settings)
    assert not pictures.studies.exists()


def test_an_empty_folder_is_named(pictures):
    assert pictures.load().left_out == ["images: holds no pictures (.png, .jpg, .jpeg, .tif, .tiff, .bmp)"]


@pytest.mark.skipif(not CT_ICH.is_dir(), reason=f"real data missing: put ct_ich_v1_slices at {CT_ICH}")
def test_real_slices_are_imported_with_their_masks(tmp_path):
    settings = SliceSettings(CLASSES, 40, 120, mask_class="intraparenchymal")
    report = run_import(SlicesImporter(CT_ICH / "images", settings, CT_ICH / "masks"), tmp_path)
    assert len(report.imported) == 36 and not report.left_out
    archive = FolderArchive(tmp_path, CLASSES)
    scan = archive.scan()
    assert {case.role for case in scan.cases} == {Role.PIXEL} and not scan.set_aside
    volume, mask = check_case(archive, scan.cases[0])
    assert scan.cases[0].case_id == "10185"
    assert volume.hu.shape == (1, 650, 650) and mask.voxels() == {"intraparenchymal": 1516}
    blood = volume.hu[mask.slices == 2]
    assert 45 < np.median(blood) < 90


def test_blood_on_a_transparent_mask_is_no_background(pictures):
    pictures.add("a")
    alpha = np.zeros((6, 8), np.uint8)
    alpha[1, 2] = 255
    white = np.full((6, 8, 3), 255, np.uint8)
    for path in pictures.masks.iterdir():
        path.unlink()
    Image.fromarray(np.dstack([white, alpha])).save(pictures.masks / "a.png")
    report = pictures.load()
    assert "subdural 1 voxels" in report.measured["a"]
    volume, label = check_case(pictures.archive, pictures.case("a"))
    world = volume.geometry.affine @ (*np.argwhere(label.native)[0], 1)
    # Row 1 from the top and column 2 from the left, half a millimetre each.
    assert np.allclose(world[:2], (-1.0, -0.5)) and np.count_nonzero(label.native) == 1
