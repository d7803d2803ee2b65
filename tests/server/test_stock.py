"""MONAI Label's routes as we answer them: its doors are shut, its clients' requests work."""

import gzip
import hashlib
import json
import tempfile

import pytest
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import background_tasks

from recursive_expand.server.stock.fields import NOT_IN_IMAGE_INFO


@pytest.fixture
def started(monkeypatch):
    """Requests of background tasks, which are noted and not run."""
    requests = []

    def run(method, request=None, params=None, force_sync=False, enqueue=False):
        assert not force_sync
        requests.append((method, {**request, **params}))
        return {"id": "1", "status": "SUBMITTED", "start_ts": "now", "request": request}, None

    monkeypatch.setattr(AsyncTask, "run", staticmethod(run))
    return requests


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The temporary folder, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def infer(client, case_id="u0", query="", files=None, **params):
    return client.post(
        f"/infer/recursive_ich?image={case_id}&output=json{query}", data={"params": json.dumps(params)}, files=files
    )


def test_the_next_sample_is_the_server_s_word(client, app):
    app.recursion.ledger.cases.update_info("u0", {"id": "other", "path": "/etc/passwd", "strategy": 5, "note": "x"})
    answer = client.post("/activelearning/first", json={"client_id": "ann", "largest_cc": True}).json()
    while answer["id"] != "u0":
        answer = client.post("/activelearning/random", json={}).json()
    assert (answer["note"], answer["name"]) == ("x", "u0.nii.gz")
    assert answer["path"].endswith("u0.nii.gz")
    assert client.post("/activelearning/recursive_expand").status_code == 200


@pytest.mark.parametrize("body", [{"client_id": 5}, {"skip": ["u0"]}, {"client_id": "x" * 201}, [], "x"])
def test_a_sample_is_asked_for_with_texts(client, body):
    assert client.post("/activelearning/recursive_expand", json=body).status_code == 422


def test_unknown_names_are_404(client):
    for path in ("/activelearning/nothing", "/infer/nothing?image=u0", "/train/nothing", "/batch/infer/nothing"):
        answer = client.post(path)
        assert (answer.status_code, "GET /info/ lists them" in answer.json()["detail"]) == (404, True)


def test_a_key_of_monai_label_s_cannot_turn_infer_into_a_verdict(client, app):
    answer = infer(client, save_label=True, label_tag="final")
    assert answer.status_code == 422
    answer = infer(client, save_label=True)
    assert (answer.status_code, "PUT /datastore/label" in answer.text) == (422, True)
    assert infer(client, save_label=False, largest_cc=True, device="cuda").status_code == 200
    assert app.recursion.ledger.judgements.of_case("u0") == []


@pytest.mark.parametrize("key", ["image", "model", "session", "session_id", "bundle_path", "label_tag"])
def test_infer_takes_no_other_names_from_params(client, key):
    answer = infer(client, **{key: "x"})
    assert (answer.status_code, answer.json()["detail"].startswith(f"params.{key}: ")) == (422, True)


def test_infer_removes_no_folder_that_a_request_names(client, tmp_path):
    (tmp_path / "mine").mkdir()
    answer = infer(client, query=f"&session_id={tmp_path / 'mine'}")
    assert (answer.status_code, "there are no sessions" in answer.json()["detail"]) == (422, True)
    assert (tmp_path / "mine").is_dir()


@pytest.mark.parametrize("params", ["[1]", "{", '{"result_dtype": 5}', '{"result_extension": NaN}', '{"a": 1e999}'])
def test_params_are_checked(client, params):
    answer = client.post("/infer/recursive_ich?image=u0", data={"params": params})
    assert answer.status_code == 422


def test_infer_without_an_image_says_so(client):
    answer = client.post("/infer/recursive_ich")
    assert (answer.status_code, answer.json()["detail"][:7]) == (422, "image: ")


def test_the_parts_of_an_answer_can_be_asked_for(client, proposed):
    whole = client.post("/infer/recursive_ich?image=u0", data={"params": '{"result_extension": ".nii.gz"}'})
    assert whole.headers["content-type"].startswith("multipart/form-data")
    image = client.post(
        "/infer/recursive_ich?image=u0&output=image", data={"params": '{"result_extension": ".nii.gz"}'}
    )
    assert gzip.decompress(image.content)[:4] == (348).to_bytes(4, "little")
    assert image.content in whole.content
    assert client.post("/infer/recursive_ich?image=u0&output=dicom_seg").status_code == 422


