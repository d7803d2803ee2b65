"""Submitted labels: what each says about its proposal."""

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk

from recursive_expand.cases import Role, voxel_sha256
from recursive_expand.ledger import VerdictKind

SEGMENTS = [
    {"name": name, "idx": n}
    for n, name in enumerate(("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural"), 1)
]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("name", ["m.nii", "m.nii.gz", "m.nrrd"])
def test_unchanged_is_accept_in_any_coding(submit, proposed, reviewing, app, tmp_path, dtype, name):
    mask = proposed("u0").astype(dtype)
    image = nib.load(reviewing.archive.studies / "u0.nii.gz")
    if name.endswith(".nrrd"):
        lps = np.diag([-1.0, -1.0, 1.0]) @ image.affine[:3]
        header = {"space": "left-posterior-superior", "space directions": lps[:, :3].T, "space origin": lps[:, 3]}
        nrrd.write(str(tmp_path / name), mask, header)
    else:
        nib.save(nib.Nifti1Image(mask, image.affine), tmp_path / name)
    answer = submit("u0", tmp_path / name)
    assert answer.status_code == 200
    assert {key: answer.json()[key] for key in ("verdict", "round", "undecided", "image")} == {
        "verdict": "accept", "round": 0, "undecided": 2, "image": "u0",
    }  # fmt: skip
    assert app.recursion.ledger.judgements.of_case("u0")[0].accepted_slices == (0, 1, 2)


def test_emptied_is_reject_and_some_slices_emptied_reject_those(submit, proposed, app):
    assert submit("u0", np.zeros_like(proposed("u0"))).json()["verdict"] == "reject"
    mask = proposed("i1")
    mask[:, :, 2] = 0
    answer = submit("i1", mask, reviewer="ann", reason="motion", comment="c", seconds=3).json()
    assert (answer["verdict"], answer["rejected_slices"]) == ("accept", [2])
    [verdict] = app.recursion.ledger.judgements.of_case("i1")
    assert (verdict.reviewer, verdict.client, verdict.reason, verdict.comment, verdict.seconds) == (
        "ann", "slicer", "motion", "c", 3.0,
    )  # fmt: skip


def test_an_image_turned_right_handed_by_slicer_is_the_same(submit, proposed, reviewing, app, tmp_path):
    mask = proposed("u0")
    mask[:, :, 2] = 0  # the slices differ, so that a turn is told from none
    affine = nib.load(reviewing.archive.studies / "u0.nii.gz").affine @ np.array(
        [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 2], [0, 0, 0, 1]]
    )
    nib.save(nib.Nifti1Image(mask[:, :, ::-1], affine), tmp_path / "turned.nii.gz")
    assert submit("u0", tmp_path / "turned.nii.gz").json()["rejected_slices"] == [2]


def test_segments_that_slicer_renumbered_are_read_by_name(submit, proposed):
    mask = np.where(proposed("u0") == 2, 1, 0).astype(np.uint8)
    assert submit("u0", mask, label_info=SEGMENTS[1:]).json()["verdict"] == "accept"
    assert submit("i1", np.where(proposed("i1") == 2, 1, 0).astype(np.uint8)).status_code == 409


def test_an_edit_is_refused_with_slices_and_voxel_counts(submit, proposed, app):
    mask = proposed("u0")
    mask[0, 0, 1] = mask[0, 1, 1] = mask[5, 5, 2] = 4
    answer = submit("u0", mask)
    assert answer.status_code == 409
    assert answer.json()["detail"] == (
        "3 voxels differ from the proposal (slice 1: 2, slice 2: 1). Proposals are accepted or rejected, never edited: "
        "submit it unchanged to accept, empty to reject, or with some slices emptied to reject those"
    )
    assert app.recursion.ledger.judgements.of_case("u0") == []
    assert app.recursion.ledger.outbox.count().waiting == 0


def test_a_superseded_proposal_is_told_from_an_edit(submit, proposed, reviewing, freeze, next_round):
    old = proposed("u0")
    next_round()
    newer = np.zeros((3, 48, 48), np.uint8)
    newer[0, 10:14, 10:14] = 5
    freeze(reviewing, "u0", newer, round_index=1)
    answer = submit("u0", old)
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("this is round 0's proposal of case 'u0'; round 1 has a newer one")


def test_an_empty_proposal_needs_an_explicit_verdict(submit, reviewing, freeze, next_round):
    next_round()
    freeze(reviewing, "u0", np.zeros((3, 48, 48), np.uint8), round_index=1)
    empty = np.zeros((48, 48, 3), np.uint8)
    refused = submit("u0", empty)
    assert refused.status_code == 422
    assert "is empty, so an empty mask says neither accept nor reject" in refused.json()["detail"]
    assert submit("u0", empty, verdict="accept").json()["verdict"] == "accept"


