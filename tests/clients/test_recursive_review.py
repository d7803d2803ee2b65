"""Our Slicer module against a running server: real MRML nodes, real requests, a whole review by keyboard."""

import shutil
import time

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("slicer_core", reason="needs 3D Slicer's libraries: pip install slicer-core")

from recursive_expand.archives.images import read_geometry, write_volume
from recursive_expand.cases import Geometry, Volume
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.registration import register_cases
from recursive_expand.phantom import CLASSES

from ..server.conftest import AppServer
from ..server.desk.conftest import open_review
from .conftest import Radiologist
from .qt_without_screen import Settings

TILT = np.deg2rad(15)
AFFINES = {
    "right": np.diag([-4.0, -4.0, 5.0, 1.0]),
    # Slicer turns the third axis of these round.
    "left": np.diag([4.0, -4.0, 5.0, 1.0]),
    "downwards": np.diag([-4.0, 4.0, -5.0, 1.0]),
    # Slices are along the first axis.
    "upright": np.array([[0.0, -4, 0, 7], [0, 0, -4, 8], [5, 0, 0, 9], [0, 0, 0, 1]]),
    "oblique": np.array(
        [
            [-4.0, 0, 0, 3],
            [0, -4 * np.cos(TILT), -5 * np.sin(TILT), 4],
            [0, -4 * np.sin(TILT), 5 * np.cos(TILT), 5],
            [0, 0, 0, 1],
        ]
    ),
}
MARKED = (0, 1)
"""Slices with a mask in the cases of `AFFINES`: what is turned round has others."""


@pytest.fixture
def recursion(sixty):
    return sixty


@pytest.fixture(scope="module")
def turned_folder(tmp_path_factory, make_head, reopen, freeze):
    """One scan stored in several ways, and one as a picture of two dimensions; classes 2 and 5 are marked."""
    folder = tmp_path_factory.mktemp("turned") / "studies"
    folder.mkdir()
    hu, mask = make_head(3, bleeds=MARKED)
    mask[1][mask[1] > 0] = 5
    for case_id, affine in AFFINES.items():
        shape = (3, 48, 48) if case_id == "upright" else (48, 48, 3)
        write_volume(folder / f"{case_id}.nii.gz", Volume(hu, Geometry.of(shape, affine)), fsync=False)
    picture = sitk.GetImageFromArray(hu[0])
    picture.SetSpacing((4.0, 4.0))
    sitk.WriteImage(picture, str(folder / "flat.nrrd"))
    recursion = reopen(folder)

    def freeze_all():
        for case_id in AFFINES:
            freeze(recursion, case_id, mask, geometry=read_geometry(folder / f"{case_id}.nii.gz"))
        flat = read_geometry(folder / "flat.nrrd")
        freeze(recursion, "flat", mask[:1], geometry=flat)

    open_review(recursion, freeze_all)
    recursion.ledger.close()
    return folder


@pytest.fixture
def turned(turned_folder, reopen, make_app, tmp_path):
    """A server over those scans, and a reader in front of it."""
    shutil.copytree(turned_folder, tmp_path / "turned")
    recursion = reopen(tmp_path / "turned")
    register_cases(recursion)
    make_app(recursion)
    server = AppServer()
    ann = Radiologist(server.url, tmp_path)
    ann.connect()
    yield ann, recursion
    ann.widget.cleanup()
    server.stop()


def standing(recursion):
    return {verdict.case_id: verdict for verdict in recursion.ledger.judgements.verdicts()}


def holder(recursion, case_id):
    page = recursion.ledger.queue.page(now=time.time(), limit=100)
    return next(reader for proposal, reader in page if proposal.case_id == case_id)


