"""OHIF's files: served right, with our configuration, and nothing beside them."""

from __future__ import annotations

import re

import monailabel.app as monailabel_server
import pytest
from fastapi.testclient import TestClient

from recursive_expand.server.ohif.page import BUILD, MODULE


@pytest.fixture
def ohif(over_pacs):
    return TestClient(monailabel_server.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_every_file_of_the_build_is_served_as_it_is_and_as_what_it_is(ohif):
    for name, kind in {
        "assets/images/CT-Bone.png": "image/png",
        "assets/favicon.ico": "image/x-icon",
        "dicom-microscopy-viewer/dicomMicroscopyViewer.min.js": "text/javascript; charset=utf-8",
        "17dd54813d5acc10bf8f.wasm": "application/wasm",
        "app.bundle.css": "text/css; charset=utf-8",
    }.items():
        answer = ohif.get(f"/ohif/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind), name
        assert answer.content == (BUILD / name).read_bytes()


@pytest.mark.parametrize("path", ["", "viewer?StudyInstanceUIDs=1.2.3", "viewer/dicomweb", "anything"])
def test_its_pages_are_the_index_which_runs_no_script_but_this_servers(ohif, path):
    answer = ohif.get(f"/ohif/{path}")
    assert answer.content == (BUILD / "index.html").read_bytes()
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert "http" not in answer.headers["content-security-policy"]
    assert "'unsafe-inline'" not in policy["script-src"]
    assert policy["frame-ancestors"] == "'none'"


@pytest.mark.parametrize(
    "path",
    ["nothing.js", "sw.js", "silent-refresh.html", "recursive-expand/none.js", "..%2Ffavicon.ico", "assets/no.png"],
)
def test_no_other_file_is(ohif, path):
    assert ohif.get(f"/ohif/{path}").status_code == 404


def test_the_configuration_and_the_module_are_ours(ohif):
    config = ohif.get("/ohif/app-config.js")
    assert config.headers["content-type"].startswith("text/javascript")
    assert config.content == (MODULE / "app-config.js").read_bytes()
    module = ohif.get("/ohif/recursive-expand/index.js")
    for name in re.findall(r'from "\./(\w+\.js)"', module.text):
        assert ohif.get(f"/ohif/recursive-expand/{name}").status_code == 200


@pytest.mark.parametrize("path", ["/ohif/", "/ohif/app-config.js", "/proxy/dicom/qido/studies"])
def test_studies_in_a_folder_say_where_to_go_instead(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert "/review/" in answer.json()["detail"]