@pytest.mark.parametrize(("said", "status"), [("reject", 200), ("accept", 200), ("maybe", 422)])
def test_an_unchanged_mask_may_come_with_its_verdict(submit, proposed, said, status):
    answer = submit("u0", proposed("u0"), verdict=said)
    assert answer.status_code == status
    if status == 200:
        assert answer.json()["verdict"] == said
    else:
        assert answer.json()["detail"] == "params.verdict: is 'maybe'; it must be accept or reject"


def test_mask_and_words_must_not_contradict_each_other(submit, proposed):
    answer = submit("u0", np.zeros_like(proposed("u0")), verdict="accept")
    assert (answer.status_code, answer.json()["detail"]) == (
        422, "params say accept, the submitted mask says reject; send one or the other",
    )  # fmt: skip


def test_resending_is_harmless_and_a_second_opinion_is_told_of_the_first(submit, proposed):
    first = submit("u0", proposed("u0")).json()
    assert submit("u0", proposed("u0")).json()["verdict_id"] == first["verdict_id"]
    other = submit("u0", np.zeros_like(proposed("u0")), client_id="other")
    assert other.status_code == 409
    assert "already decided (accept) by slicer at" in other.json()["detail"]


@pytest.mark.parametrize("case_id", ["p0", "t0"])
def test_cases_with_expert_masks_take_no_verdict(submit, app, case_id):
    path = app.recursion.archive.studies / "labels" / "final" / f"{case_id}.nii.gz"
    before = path.read_bytes()
    answer = submit(case_id, np.zeros((48, 48, 3), np.uint8))
    assert answer.status_code == 409
    assert "has an expert mask" in answer.json()["detail"]
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("shape", "text"), [((48, 48, 2), "has 48 x 48 x 2 voxels, its image 48 x 48 x 3; a mask has its image's shape")]
)
def test_a_mask_on_another_grid_is_refused(submit, tmp_path, shape, text):
    nib.save(nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4)), tmp_path / "m.nii.gz")
    answer = submit("u0", tmp_path / "m.nii.gz")
    assert (answer.status_code, answer.json()["detail"]) == (422, f"submitted mask: {text}")


@pytest.mark.parametrize("content", [b"", b"nonsense", b"NRRD0004\n"])
def test_a_file_that_is_no_mask_is_refused(submit, tmp_path, content):
    (tmp_path / "m.nii.gz").write_bytes(content)
    answer = submit("u0", tmp_path / "m.nii.gz")
    assert (answer.status_code, answer.json()["detail"][:16]) == (422, "submitted mask: ")


def test_fractions_are_no_classes(submit, proposed, tmp_path):
    image = sitk.GetImageFromArray(proposed("u0").T.astype(np.float32) * 0.5)
    sitk.WriteImage(image, str(tmp_path / "m.nrrd"))
    sitk.WriteImage(image + 0.25, str(tmp_path / "m.nrrd"))
    answer = submit("u0", tmp_path / "m.nrrd")
    assert answer.status_code == 422
    assert "a mask holds whole numbers" in answer.json()["detail"]


def test_an_edit_can_be_promoted_to_an_expert_mask(make_app, submit, proposed, client):
    app = make_app(edits="promote")
    mask = proposed("u0")
    mask[0:4, 0:4, 1] = 5
    assert submit("u0", mask).json()["verdict"] == "expert mask"
    case = app.recursion.ledger.cases.get("u0")
    assert case.role is Role.PIXEL
    assert case.pixel_sha256 == app.recursion.expert_label(case).sha256 == voxel_sha256(mask)
    assert app.recursion.ledger.queue.count() == 2
    refused = client.post(
        "/recursive/verdicts",
        json={
            "case_id": "u0",
            "proposal": app.recursion.ledger.proposals.current("u0").sha256,
            "verdict": "accept",
            "reviewer": "ann",
        },
    )
    assert refused.status_code == 409
    assert app.recursion.expert_label(app.recursion.ledger.cases.get("u0")).sha256 == voxel_sha256(mask)


def test_a_value_that_is_no_class_is_not_promoted(make_app, submit, proposed):
    app = make_app(edits="promote")
    mask = proposed("u0")
    mask[0, 0, 0] = 6
    answer = submit("u0", mask)
    assert answer.status_code == 422
    assert "holds the value 6, which is no class; classes are 1 epidural" in answer.json()["detail"]
    assert app.recursion.ledger.cases.get("u0").role is Role.UNLABELLED


def test_a_decided_case_is_not_promoted(make_app, submit, proposed):
    app = make_app(edits="promote")
    submit("u0", proposed("u0"))
    mask = proposed("u0")
    mask[0, 0, 0] = 1
    assert submit("u0", mask).status_code == 409
    assert [v.verdict for v in app.recursion.ledger.judgements.of_case("u0")] == [VerdictKind.ACCEPT]
