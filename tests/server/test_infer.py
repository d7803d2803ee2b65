"""POST /infer: answers with frozen proposals, makes one where there is none, stores nothing of uploads."""

import json
from email import message_from_bytes
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from recursive_expand.cases import voxel_sha256


@pytest.fixture
def infer(client, tmp_path):
    """Ask for a mask; returns (params, mask in native axes), or the refusal."""

    def _infer(case_id="", *, upload=None, suffix=".nii.gz", **params):
        files = {"file": (upload.name, upload.read_bytes())} if upload else None
        data = {"params": json.dumps({"result_extension": suffix, **params})}
        answer = client.post("/infer/recursive_ich", params={"image": case_id}, data=data, files=files)
        if answer.status_code != 200:
            return answer
        header = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in message_from_bytes(header + answer.content).get_payload()
        }
        path = tmp_path / f"answer{suffix}"
        path.write_bytes(parts["image"].get_payload(decode=True))
        return json.loads(parts["params"].get_payload()), sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T

    return _infer


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_the_frozen_proposal_is_served_as_it_is(infer, app, proposed, suffix):
    params, mask = infer("u0", suffix=suffix)
    proposal = app.recursion.ledger.proposals.current("u0")
    assert np.array_equal(mask, proposed("u0"))
    assert params | {"state": "", "voxels": {}, "confidence": 0} == {
        "proposal": voxel_sha256(np.ascontiguousarray(mask)),
        "round": 0,
        "second_look": False,
        "model_sha256": proposal.model_sha256,
        "slices": [0, 1, 2],
        "stored": True,
        "label_names": {
            "epidural": 1, "intraparenchymal": 2, "intraventricular": 3, "subarachnoid": 4, "subdural": 5,
        },
        "state": "",
        "voxels": {},
        "confidence": 0,
        "score": round(proposal.score, 4),
    }  # fmt: skip


def test_the_mask_lies_on_the_image(infer, app, tmp_path):
    infer("u0")
    image = sitk.ReadImage(str(app.recursion.archive.studies / "u0.nii.gz"))
    answer = sitk.ReadImage(str(tmp_path / "answer.nii.gz"))
    for name in ("GetSpacing", "GetOrigin", "GetDirection", "GetSize"):
        assert getattr(answer, name)() == pytest.approx(getattr(image, name)())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_the_client_chooses_the_voxel_type(infer, proposed, dtype):
    _, mask = infer("u0", result_dtype=dtype)
    assert mask.dtype == dtype
    assert np.array_equal(mask, proposed("u0"))


def test_a_case_without_a_proposal_gets_one_that_is_frozen_and_queued(infer, client, app):
    content = (app.recursion.archive.studies / "u0.nii.gz").read_bytes()
    client.put("/datastore/image?image=new", files={"file": ("new.nii.gz", content)})
    params, mask = infer("new")
    assert params["stored"]
    made = app.recursion.ledger.proposals.current("new")
    assert (made.sha256, made.round, made.state) == (voxel_sha256(np.ascontiguousarray(mask)), 0, "open")
    assert "new" in [entry["case_id"] for entry in client.get("/recursive/queue").json()]
    assert infer("new")[0]["proposal"] == params["proposal"]


def test_of_an_upload_nothing_is_stored(infer, app, tmp_path, proposed):
    upload = tmp_path / "upload.nii.gz"
    upload.write_bytes((app.recursion.archive.studies / "u0.nii.gz").read_bytes())
    before = sorted(map(str, app.recursion.archive.studies.rglob("*.nii.gz")))
    params, mask = infer(upload=upload)
    assert not params["stored"]
    assert np.array_equal(mask > 0, proposed("u0") > 0)
    assert sorted(map(str, app.recursion.archive.studies.rglob("*.nii.gz"))) == before
    assert "upload" not in app.recursion.ledger.cases.ids()


@pytest.mark.parametrize("case_id", ["p0", "t0"])
def test_a_case_with_an_expert_mask_is_predicted_and_not_proposed(infer, app, case_id):
    params, _ = infer(case_id)
    assert not params["stored"]
    assert app.recursion.ledger.proposals.current(case_id) is None


def test_files_of_the_server_are_not_read(infer, app, tmp_path):
    inside, outside = app.recursion.archive.studies / "u0.nii.gz", tmp_path / "other.nii.gz"
    outside.write_bytes(inside.read_bytes())
    for path in (inside, outside, Path("/etc/passwd"), tmp_path):
        assert infer(str(path)).status_code == 404
        assert infer("u0", image=str(path)).status_code == 422
    assert infer("nobody").status_code == 404
    assert infer("../u0").status_code == 404


def test_an_image_that_cannot_be_used_says_why(infer, app, client, tmp_path):
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 3, 2), np.int16), np.eye(4)), tmp_path / "four.nii.gz")
    answer = infer(upload=tmp_path / "four.nii.gz")
    assert (answer.status_code, "4" in answer.json()["detail"]) == (422, True)
    app.recursion.ledger.cases.set_aside("u0", "u0.nii.gz: is truncated")
    answer = infer("u0")
    assert (answer.status_code, answer.json()["detail"]) == (422, "u0.nii.gz: is truncated")


def test_a_case_that_breaks_as_it_is_proposed_says_why(infer, app, client):
    path = app.recursion.archive.studies / "new.nii.gz"
    client.put("/datastore/image?image=new", files={"file": ("u.nii.gz", (path.parent / "u0.nii.gz").read_bytes())})
    path.write_bytes(b"nonsense")
    answer = infer("new")
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("new.nii.gz: ")
    assert app.recursion.ledger.cases.get("new").state == "set_aside"
