"""guard.py and faults.py over a small application: what reaches a handler, and what a failure answers."""

import json
import logging

import pytest
from fastapi import Body, FastAPI, Form, HTTPException, UploadFile
from fastapi.responses import FileResponse
from fastapi.testclient import TestClient
from starlette.middleware import Middleware

from recursive_expand.errors import InputError, RecursiveExpandError
from recursive_expand.server import guard
from recursive_expand.server.access import Access
from recursive_expand.server.faults import install_faults
from recursive_expand.server.guard import Guard

SECRET = "/home/ann/scans/jane.nii.gz"


@pytest.fixture
def client():
    app = FastAPI(middleware=[Middleware(Guard, access=Access.of())])
    install_faults(app)

    @app.post("/body")
    def body(value: dict = Body()) -> dict:  # noqa: B008
        return value

    @app.post("/form")
    def form(field: str = Form(""), file: UploadFile | None = None) -> dict:
        return {"field": field, "size": len(file.file.read()) if file else None}

    @app.get("/file")
    def file() -> FileResponse:
        return FileResponse(__file__)

    @app.get("/fail/{how}")
    def fail(how: str) -> None:
        raise {
            "bug": ValueError(SECRET),
            "busy": HTTPException(503, "no mask was made"),
            "full": HTTPException(507, "the disk is full"),
            "input": InputError("a.nii", "is\nbroken"),
            "expected": RecursiveExpandError("not now"),
            "odd": HTTPException(404, "\ud800"),
        }[how]

    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_what_passes_arrives_whole(client):
    assert client.post("/body", json={"a": ["ü", 1.5]}).json() == {"a": ["ü", 1.5]}
    assert client.post("/form", data={"field": "x"}).json() == {"field": "x", "size": None}
    assert client.post("/form", files={"file": ("a", b"b" * 100_000)}).json()["size"] == 100_000


@pytest.mark.parametrize("body", ['{"a": NaN}', '{"a": 1e999}', '{"a": "\\ud800"}', "[" * 100_000, "{"])
def test_json_is_checked_before_the_handler(client, body):
    answer = client.post("/body", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("body: ")
    assert "\n" not in answer.text


def test_a_wrong_field_answers_in_json_whatever_it_holds(client):
    answer = client.post("/body", content=b"\xff\xfe", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    [fault] = answer.json()["detail"]
    assert fault.keys() <= {"type", "loc", "msg", "input"}
    answer = client.post("/body", json="a" * 5000)
    assert len(answer.json()["detail"][0]["input"]) == 100


def test_a_body_over_its_limit_is_refused_however_it_is_sent(client, monkeypatch):
    monkeypatch.setattr(guard, "MAX_BODY_BYTES", 1000)
    monkeypatch.setattr(guard, "MAX_UPLOAD_BYTES", 2**20)
    assert client.post("/body", content=b"1" * 1001).status_code == 413
    assert client.post("/body", content=iter([b"1" * 600] * 2)).status_code == 413
    assert client.post("/form", files={"file": ("a", b"b" * 2**20)}).status_code == 413
    head, tail = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n', b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    sent = client.post("/form", content=iter([head, *[b"b" * 2**16] * 17, tail]), headers=kind)
    assert sent.status_code == 413
    assert client.post("/form", content=iter([head, b"b" * 2**16, tail]), headers=kind).json()["size"] == 2**16


def test_a_fault_of_ours_has_an_id_that_the_log_carries_and_nothing_else(client, caplog):
    with caplog.at_level(logging.ERROR):
        answer = client.get("/fail/bug?image=jane")
    assert answer.status_code == 500
    assert answer.json().keys() == {"detail", "id"}
    assert SECRET not in answer.text and "Traceback" not in answer.text
    [record] = [record for record in caplog.records if record.name.endswith("faults")]
    assert answer.json()["id"] in record.getMessage()
    assert "GET /fail/{how}" in record.getMessage() and "jane" not in record.getMessage()
    assert record.exc_info[1].args == (SECRET,)


@pytest.mark.parametrize(
    ("how", "status", "detail"), [("busy", 503, "no mask was made"), ("full", 507, "the disk is full")]
)
def test_a_deliberate_5xx_keeps_its_sentence_and_has_an_id_too(client, caplog, how, status, detail):
    answer = client.get(f"/fail/{how}")
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)
    assert answer.json()["id"] in caplog.text


@pytest.mark.parametrize(
    ("how", "status", "detail"), [("input", 422, "a.nii: is\\nbroken"), ("expected", 409, "not now")]
)
def test_the_library_s_refusals_are_answers_though_no_handler_caught_them(client, how, status, detail):
    answer = client.get(f"/fail/{how}")
    assert (answer.status_code, answer.json()) == (status, {"detail": detail})


def test_a_detail_that_no_encoding_takes_is_still_json(client):
    answer = client.get("/fail/odd")
    assert (answer.status_code, json.loads(answer.content)) == (404, {"detail": "\ud800"})


def test_unknown_routes_and_methods_are_one_json_line(client):
    assert client.get("/nowhere").json() == {"detail": "Not Found"}
    assert client.put("/body").json() == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize(("range_", "status"), [("bytes=9-1", 400), ("bytes=99999999-", 416)])
def test_what_starlette_refuses_in_plain_text_is_json_too(client, range_, status):
    answer = client.get("/file", headers={"Range": range_})
    assert (answer.status_code, answer.json().keys()) == (status, {"detail"})
    assert ("content-range" in answer.headers) is (status == 416)
    assert client.get("/file", headers={"Range": "bytes=0-2"}).text == '"""'


def test_another_site_s_page_is_refused_before_anything_else(client):
    answer = client.post("/body", content="{", headers={"Origin": "http://evil.example"})
    assert (answer.status_code, "may not use this server" in answer.json()["detail"]) == (403, True)
    assert "access-control-allow-origin" not in answer.headers
    assert client.post("/body", json={}, headers={"Host": "evil.example"}).status_code == 403
