"""A PACS is looked at again and again: what is new becomes a case, what vanished is marked and may come back."""

from __future__ import annotations

from types import SimpleNamespace

import pydicom
import pytest
import requests

from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import CaseState
from recursive_expand.phantom import make_head, write_dicom_series
from recursive_expand.server import conductor as module
from recursive_expand.server.conductor import Conductor


@pytest.fixture
def series(orthanc, tmp_path):
    """Files of two series, and their UIDs; the first is in the PACS."""
    files = [write_dicom_series(tmp_path / str(n), make_head(n, size=48, slices=4), seed=n) for n in (1, 2)]
    orthanc.load(files[0])
    return files, [str(pydicom.dcmread(part[0]).SeriesInstanceUID) for part in files]


@pytest.fixture
def recursion(orthanc, series, reopen, tmp_path):
    recursion = reopen(orthanc.url, workspace=tmp_path / "workspace")
    register_cases(recursion)
    return recursion


def delete(orthanc, uid):
    (found,) = requests.post(f"{orthanc.root}/tools/lookup", data=uid, timeout=30).json()
    requests.delete(f"{orthanc.root}/series/{found['ID']}", timeout=30).raise_for_status()


def test_a_new_study_is_found_by_polling(orthanc, series, recursion, monkeypatch):
    files, uids = series
    orthanc.load(files[1])
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) > 1:
            raise SystemExit

    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=sleep))
    conductor = Conductor(recursion)
    with pytest.raises(SystemExit):
        conductor._poll()
    assert waits[0] == recursion.settings.pacs.pacs_poll_seconds
    assert conductor._wake.is_set()
    assert set(recursion.ledger.cases.ids()) == set(uids)


def test_what_vanished_is_marked_and_comes_back(orthanc, series, recursion):
    (files, _), (uid, _) = series
    delete(orthanc, uid)
    register_cases(recursion)
    gone = recursion.ledger.cases.get(uid)
    assert gone.state is CaseState.SET_ASIDE
    assert gone.reason == f"{uid}: its image is no longer in {recursion.archive.name}; put it back to use it"
    orthanc.load(files)
    register_cases(recursion)
    assert recursion.ledger.cases.get(uid).state is CaseState.READY