def test_what_is_shown_is_what_the_server_has(turned):
    ann, recursion = turned
    util, slicer = ann.slicer.util, ann.slicer
    seen = {}
    for _ in range(len(AFFINES) + 1):
        case = ann.case
        proposal = recursion.ledger.proposals.current(case.item.case_id)
        geometry = recursion.volume(case.item.case_id).geometry
        label = frozen_label(recursion.workspace, proposal, CLASSES)
        # Voxel by voxel where they are: the image and the mask at every place in millimetres.
        hu, at = np.asarray(util.arrayFromVolume(case.volume)), _ras(case)
        native = np.linalg.inv(geometry.affine) @ at if case.item.case_id != "flat" else _plain(hu)
        index = tuple(np.rint(native[:3]).astype(int))
        shown = _voxels(slicer, case)
        np.testing.assert_array_equal(shown.ravel(), label.native[index])
        expected = geometry.orientation.to_native(recursion.volume(case.item.case_id).hu)[index]
        np.testing.assert_array_equal(hu.ravel(), expected)
        segmentation = case.segmentation.GetSegmentation()
        names = [segmentation.GetNthSegment(n).GetName() for n in range(segmentation.GetNumberOfSegments())]
        assert names == [CLASSES[value - 1] for value in np.unique(label.native) if value]
        assert [segmentation.GetNthSegment(n).GetLabelValue() for n in range(len(names))] == list(label.values)
        colours = {tuple(np.round(segmentation.GetNthSegment(n).GetColor(), 3)) for n in range(len(names))}
        assert len(colours) == len(names)
        for number in case.item.slices:
            case.go_to(number)
            assert case.slice_shown == number
            seen.setdefault(case.item.case_id, []).append(number)
        ann.press("n")
    assert seen == {case_id: list(MARKED) for case_id in AFFINES} | {"flat": [0]}


def _ras(case):
    """(4, voxels): every voxel's place, in the order of Slicer's arrays."""
    from RecursiveReviewLib.case import matrix_of

    i, j, k = case.grid.shape
    kji = np.indices((k, j, i)).reshape(3, -1)
    return matrix_of(case.volume) @ np.vstack([kji[::-1], np.ones(kji.shape[1])])


def _plain(array):
    """A picture has no third direction: its voxels are where they are in the file."""
    kji = np.indices(array.shape).reshape(3, -1)
    return np.vstack([kji[::-1], np.ones(kji.shape[1])])


def _voxels(slicer, case):
    """(k, j, i) class values, taken out of the segments one by one."""
    found = np.zeros(case.grid.shape[::-1], np.uint8)
    segmentation = case.segmentation.GetSegmentation()
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        voxels = slicer.util.arrayFromSegmentBinaryLabelmap(
            case.segmentation, segmentation.GetNthSegmentID(number), case.volume
        )
        found[voxels > 0] = segment.GetLabelValue()
    return found


def test_a_whole_review_by_keyboard(turned):
    ann, recursion = turned
    ann.widget.ui.commentText.setText("thin rim")
    given = {ann.press(key): key for key in ("a", "x", "1", "6", "a", "x")}
    assert ann.case is None and len(given) == 6
    assert "wait" in ann.message.lower() or "round" in ann.message
    found = standing(recursion)
    reasons = {"a": None, "x": None, "1": "bone_or_calcification", "6": "other"}
    assert {case_id: (v.verdict, v.reason) for case_id, v in found.items()} == {
        case_id: ("accept" if key == "a" else "reject", reasons[key]) for case_id, key in given.items()
    }
    assert {(v.reviewer, v.client) for v in found.values()} == {("ann", "slicer")}
    assert [v.comment for v in found.values() if v.comment] == ["thin rim"]
    facts = [recursion.ledger.readings.facts(v.verdict_id) for v in recursion.ledger.judgements.verdicts()]
    assert [one.position for one in facts] == list(range(6))
    assert {(one.view, one.input_device, one.overlay) for one in facts} == {("case", "keyboard", True)}
    assert all(one.slices_seen and one.decided >= one.first_paint for one in facts)
    assert ann.widget.ui.progress.value == ann.widget.ui.progress.maximum == 6
    # Nothing of six cases is left in the scene.
    scene = ann.slicer.mrmlScene
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert recursion.ledger.audit.verify() is None