@pytest.mark.parametrize("route", ["/train/recursive_ich", "/train/"])
@pytest.mark.parametrize(
    "body",
    [
        {"only": 99, "gpus": 1},
        {"gpus": 1},
        {"gpus": "0; rm"},
        {"only": 1},
        {"bundle_path": "/tmp/x"},
        {"multi_gpu": "yes"},
        {"recursive_ich": {"bundle_path": "/tmp"}},
        {"max_epochs": 1},
    ],
)
def test_a_round_is_asked_for_with_known_typed_keys(client, started, route, body):
    assert client.post(route, json=body).status_code == 422
    assert started == []


def test_slicer_s_train_button_works(client, started):
    answer = client.post("/train/recursive_ich", json={"multi_gpu": True, "client_id": "ann"})
    assert answer.json()["status"] == "SUBMITTED"
    assert started == [("train", {"model": "recursive_ich", "multi_gpu": True, "gpus": "all"})]
    assert client.post("/train/").json()["recursive_ich"]["result"]["id"] == "1"


def test_no_task_runs_inside_the_server(client, started):
    for path in ("/train/recursive_ich", "/train/", "/batch/infer/recursive_ich"):
        assert client.post(f"{path}?run_sync=true").status_code == 422
    assert started == []


def test_monai_label_s_defaults_for_batches_work_and_other_keys_do_not(client, started):
    defaults = {
        "device": "cuda", "multi_gpu": True, "gpus": "all", "logging": "WARNING", "save_label": True,
        "label_tag": "original", "max_workers": 1, "max_batch_size": 0,
    }  # fmt: skip
    assert client.post("/batch/infer/recursive_ich?images=unlabeled", json=defaults).status_code == 200
    assert started == [("batch_infer", {"model": "recursive_ich", "multi_gpu": True, "gpus": "all"})]
    for bad in ({"bundle_path": "/tmp"}, {"gpus": 1}, {"device": "cuda; x"}, {"label_tag": "final"}, {"image": "x"}):
        assert client.post("/batch/infer/recursive_ich", json=bad).status_code == 422
    assert client.post("/batch/infer/recursive_ich?images=none").status_code == 422
    assert len(started) == 1


def test_a_task_s_traceback_stays_in_the_log(client):
    lines = ["Traceback (most recent call last):", '  File "/srv/x.py", line 1', "ValueError: no", ""]
    background_tasks["train"] = [{"id": "1", "status": "ERROR", "details": lines}]
    assert client.get("/train/").json() == {"id": "1", "status": "ERROR", "details": ["ValueError: no"]}
    assert [task["id"] for task in client.get("/train/?all=true").json()] == ["1"]
    assert client.get("/train/?check_if_running=true").status_code == 404
    assert client.delete("/train/").json() is None
    assert client.get("/batch/infer").status_code == 404


@pytest.mark.parametrize("key", NOT_IN_IMAGE_INFO)
def test_an_image_s_info_does_not_say_what_the_server_says(client, app, key):
    answer = client.put("/datastore/image/info?image=u0", data={"info": json.dumps({key: "x"})})
    assert (answer.status_code, answer.json()["detail"].startswith(f"info.{key}: ")) == (422, True)
    assert client.get("/datastore/image/info?image=u0").json() == {"name": "u0.nii.gz"}


@pytest.mark.parametrize(
    "info", ['{"a": NaN}', '{"a": 1e999}', "[]", '"x"', '{"a": "\\ud800"}', "[" * 9999, '{"a": 9223372036854775808}']
)
@pytest.mark.parametrize("path", ["/datastore/image/info?image=u0", "/datastore/label/info?label=u0&tag=final"])
def test_what_cannot_be_sent_again_is_not_attached(client, path, info):
    assert client.put(path, data={"info": info}).status_code == 422
    assert client.get("/datastore/?output=all").status_code == 200
    assert client.post("/activelearning/first").status_code == 200


