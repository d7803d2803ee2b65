"""MONAI Label's datastore over archive and ledger: every id and tag is checked."""

import gzip
import io
import zipfile

import nibabel as nib
import numpy as np
import pytest
from fastapi import HTTPException

TAGS = ["final", "rejected", "original", "version_0"]


@pytest.mark.parametrize("image", ["../p0", "..%2Fp0", "/etc/passwd", ".", "", "nobody", "p0.nii.gz"])
@pytest.mark.parametrize("route", ["/datastore/image", "/datastore/image/info"])
def test_an_id_that_is_no_case_is_unknown(client, route, image):
    answer = client.get(route, params={"image": image})
    assert answer.status_code == 404
    assert "there is no case" in answer.json()["detail"]


@pytest.mark.parametrize("tag", ["../../x", "../final", "version_-1", "version_x", "version_", "", "Final", "a" * 100])
def test_a_tag_that_is_not_on_the_list_is_refused(client, tag):
    answer = client.get("/datastore/label", params={"label": "u0", "tag": tag})
    assert answer.status_code == 422
    assert "is not known; choose final, rejected, original or version_<round>" in answer.json()["detail"]


def test_a_round_that_made_no_proposal_is_named(client):
    answer = client.get("/datastore/label", params={"label": "u0", "tag": "version_7"})
    assert (answer.status_code, answer.json()["detail"]) == (404, "round 7 made no proposal for case 'u0'")
    assert client.get("/datastore/label", params={"label": "u0", "tag": "final"}).status_code == 404


@pytest.mark.parametrize("tag", ["../../x", "rejected", "original", "version_0", "x"])
def test_only_final_can_be_submitted(client, submit, proposed, app, tag):
    before = sorted(str(path) for path in app.recursion.archive.studies.parent.rglob("*"))
    answer = submit("u0", proposed("u0"), tag=tag)
    assert answer.status_code == 422
    assert "cannot be submitted; submit `final`" in answer.json()["detail"]
    after = sorted(str(path) for path in app.recursion.archive.studies.parent.rglob("*"))
    assert [path for path in after if path not in before] == [
        str(app.recursion.archive.studies.parent / "submitted.nii.gz")
    ]


@pytest.mark.parametrize("tag", ["version_0", "original"])
def test_any_client_reads_the_proposal_under_its_tag(client, proposed, tag):
    answer = client.get("/datastore/label", params={"label": "u0", "tag": tag})
    image = nib.Nifti1Image.from_bytes(gzip.decompress(answer.content))
    assert np.array_equal(np.asarray(image.dataobj), proposed("u0"))
    info = client.get("/datastore/label/info", params={"label": "u0", "tag": tag}).json()
    assert (info["round"], info["state"], info["slices"]) == (0, "open", [0, 1, 2])


def test_labels_carry_the_verdict_behind_them(client, app, submit, proposed):
    mask = proposed("u0")
    mask[:, :, 1] = 0
    assert submit("u0", mask).status_code == 200
    for tag, slices in (("final", {"rejected_slices": [1]}), ("rejected", {"slices": [1]})):
        info = client.get("/datastore/label/info", params={"label": "u0", "tag": tag}).json()
        verdict = app.recursion.ledger.judgements.of_case("u0")[0]
        assert info == {
            "verdict": "accept" if tag == "final" else "reject",
            "round": 0,
            "model_sha256": verdict.model_sha256,
            "proposal_sha256": verdict.proposal_sha256,
            "reviewer": "slicer",
            "client": "slicer",
            "ts": verdict.ts,
            "authenticated": False,
            "reason": None,
            **slices,
        }
    assert app.datastore().get_labels_by_image_id("u0") == dict.fromkeys(["final", "rejected", "version_0"], "u0")


def test_listings_tell_images_and_labels(client, app):
    listing = client.get("/datastore/?output=all").json()
    assert listing["objects"].keys() == {"i0", "i1", "p0", "p1", "p2", "t0", "u0"}
    assert list(listing["objects"]["u0"]["labels"]) == ["final", "version_0"]
    assert listing["objects"]["u0"]["image"] == {"ext": ".nii.gz", "info": {"name": "u0.nii.gz"}}
    assert client.get("/datastore/").json() == {
        "total": 7, "completed": 4, "label_tags": {"final": 4}, "train": [],
    }  # fmt: skip
    assert app.datastore().get_unlabeled_images() == ["i0", "i1", "u0"]
    first = client.get("/datastore/?output=train").json()[0]
    assert first["image"].endswith("p0.nii.gz")
    assert first["label"].endswith("labels/final/p0.nii.gz")


