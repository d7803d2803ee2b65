"""Another organ is another task.yaml: two rounds of apps/spleen_demo through a running server, over HTTP alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from monailabel.client import MONAILabelClient
from numpy.typing import NDArray

from recursive_expand.cases import voxel_sha256
from recursive_expand.phantom import StudyTruth, write_spleen_study

from .drive import read_native
from .server import REPOSITORY, Server

APP = REPOSITORY / "apps" / "spleen_demo"
MODEL = "spleen_demo"
CONF = {
    "channels": "[8,16,32]",
    "epochs": 24,
    "later_epochs": 2,
    "learning_rate": 0.01,
    "later_learning_rate": 0.003,
    "threads": 1,
}
"""A server that trains round 0 in seconds, well enough for some of its proposals to be accepted."""
MIN_DICE = (0.85, 2.0)
"""What a slice must reach to be accepted, by round. In the last one nothing does, so that the recursion ends there."""
ROUND_SECONDS = 180.0


@dataclass(frozen=True)
class Answer:
    """A verdict that was sent: the proposal's slices, in native axes, and those of them that were rejected."""

    case_id: str
    round: int
    mask: NDArray[np.uint8]
    proposed: tuple[int, ...]
    rejected: tuple[int, ...]

    @property
    def accepted(self) -> tuple[int, ...]:
        return tuple(k for k in self.proposed if k not in self.rejected)


@dataclass(frozen=True)
class Run:
    """A recursion that ran to convergence."""

    studies: Path
    truth: StudyTruth
    info: dict[str, Any]
    answers: list[Answer]
    rounds: list[dict[str, Any]]
    status: dict[str, Any]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Review two rounds: what is close to the truth is accepted, slice by slice, then nothing."""
    folder = tmp_path_factory.mktemp("spleen")
    studies = folder / "studies"
    truth = write_spleen_study(studies, pixel=6, image=6, unlabelled=3, test=1, size=64, slices=4, seed=1)
    answers: list[Answer] = []
    with Server(studies, log=folder / "server.log", app=APP, conf=CONF) as server:
        info = server.get("/info/")
        client = MONAILabelClient(server.url, str(folder), "expert")
        for number in range(len(MIN_DICE)):
            wanted = lambda status, number=number: status["state"] == "reviewing" and status["round"] == number  # noqa: E731
            server.wait(wanted, ROUND_SECONDS)
            answers += [_judge(server, client, truth, queued) for queued in server.get("/recursive/queue")]
        status = server.wait(lambda status: status["state"] == "converged", ROUND_SECONDS)
        rounds = server.get("/recursive/rounds")
        server.stop()
    return Run(studies, truth, info, answers, rounds, status)


def test_the_server_is_the_spleen_s(run: Run) -> None:
    assert run.info["name"] == "Spleen demo"
    assert run.info["labels"] == ["spleen"]
    assert list(run.info["models"]) == [MODEL]
    assert run.info["models"][MODEL]["labels"] == {"spleen": 1}


def test_two_rounds_end_in_convergence(run: Run) -> None:
    assert [(record["round"], record["state"]) for record in run.rounds] == [(0, "closed"), (1, "converged")]
    assert {answer.round for answer in run.answers} == {0, 1}
    assert run.status["undecided"] == 0 and run.status["last_error"] is None


def test_the_expert_had_something_to_accept_and_to_reject(run: Run) -> None:
    first = [answer for answer in run.answers if answer.round == 0]
    assert sum(len(answer.accepted) for answer in first) > 0
    assert sum(len(answer.rejected) for answer in first) > 0


def test_proposals_hold_spleen_and_obey_image_level_labels(run: Run) -> None:
    for answer in run.answers:
        assert set(np.unique(answer.mask)) <= {0, 1}
        if answer.case_id.startswith("image-"):
            clean = np.flatnonzero(~run.truth.masks[answer.case_id].any(axis=(0, 1)))
            assert not answer.mask[:, :, clean].any()


def test_accepted_slices_are_the_final_label_and_are_not_asked_again(run: Run) -> None:
    first = {answer.case_id: answer for answer in run.answers if answer.round == 0 and answer.accepted}
    for case_id, answer in first.items():
        label = read_native(run.studies / "labels" / "final" / f"{case_id}.nii.gz")
        for k in answer.accepted:
            assert np.array_equal(label[:, :, k], answer.mask[:, :, k]), (case_id, k)
    for answer in run.answers:
        if answer.round == 1 and answer.case_id in first:
            assert not set(answer.proposed) & set(first[answer.case_id].accepted)


def _judge(server: Server, client: MONAILabelClient, truth: StudyTruth, queued: dict[str, Any]) -> Answer:
    """Look at a queued proposal and send the verdict."""
    case_id, number = queued["case_id"], queued["round"]
    file, params = client.infer(MODEL, case_id, {"result_extension": ".nrrd"})
    assert file is not None and params["label_names"] == {"spleen": 1}
    mask = read_native(Path(file))
    assert voxel_sha256(mask) == params["proposal"] == queued["proposal"]
    proposed = tuple(queued["slices"])
    dice = {k: _dice(mask[:, :, k], truth.masks[case_id][:, :, k]) for k in proposed}
    rejected = tuple(k for k in proposed if dice[k] < MIN_DICE[number])
    body: dict[str, Any] = {"case_id": case_id, "proposal": queued["proposal"], "reviewer": "expert"}
    if len(rejected) == len(proposed):
        body["verdict"] = "reject"
    else:
        body |= {"verdict": "accept", "rejected_slices": list(rejected)}
    answer = server.post("/recursive/verdicts", body)
    assert answer.status_code == 201, f"{answer.status_code}: {answer.text}"
    return Answer(case_id, number, mask, proposed, rejected)


def _dice(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    total = np.count_nonzero(a) + np.count_nonzero(b)
    return 2 * np.count_nonzero((a > 0) & (b > 0)) / total if total else 1.0
