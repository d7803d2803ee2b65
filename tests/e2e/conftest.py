"""One undisturbed run of the recursion, shared by the end-to-end tests, and servers on its first review."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .drive import Answer, drive
from .outcome import outcome
from .server import Server
from .study import CONF, Truth, write_study

ROUND_SECONDS = 180.0
"""Longest round: half a minute on two idle cores."""


@dataclass(frozen=True)
class Run:
    """A recursion that ran from the first start to convergence without a kill.

    Attributes:
        studies: the study as it was left.
        truth: the true masks.
        answers: what the expert was shown and said, in order.
        outcome: what it left behind.
        rounds: `GET /recursive/rounds` at the end.
        at_review: a copy of the study at the moment when the first review opened.
    """

    studies: Path
    truth: Truth
    answers: list[Answer]
    outcome: dict[str, Any]
    rounds: list[dict[str, Any]]
    at_review: Path


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the recursion once, from an empty workspace to convergence."""
    folder = tmp_path_factory.mktemp("undisturbed")
    studies, at_review = folder / "studies", folder / "at_review"
    truth = write_study(studies)
    with Server(studies, log=folder / "server.log", conf=CONF) as server:
        server.wait(lambda status: status["state"] == "reviewing", ROUND_SECONDS)
        shutil.copytree(studies, at_review)
        answers = drive(server, truth, timeout=2 * ROUND_SECONDS)
        rounds = server.get("/recursive/rounds")
        server.stop()
    return Run(studies, truth, answers, outcome(studies), rounds, at_review)


@pytest.fixture(scope="module")
def reviewing(undisturbed: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose first review has just opened: every proposal is undecided."""
    folder = tmp_path_factory.mktemp("reviewing")
    shutil.copytree(undisturbed.at_review, folder / "studies")
    with Server(folder / "studies", log=folder / "server.log", conf=CONF) as server:
        server.wait(lambda status: status["state"] == "reviewing", ROUND_SECONDS)
        yield server
