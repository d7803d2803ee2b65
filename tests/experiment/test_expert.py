"""The simulated expert: what it accepts, how it errs, and what it tells a server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.archives.images import read_label, write_label
from recursive_expand.cases import Geometry, LabelMap, voxel_sha256
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.experiment.config import ExpertSettings
from recursive_expand.experiment.expert import ExpertAnswer, SimulatedExpert, judge, with_errors

GEOMETRY = Geometry.of((6, 5, 3), np.diag([-1.0, -1.0, 5.0, 1.0]))


def _masks() -> tuple[np.ndarray, np.ndarray]:
    truth = np.zeros((3, 4, 4), np.uint8)
    truth[:, :2] = 2
    proposal = np.zeros_like(truth)
    proposal[0, :2] = 2  # all right
    proposal[1, 1:3] = 2  # half wrong
    return truth, proposal


def test_slices_with_too_many_false_positives_are_rejected() -> None:
    answer = judge(*_masks(), tau=0.4)
    assert answer.proposed == (0, 1)
    assert answer.rejected == (1,)
    assert answer.verdict == "accept"


def test_a_share_of_exactly_tau_is_accepted() -> None:
    assert judge(*_masks(), tau=0.5).rejected == ()


def test_missed_blood_is_ignored() -> None:
    truth, proposal = _masks()
    proposal[0, 1] = 0
    assert judge(truth, proposal, tau=0.0).rejected == (1,)


def test_the_wrong_class_is_a_false_positive() -> None:
    truth, proposal = _masks()
    assert judge(truth, proposal * 2, tau=0.9).verdict == "reject"


def test_nobody_judges_an_empty_proposal() -> None:
    truth, proposal = _masks()
    with pytest.raises(ValueError, match="empty"):
        judge(truth, proposal * 0, tau=0.5)


@given(st.sets(st.integers(0, 9)), st.floats(0, 1), st.text(max_size=5))
def test_errors_depend_on_the_key_alone(rejected: set[int], rate: float, key: str) -> None:
    answer = ExpertAnswer(tuple(range(10)), tuple(sorted(rejected)))
    wrong = with_errors(answer, rate=rate, key=key)
    assert wrong == with_errors(answer, rate=rate, key=key)
    assert with_errors(wrong, rate=rate, key=key) == answer  # the same slices are turned back


def test_errors_come_at_their_rate() -> None:
    answer = ExpertAnswer(tuple(range(2000)), ())
    assert with_errors(answer, rate=0.0, key="a").rejected == ()
    assert len(with_errors(answer, rate=0.1, key="a").rejected) == pytest.approx(200, abs=45)
    assert with_errors(answer, rate=0.1, key="a") != with_errors(answer, rate=0.1, key="b")


class _FakeServer(BaseHTTPRequestHandler):
    """What MONAI Label answers, for one case with one proposal."""

    mask: bytes
    proposal: str
    status = 201
    queue: list[str]
    verdicts: list[dict]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/activelearning"):
            self._answer(200, "application/json", json.dumps({"id": self.queue.pop()} if self.queue else {}).encode())
        elif self.path.startswith("/infer"):
            params = json.dumps({"proposal": self.proposal, "round": 0}).encode()
            parts = [
                b'--b\r\nContent-Disposition: form-data; name="params"\r\n\r\n' + params,
                b'\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="m.nrrd"\r\n'
                b"Content-Type: application/octet-stream\r\n\r\n" + self.mask,
                b"\r\n--b--\r\n",
            ]
            self._answer(200, "multipart/form-data; boundary=b", b"".join(parts))
        else:
            self.verdicts.append(json.loads(body))
            self._answer(self.status, "application/json", b'{"detail": "stale"}')

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Silent."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, type[_FakeServer], Path]]:
    """Address, handler and file of the true mask; the proposal is right in slice 0 and wrong in slice 2."""
    truth = np.zeros((6, 5, 3), np.uint8)
    truth[:2] = 3
    proposal = np.zeros_like(truth)
    proposal[:2, :, 0] = 3
    proposal[4:, :, 2] = 3
    write_label(tmp_path / "truth.nii.gz", LabelMap(truth, GEOMETRY))
    write_label(tmp_path / "m.nrrd", LabelMap(proposal, GEOMETRY))

    class Handler(_FakeServer):
        mask = (tmp_path / "m.nrrd").read_bytes()
        queue = ["a"]  # noqa: RUF012
        verdicts: list[dict] = []  # noqa: RUF012

    Handler.proposal = voxel_sha256(proposal)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Handler, tmp_path / "truth.nii.gz"
    server.shutdown()
    server.server_close()


def _expert(url: str, truth: Path, **settings: float) -> SimulatedExpert:
    return SimulatedExpert(url, "recursive_ich", lambda _: read_label(truth), ExpertSettings(**settings), seed=0)


def test_a_verdict_is_sent_by_slice_with_the_time_it_takes(served) -> None:
    url, handler, truth = served
    with _expert(url, truth, tau=0.1, seconds=3.5) as expert:
        assert expert.review_next() == ExpertAnswer(proposed=(0, 2), rejected=(2,))
        assert expert.review_next() is None
    (sent,) = handler.verdicts
    assert (sent["case_id"], sent["proposal"]) == ("a", handler.proposal)
    assert (sent["verdict"], sent["rejected_slices"], sent["seconds"]) == ("accept", [2], 3.5)


def test_a_mask_that_is_not_the_proposal_is_not_judged(served) -> None:
    url, handler, truth = served
    handler.proposal = "0" * 64
    with _expert(url, truth) as expert, pytest.raises(RecursiveExpandError, match="not the proposal"):
        expert.review_next()
    assert not handler.verdicts


def test_a_refused_verdict_ends_the_run(served) -> None:
    url, handler, truth = served
    handler.status = 409
    with _expert(url, truth) as expert, pytest.raises(RecursiveExpandError, match=r"refused .*stale"):
        expert.review_next()
