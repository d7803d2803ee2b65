"""OHIF's way to the PACS: what passes, what does not, and what is decoded on the way."""

from __future__ import annotations

import concurrent.futures
import email
import signal

import httpx
import numpy as np
import pydicom
import pytest

from recursive_expand.server.ohif.dicomweb import AT_ONCE, SILENT_SECONDS

from .conftest import PASSWORD, SERIES, SIZE


@pytest.fixture
def ask(server):
    """GET under /proxy/dicom/."""
    with httpx.Client(base_url=f"{server.url}/proxy/dicom/", timeout=30) as client:
        yield client.get


@pytest.fixture
def study(over_pacs, orthanc):
    """StudyInstanceUID of a series by its name."""
    return lambda name: over_pacs.archive.study_of(orthanc.cases[name])


def frame_path(study, orthanc, name, number=1):
    uid, frame, _ = orthanc.images[name][number]
    return f"wado/studies/{study(name)}/series/{orthanc.cases[name]}/instances/{uid}/frames/{frame}"


def patients(answer):
    return {entry["00100020"]["Value"][0] for entry in answer.json()}


def test_the_work_list_is_of_the_studies_own_series(ask, orthanc):
    answer = ask("qido/studies", params={"limit": 101, "offset": 0, "includefield": "00081030,00080060"})
    assert patients(answer) == {f"SHOWN-{number}" for number in range(len(SERIES))}
    assert answer.headers["cache-control"] == "no-store"
    assert orthanc.url not in answer.text


def test_filters_are_passed_on_and_pages_count_what_may_be_seen(ask):
    assert patients(ask("qido/studies", params={"PatientID": "*-3"})) == {"SHOWN-3"}
    assert ask("qido/studies?PatientID=HIDDEN*").json() == []
    pages = [ask("qido/studies", params={"limit": 3, "offset": offset}) for offset in (0, 3, 6, 9)]
    assert [len(page.json()) for page in pages] == [3, 3, 3, 0]
    assert len(set.union(*(patients(page) for page in pages))) == len(SERIES)
    assert ask("qido/studies?limit=-1").status_code == 422


@pytest.mark.parametrize("root", ["qido", "wado"])
def test_of_a_study_only_its_cases_are_seen(ask, study, orthanc, root):
    found = ask(f"{root}/studies/{study('one')}/series").json()
    # Its scout is in the PACS, too.
    assert [entry["0020000E"]["Value"][0] for entry in found] == [orthanc.cases["one"]]
    path = f"{root}/studies/{study('one')}/series/{orthanc.cases['one']}/instances"
    assert {entry["00080018"]["Value"][0] for entry in ask(path).json()} == {uid for uid, *_ in orthanc.images["one"]}
    assert ask(f"{root}/studies/1.2.3/series").json() == []


def test_headers_tell_no_address_of_the_pacs(ask, study, orthanc):
    answer = ask(f"wado/studies/{study('one')}/series/{orthanc.cases['one']}/metadata")
    assert {entry["00080018"]["Value"][0] for entry in answer.json()} == {uid for uid, *_ in orthanc.images["one"]}
    assert str(orthanc.port) not in answer.text
    assert PASSWORD not in answer.text + str(answer.headers)


@pytest.mark.parametrize("name", ["one", "deflated", "big-endian", "frames", "parts"])
def test_a_frame_has_the_stored_values_whatever_it_is_stored_as(ask, study, orthanc, name):
    answer = ask(frame_path(study, orthanc, name))
    assert answer.status_code == 200
    message = email.message_from_bytes(f"Content-Type: {answer.headers['content-type']}\n\n".encode() + answer.content)
    (part,) = message.get_payload()
    values = np.frombuffer(part.get_payload(decode=True), "<u2").reshape(SIZE, SIZE)
    _, number, file = orthanc.images[name][1]
    stored = pydicom.dcmread(file).pixel_array.reshape(-1, SIZE, SIZE)
    assert np.array_equal(values, stored[number - 1])
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize("root", ["wado", "qido", "stow"])
def test_nothing_is_written(server, root, method):
    answer = httpx.request(method, f"{server.url}/proxy/dicom/{root}/studies")
    assert answer.status_code in (403, 405)


@pytest.mark.parametrize(
    "path",
    [
        "wado/studies/{study}", "wado/studies/{study}/metadata", "wado/studies/{study}/series/{series}",
        "wado/studies/{study}/series/{series}/instances/{image}",
        "wado/studies/{study}/series/{series}/instances/{image}/bulk/7fe00010",
        "wado/studies/{study}/series/{series}/instances/{image}/frames/1/rendered",
        "wado/studies/{study}/series/{series}/instances/{image}/frames/1%0a",
        "wado/..%2F..%2Finstances", "qido/patients", "wado/system", "stow/studies", "studies",
    ],
)  # fmt: skip
def test_nothing_else_is_passed_on(ask, study, orthanc, path):
    uids = {"study": study("one"), "series": orthanc.cases["one"], "image": orthanc.images["one"][0][0]}
    assert ask(path.format(**uids)).status_code in (403, 422)


def test_a_series_that_is_no_case_cannot_be_had(ask, study, orthanc):
    hidden = pydicom.dcmread(orthanc.hidden, stop_before_pixels=True)
    study_uid, series, image = hidden.StudyInstanceUID, hidden.SeriesInstanceUID, hidden.SOPInstanceUID
    for end in ("metadata", f"instances/{image}/frames/1"):
        assert ask(f"wado/studies/{study_uid}/series/{series}/{end}").status_code == 404
    # Nor through the name of one that is.
    series = orthanc.cases["one"]
    answer = ask(f"wado/studies/{study('one')}/series/{series}/instances/{image}/frames/1")
    assert answer.status_code == 404
    assert ask(f"wado/studies/{study('five')}/series/{series}/metadata").status_code == 404


def test_a_pacs_that_hangs_holds_up_nobody_else(server, study, orthanc):
    address = f"{server.url}/proxy/dicom/{frame_path(study, orthanc, 'one')}"
    with concurrent.futures.ThreadPoolExecutor(2 * AT_ONCE) as pool:
        orthanc.process.send_signal(signal.SIGSTOP)
        try:
            waiting = [pool.submit(httpx.get, address, timeout=60) for _ in range(2 * AT_ONCE)]
            assert httpx.get(f"{server.url}/recursive/desk/items", timeout=SILENT_SECONDS / 2).status_code == 200
            assert not any(each.done() for each in waiting)
        finally:
            orthanc.process.send_signal(signal.SIGCONT)
        assert {each.result().status_code for each in waiting} == {200}


def test_a_pacs_that_is_down_or_refuses_is_told_as_that(ask, over_pacs, study, orthanc, monkeypatch):
    path = frame_path(study, orthanc, "one")
    orthanc.kill()
    try:
        assert ask(path).status_code == 503
        assert ask("qido/studies").status_code == 503
    finally:
        orthanc.start()
    assert ask(path).status_code == 200