def test_undo_takes_back_and_shows_again(radiologist, recursion):
    ann = radiologist()
    given = [ann.press("a") for _ in range(3)]
    for case_id in reversed(given):
        ann.press("u")
        assert ann.case.item.case_id == case_id
        assert holder(recursion, case_id) == "ann"
    assert standing(recursion) == {}
    assert ann.press("x") == given[0]
    assert standing(recursion)[given[0]].verdict == "reject"
    ann.press("u")
    ann.press("u")
    assert "nothing to undo" in ann.message


def test_a_slice_alone_is_rejected(radiologist, recursion):
    ann = radiologist()
    while len(ann.case.item.slices) < 2:
        ann.press("n")
    first, second = ann.case.item.slices
    ann.case.go_to(second)
    ann.press("s")
    assert f"slice {second} · wrong" in ann.widget.ui.caseFacts.text
    ann.case.go_to(first)
    ann.press("s")
    ann.press("s")
    case_id = ann.press("a")
    verdict = standing(recursion)[case_id]
    assert (verdict.accepted_slices, verdict.rejected_slices) == ((first,), (second,))


def test_a_hundred_times_next_and_the_keys_are_there(radiologist, recursion):
    ann = radiologist()
    seen = [ann.press("n") for _ in range(100)]
    # Nothing is decided: all sixty came, then the first ones again.
    assert len(set(seen)) == 60 and seen[60:] == seen[:40]
    assert standing(recursion) == {}
    held = [p.case_id for p, reader in recursion.ledger.queue.page(now=time.time(), limit=100) if reader == "ann"]
    assert held == [ann.case.item.case_id]
    assert len(ann.window.shortcuts) == 13 and not any(each.repeats for each in ann.window.shortcuts)
    ann.widget.exit()
    ann.widget.exit()
    assert ann.window.shortcuts == [] and ann.window.press("a") == 0
    ann.widget.enter()
    ann.widget.enter()
    assert list(standing(recursion)) == [] and ann.press("a") in standing(recursion)
    case_id = ann.case.item.case_id
    ann.widget.cleanup()
    assert ann.window.shortcuts == []
    assert holder(recursion, case_id) is None


def test_the_next_case_is_there_before_it_is_asked_for_and_nobody_s(radiologist, recursion):
    ann = radiologist()
    wait(ann, lambda: ann.session.preloaded is not None)
    ahead = ann.session.preloaded
    assert holder(recursion, ahead) is None
    # Another reader takes it meanwhile: it is left out, not shown to both.
    recursion.ledger.queue.hold("bob", [ahead], now=time.time(), lease_seconds=60)
    ann.press("n")
    assert ann.case.item.case_id != ahead
    assert holder(recursion, ann.case.item.case_id) == "ann"


def test_buttons_do_what_keys_do(radiologist, recursion):
    ann = radiologist()
    ui = ann.widget.ui
    assert (ui.accept.text, ui.reject.text, ui.reason3.text) == ("Accept (A)", "Reject (X)", "Wrong class (3)")
    ui.preset4.click()
    assert ann.case.window == (600, 2800)
    case_id = ann.case.item.case_id
    ui.accept.click()
    facts = recursion.ledger.readings.facts(standing(recursion)[case_id].verdict_id)
    assert (facts.input_device, facts.window_level, facts.window_width) == ("mouse", 600, 2800)
    # The window stays for the next case.
    assert ann.case.window == (600, 2800)
    ann.press("w")
    assert ann.case.window == (80, 200)


def test_a_server_that_is_gone_keeps_the_case_and_gives_one_verdict(radiologist, recursion, desk):
    ann = radiologist()
    case_id = ann.case.item.case_id
    desk.stop()
    ann.press("a")
    assert "does not answer" in ann.message and ann.case.item.case_id == case_id
    desk.start()
    assert ann.press("a") == case_id
    assert list(standing(recursion)) == [case_id]


