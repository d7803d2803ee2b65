"""No reader waits for the PACS, whatever it does, but for pixels that are not kept here."""

from __future__ import annotations

import signal
import threading
import time

import httpx
import pytest

from recursive_expand.archives.pacs.kept_series import FETCHES_AT_ONCE
from recursive_expand.expand.labels import deliver_due

SECONDS = 2.0


@pytest.fixture
def hanging(orthanc):
    """The PACS takes connections and answers none."""
    orthanc.process.send_signal(signal.SIGSTOP)
    yield
    orthanc.process.send_signal(signal.SIGCONT)


@pytest.fixture
def client(server):
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def in_time(client, method, address, **options):
    """The answer, which came within two seconds."""
    began = time.monotonic()
    answer = client.request(method, address, **options)
    assert time.monotonic() - began < SECONDS, address
    assert answer.status_code < 300, answer.text
    return answer


def verdict(client, over_pacs, case_id, **said):
    (proposal,) = over_pacs.ledger.proposals.of_case(case_id)
    body = {"case_id": case_id, "proposal": proposal.sha256, "verdict": "accept", "reviewer": "anna", **said}
    return in_time(client, "POST", "/recursive/verdicts", json=body).json()


def test_a_pacs_that_hangs_keeps_no_reader_waiting(client, over_pacs, orthanc, hanging):
    one, five = orthanc.cases["one"], orthanc.cases["five"]
    given = verdict(client, over_pacs, one)
    sending = threading.Thread(target=deliver_due, args=(over_pacs,), daemon=True)  # as the conductor does
    sending.start()
    verdict(client, over_pacs, five, verdict="reject", reason="too large")
    (proposal,) = over_pacs.ledger.proposals.of_case(five)
    for address in (
        "/recursive/status",
        "/recursive/queue",
        "/recursive/desk/items",
        f"/recursive/desk/pixels?case_id={five}&proposal={proposal.sha256}",
        f"/datastore/image?image={five}",
        f"/datastore/image/info?image={five}",
        "/datastore/?output=all",
        "/info/",
    ):
        in_time(client, "GET", address)
    in_time(client, "POST", "/activelearning/recursive_expand", json={})
    in_time(client, "POST", f"/infer/recursive_ich?image={five}")
    in_time(client, "POST", "/recursive/outbox/retry")
    in_time(client, "DELETE", f"/recursive/verdicts/{given['id']}", params={"reviewer": "anna"})
    assert sending.is_alive()
    assert in_time(client, "GET", "/recursive/status").json()["outbox"]["waiting"] > 0


def test_readers_of_series_that_are_not_kept_leave_room_for_verdicts(client, over_pacs, orthanc, server, hanging):
    for case_id in orthanc.cases.values():
        over_pacs.archive.image_file(case_id).unlink()
    cases = [case_id for case_id in orthanc.cases.values() for _ in range(8)]
    readers = [
        threading.Thread(target=httpx.get, args=(f"{server.url}/datastore/image?image={case_id}",), daemon=True)
        for case_id in cases
    ]
    assert len(readers) > 40 > FETCHES_AT_ONCE
    for reader in readers:
        reader.start()
    verdict(client, over_pacs, orthanc.cases["one"])
    answer = client.get(f"/datastore/image?image={cases[-1]}")
    assert (answer.status_code, f"{FETCHES_AT_ONCE} other series are on their way" in answer.text) == (503, True)