def test_notes_are_attached(client):
    assert client.put("/datastore/image/info?image=u0", data={"info": '{"ward": "A"}'}).status_code == 200
    assert client.get("/datastore/image/info?image=u0").json() == {"ward": "A", "name": "u0.nii.gz"}


@pytest.mark.parametrize("path", ["/datastore/image?id=u0", "/datastore/?id=u0"])
def test_originals_are_not_removed(client, app, path):
    answer = client.delete(path)
    assert (answer.status_code, "never removed over HTTP" in answer.json()["detail"]) == (403, True)
    assert (app.recursion.archive.studies / "u0.nii.gz").is_file()


@pytest.mark.parametrize("path", ["/datastore/image", "/datastore/"])
def test_originals_are_not_replaced(client, app, path):
    before = (app.recursion.archive.studies / "u0.nii.gz").read_bytes()
    other = (app.recursion.archive.studies / "i0.nii.gz").read_bytes()
    assert client.put(f"{path}?image=u0", files={"file": ("x.nii.gz", other)}).status_code == 422
    assert client.put(path, files={"file": ("u0.nii.gz", other)}).status_code == 422
    assert (app.recursion.archive.studies / "u0.nii.gz").read_bytes() == before


def test_an_image_is_named_after_its_file(client, app):
    content = (app.recursion.archive.studies / "u0.nii.gz").read_bytes()
    answer = client.put(
        "/datastore/", files={"file": ("1.2.840.nii.gz", content)}, data={"params": '{"client_id": "a"}'}
    )
    assert answer.json() == {"image": "1.2.840"}
    assert client.get("/datastore/image/info?image=1.2.840").json() == {"name": "1.2.840.nii.gz"}


@pytest.mark.parametrize("params", [{"client_id": 5}, {"reviewer": ["ann"]}, {"comment": {"a": 1}}])
def test_who_submits_is_a_text(client, submit, proposed, app, params):
    answer = submit("u0", proposed("u0"), **params)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "params", next(iter(params))]
    assert app.recursion.ledger.judgements.of_case("u0") == []


def test_a_checksum_is_compared(client, app):
    digest = hashlib.sha256((app.recursion.archive.studies / "u0.nii.gz").read_bytes()).hexdigest()
    for text, status in ((digest, 200), (f"SHA256:{digest}", 200), ("SHA256:00", 404), ("MD9:00", 422)):
        assert client.head("/datastore/image", params={"image": "u0", "check_sum": text}).status_code == status
    assert client.head("/datastore/image?image=nobody").status_code == 404
    assert client.head("/datastore/label?image=u0&tag=version_0").status_code == 200


def test_nothing_stays_in_the_temporary_folder(client, app, submit, proposed, temporary):
    content = (app.recursion.archive.studies / "u0.nii.gz").read_bytes()
    for sent in (content, b"nonsense"):
        client.put("/datastore/image?image=new", files={"file": ("a.nii.gz", sent)})
        infer(client, "", files={"file": ("a.nii.gz", sent)})
        client.post("/infer/recursive_ich", files={"file": ("a.nii.gz", sent)})
    submit("u0", proposed("u0"), tag="wrong")
    submit("u0", proposed("u0"))
    client.post("/infer/recursive_ich?image=i0")
    assert client.get("/datastore/dataset?limit_cases=1").status_code == 200
    assert list(temporary.iterdir()) == []


def test_the_icon_and_the_sign_in(client):
    assert client.get("/favicon.ico").content[:4] == b"\x00\x00\x01\x00"
    assert client.get("/auth/").json()["enabled"] is False
    answer = client.post("/auth/token", data={"username": "a", "password": "b", "grant_type": "password"})
    assert answer.json() == {"access_token": None, "token_type": None}
    assert client.get("/auth/token/valid").json()["username"] == "admin"


def test_numbers_of_a_path_and_a_query_fit_the_ledger(client):
    big = "9" * 30
    assert client.get(f"/recursive/queue?offset={big}").status_code == 422
    assert client.delete(f"/recursive/verdicts/{big}?reviewer=ann").status_code == 422
    assert client.get(f"/datastore/dataset?limit_cases={big}").status_code == 422
    assert client.get(f"/datastore/image?image={big}").status_code == 404