def test_what_the_server_took_counts_where_its_answer_was_lost(radiologist, recursion, monkeypatch):
    ann = radiologist()
    client = ann.session._client
    real = client.give

    def lost(verdict):
        real(verdict)
        monkeypatch.setattr(client, "give", real)
        raise ann.module.ServerError("the line broke")

    monkeypatch.setattr(client, "give", lost)
    case_id = ann.press("a")
    assert (ann.message, ann.case.item.case_id) == ("the line broke", case_id)
    ann.press("x")
    assert f"earlier verdict on {case_id} (accept)" in ann.message
    assert standing(recursion)[case_id].verdict == "accept"
    ann.press("u")
    ann.press("x")
    assert standing(recursion)[case_id].verdict == "reject"


def test_a_case_is_the_reader_s_until_its_lease_ends(radiologist, recursion):
    ann = radiologist()
    case_id = ann.case.item.case_id
    ann.widget.exit()
    recursion.ledger.queue.hold("ann", [case_id], now=time.time() - 1000, lease_seconds=1)
    ann.widget.tick()
    assert holder(recursion, case_id) is None
    ann.widget.enter()
    wait(ann, lambda: holder(recursion, case_id) == "ann")
    recursion.ledger.queue.release("ann", [case_id])
    recursion.ledger.queue.hold("bob", [case_id], now=time.time(), lease_seconds=60)
    ann.widget.enter()
    wait(ann, lambda: "no longer yours" in ann.message)


def wait(ann, condition):
    """Let the module's timer fire until something is so."""
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        ann.widget._timer.timeout.emit()


def test_what_somebody_else_decided_is_said(radiologist, recursion):
    from recursive_expand.ledger import Actor, VerdictKind

    ann = radiologist()
    item = ann.case.item
    recursion.ledger.judgements.give(Actor("bob", "desk"), item.case_id, item.proposal, VerdictKind.REJECT)
    ann.press("a")
    assert "was already decided (reject) by bob" in ann.message
    ann.press("n")
    assert ann.case.item.case_id != item.case_id


def test_a_closed_scene_gives_the_case_back(radiologist, recursion):
    ann = radiologist()
    case_id = ann.case.item.case_id
    ann.slicer.mrmlScene.Clear()
    ann.widget.tick()
    assert ann.case is None and holder(recursion, case_id) is None
    ann.press("n")
    assert ann.case is not None


def test_who_reads_is_asked_for_first(radiologist):
    ann = radiologist("", connect=False)
    ann.connect()
    assert ann.session is None and "Who reads?" in ann.message
    assert not ann.widget.ui.user.visible and not ann.widget.ui.password.visible
    address = ann.widget.ui.address.text
    ann.widget.ui.address.setText("file:///etc")
    ann.widget.ui.reviewer.setText("ann")
    ann.connect()
    assert "is no server's address" in ann.message
    ann.widget.ui.address.setText(address)
    ann.widget.ui.reviewer.returnPressed.emit()
    assert ann.case is not None and Settings.values["RecursiveReview/reviewer"] == "ann"


def test_a_server_with_accounts_is_signed_in_to(radiologist, monkeypatch):
    ann = radiologist("", connect=False)
    ui, client = ann.widget.ui, ann.module.Client
    monkeypatch.setattr(client, "needs_sign_in", lambda _: True)
    tried = []
    monkeypatch.setattr(client, "sign_in", lambda self, user, password: tried.append((user, password)))
    ann.connect()
    assert "user name and password" in ann.message and tried == []
    assert ui.user.visible and ui.password.visible and not ui.reviewer.visible
    ui.user.setText("ann")
    ui.password.setText("secret")
    ann.connect()
    assert tried == [("ann", "secret")] and ann.case is not None
    # A password is kept nowhere.
    assert ui.password.text == "" and "secret" not in str(Settings.values)


def test_slicer_s_own_test_of_the_module_passes(radiologist):
    radiologist(connect=False).module.RecursiveReviewTest().runTest()
