"""Two rounds through a running server whose studies are in a real Orthanc, which dies in the middle."""

from __future__ import annotations

import threading
import time

import pytest

from recursive_expand.archives.pacs.demo import write_pacs_demo
from recursive_expand.cases import Role
from recursive_expand.dicom.coding import coding_of
from recursive_expand.dicom.derived import decode
from recursive_expand.dicom.seg import read_seg
from recursive_expand.dicom.series import read_series
from recursive_expand.dicom.sr import assessments
from recursive_expand.settings import load_settings

from ..pacs import orthanc as debian
from .drive import drive, kept
from .server import APP, Server
from .study import BLEEDS, CONF, SIZE, SLICES

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
    orthanc = debian.Orthanc(tmp_path / "orthanc").start()
    server = Server(orthanc.url, log=tmp_path / "server.log", conf=CONF | {"workspace": workspace})
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
        written = [path for path in workspace.rglob("*") if path.is_file()] + [tmp_path / "server.log"]
        assert [path.name for path in written if b"DEMO-0" in path.read_bytes()] == []
    finally:
        server.stop()
        orthanc.kill()


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
