"""Two rounds through a running server whose studies are in a real Orthanc, which dies in the middle."""

from __future__ import annotations

import base64
import gzip
import threading
import time
from pathlib import Path

import pydicom
import pytest
import requests
from pydicom.datadict import DicomDictionary

from recursive_expand.archives.pacs.demo import write_pacs_demo
from recursive_expand.cases import Role
from recursive_expand.dicom.coding import coding_of
from recursive_expand.dicom.derived import decode
from recursive_expand.dicom.seg import read_seg
from recursive_expand.dicom.series import read_series
from recursive_expand.dicom.sr import assessments
from recursive_expand.experiment.server import descendants
from recursive_expand.settings import load_settings

from ..pacs import orthanc as debian
from .drive import drive, kept
from .server import APP, Server
from .study import BLEEDS, CONF, SIZE, SLICES

PLANTED, BIRTH_DATE, PASSWORD = "Zq7Plant", "19470229", "Zq7Password"
PLANTED_GROUPS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040)
TEXT_VRS = ("LO", "SH", "ST", "LT", "UT", "UC", "PN")
SPOKEN = ("ManufacturerModelName", "SeriesDescription")
"""Texts that are looked at: the description tells scouts from heads, the model our segmentations from others'."""
ANSWERS = (
    *("/recursive/status", "/recursive/queue", "/recursive/rounds", "/openapi.json", "/info/"),
    *("/datastore/?output=all", "/datastore/?output=train"),
)
ROLES = {Role.PIXEL: 6, Role.IMAGE: 6, Role.UNLABELLED: 1, Role.TEST: 1}


@pytest.mark.timeout(900)
def test_two_rounds_over_dicomweb_with_the_pacs_killed_in_the_middle(tmp_path):
    if not debian.installed():
        pytest.skip(f"Orthanc is not installed: {debian.INSTALL}")
    task = load_settings(APP / "task.yaml").task
    coding = coding_of(task.classes, task.codes)
    workspace = tmp_path / "workspace"
    truth = write_pacs_demo(
        tmp_path / "dicom", workspace / "pacs", coding, roles=ROLES, bleeds=BLEEDS, size=SIZE, slices=SLICES
    )
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        _plant(path)
    (tmp_path / "password").write_text(PASSWORD)
    orthanc = debian.Orthanc(tmp_path / "orthanc", users={"reader": PASSWORD}).start()
    server = Server(
        orthanc.url,
        log=tmp_path / "server.log",
        conf=CONF | {"workspace": workspace},
        env={"RECURSIVE_PACS_USER": "reader", "RECURSIVE_PACS_PASSWORD_FILE": str(tmp_path / "password")},
    )
    try:
        orthanc.load(sorted((tmp_path / "dicom").rglob("*.dcm")))
        server.start()
        stop, outage = threading.Event(), threading.Thread(target=lambda: _outage(server, orthanc, stop))
        outage.start()
        answers = drive(server, truth, timeout=600)
        stop.set()
        outage.join()
        deadline = time.monotonic() + 90
        while server.status()["outbox"]["waiting"] and time.monotonic() < deadline:
            time.sleep(0.5)
        assert server.status()["outbox"]["waiting"] == 0, server.status()["outbox"]
        assert server.status()["round"] == 1
        accepted = {answer.case_id: answer for answer in answers if answer.judgement.verdict == "accept"}
        assert accepted
        segs = {}
        for uid in orthanc.series("SEG"):
            seg = decode(orthanc.file(uid))
            if seg.ContentLabel != "EXPERT":
                segs[str(seg.ReferencedSeriesSequence[0].SeriesInstanceUID)] = seg
        assert segs.keys() == accepted.keys()
        for folder in sorted((tmp_path / "dicom").iterdir()):
            volume = read_series(sorted(folder.glob("IM*.dcm"))).volume
            uid = volume.series.series_instance_uid
            if uid in accepted:
                answer = accepted[uid]
                label = read_seg(segs[uid], volume.series, volume.geometry, coding)
                assert (label.native == kept(answer.judgement, answer.mask)).all()
        reports = [decode(orthanc.file(uid)) for uid in orthanc.series("SR")]
        assert len(reports) == len(accepted)
        assert {code for report in reports for _, code in assessments(report)} == {"ACCEPTED"}
        assert {str(report.PatientName) for report in reports} == {f"{PLANTED}^Ünsal"}  # where it belongs
        _nothing_names_the_patient_or_the_password(server, [workspace, tmp_path / "server.log", APP / "logs"])
    finally:
        server.stop()
        orthanc.kill()


def _plant(path: Path) -> None:
    """Put something to look for into every text attribute of the patient, the study, the series and the machine."""
    dataset = pydicom.dcmread(path)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    patient = f"{PLANTED}{dataset.PatientID}"
    for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
        if tag >> 16 in PLANTED_GROUPS and vr in TEXT_VRS and keyword and not retired and keyword not in SPOKEN:
            setattr(dataset, keyword, PLANTED)
    dataset.PatientID, dataset.PatientName, dataset.PatientBirthDate = patient, f"{PLANTED}^Ünsal", BIRTH_DATE
    dataset.SeriesDescription = f"{dataset.get('SeriesDescription', '')} {PLANTED}".strip()
    dataset.private_block(0x0009, PLANTED, create=True).add_new(1, "LO", PLANTED)
    dataset.save_as(path)


def _nothing_names_the_patient_or_the_password(server: Server, places: list[Path]) -> None:
    """What the server wrote, what it answers and what its processes are called by."""
    files = [path for place in places for path in (place.rglob("*") if place.is_dir() else [place]) if path.is_file()]
    said = {str(path): path.read_bytes() for path in files}
    said |= {f"{name} (unpacked)": gzip.decompress(said[name]) for name in list(said) if name.endswith(".gz")}
    for address in ANSWERS:
        said[address] = requests.get(server.url + address, timeout=30).content
    for process in [server.process, *descendants(server.process)]:
        said[f"process {process.pid}"] = " ".join(process.cmdline()).encode()
    assert len(files) > 50
    basic = base64.b64encode(f"reader:{PASSWORD}".encode())
    for secret in (PLANTED.encode(), "Ünsal".encode(), "Ünsal".encode("latin-1"), BIRTH_DATE.encode(), b"DEMO-0"):
        assert [name for name, content in said.items() if secret in content] == [], secret
    for secret in (PASSWORD.encode(), basic):
        assert [name for name, content in said.items() if secret in content] == []


def _outage(server: Server, orthanc: debian.Orthanc, stop: threading.Event) -> None:
    """Kill the PACS once the first verdict is in, and start it again a while later."""
    while not stop.is_set():
        try:
            if sum(server.status()["verdicts"].values()):
                break
        except Exception:
            pass
        time.sleep(0.2)
    orthanc.kill()
    time.sleep(8)
    orthanc.start()