def test_expert_masks_say_so(client):
    info = client.get("/datastore/label/info", params={"label": "p0", "tag": "final"}).json()
    assert info == {"source": "expert mask"}


def test_labels_cannot_be_erased(client, submit, proposed, app):
    submit("u0", proposed("u0"))
    answer = client.delete("/datastore/label?id=u0&tag=final")
    assert answer.status_code == 409
    assert "DELETE /recursive/verdicts/{id} takes one back" in answer.json()["detail"]
    assert app.datastore().get_label_by_image_id("u0", "final") == "u0"


def test_an_uploaded_image_becomes_a_case(client, app):
    content = (app.recursion.archive.studies / "u0.nii.gz").read_bytes()
    answer = client.put("/datastore/image?image=new-1", files={"file": ("x.nii.gz", content)})
    assert answer.json() == {"image": "new-1"}
    assert client.get("/datastore/image?image=new-1").content == content
    assert app.recursion.ledger.cases.get("new-1").role == "unlabelled"


@pytest.mark.parametrize(
    ("image", "content", "reason"),
    [
        ("../evil", None, "must not hold any of"),
        ("a b", None, "must begin with a letter or digit"),
        ("u0", None, "is taken by u0.nii.gz"),
        ("broken", b"nonsense", "broken.nii.gz"),
    ],
)
def test_an_upload_that_cannot_be_used_leaves_nothing(client, app, image, content, reason):
    before = {path for path in app.recursion.archive.studies.parent.rglob("*") if path.suffix == ".gz"}
    content = content or (app.recursion.archive.studies / "i0.nii.gz").read_bytes()
    answer = client.put("/datastore/image", params={"image": image}, files={"file": ("x.nii.gz", content)})
    assert answer.status_code == 422
    assert reason in answer.json()["detail"]
    assert {path for path in app.recursion.archive.studies.parent.rglob("*") if path.suffix == ".gz"} == before


def test_an_image_is_not_removed_over_http(client, app):
    for path in ("/datastore/image?image=u0", "/datastore/?id=u0"):
        answer = client.delete(path)
        assert (answer.status_code, "never removed over HTTP" in answer.json()["detail"]) == (403, True)
    with pytest.raises(HTTPException, match="403"):
        app.datastore().remove_image("u0")
    assert (app.recursion.archive.studies / "u0.nii.gz").is_file()


def test_an_image_taken_out_of_the_folder_leaves_the_queue_and_keeps_its_record(client, app, submit, proposed):
    submit("i0", proposed("i0"))
    for case_id in ("i0", "u0"):
        (app.recursion.archive.studies / f"{case_id}.nii.gz").unlink()
    app.datastore().refresh()
    assert {entry["case_id"] for entry in client.get("/recursive/queue").json()} == {"i1"}
    status = client.get("/recursive/status").json()
    assert {entry["source"]: entry["reason"] for entry in status["set_aside"]}.items() >= {
        case_id: f"{case_id}: its image is no longer in {app.recursion.archive.name}; put it back to use it"
        for case_id in ("i0", "u0")
    }.items()
    assert status["verdicts"]["accept"] == 1


def test_a_label_without_a_person_behind_it_is_not_saved(app, tmp_path, proposed):
    (tmp_path / "m.nii.gz").write_bytes(b"")
    with pytest.raises(HTTPException, match=r"409: labels are verdicts: send them to PUT /datastore/label"):
        app.datastore().save_label("u0", str(tmp_path / "m.nii.gz"), "final", {})
    assert app.recursion.ledger.judgements.verdicts() == []


def test_labels_that_wait_for_the_archive_do_not_break_the_listings(client, app, submit, proposed):
    submit("u0", proposed("u0"))
    (app.recursion.archive.studies / "labels" / "final" / "u0.nii.gz").unlink()
    listed = [entry["image"] for entry in client.get("/datastore/?output=train").json()]
    assert [path.rsplit("/", 1)[1] for path in listed] == [f"{case}.nii.gz" for case in ("p0", "p1", "p2", "t0")]
    assert client.get("/datastore/label?label=u0&tag=final").status_code == 404
    assert client.get("/datastore/dataset").status_code == 200


def test_the_dataset_is_images_with_their_final_labels(client, submit, proposed):
    submit("u0", proposed("u0"))
    answer = client.get("/datastore/dataset")
    names = set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())
    expected = {f"{case}.nii.gz" for case in ("p0", "p1", "p2", "t0", "u0")}
    assert names == expected | {f"labels/final/{name}" for name in expected}


def test_name_and_description_are_not_the_client_s(app):
    assert app.datastore().name() == app.recursion.archive.studies.name
    for change in (app.datastore().set_name, app.datastore().set_description):
        with pytest.raises(HTTPException, match="405"):
            change("x")
