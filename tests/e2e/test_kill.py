"""Servers and subprocesses killed at random moments: nothing is lost, and nothing is done differently."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from .conftest import ROUND_SECONDS, Run
from .drive import drive
from .outcome import outcome
from .server import Server
from .study import CONF, write_study

PHASES = [(0, "training"), (0, "proposing"), (0, "reviewing"), (1, "training"), (1, "proposing"), (1, "reviewing")]
KILLS = [(0, "training")] * 3 + [(0, "proposing")] + [(0, "reviewing")] * 2 + [(1, "training")] * 3 + [(1, "proposing")]
"""In which phase each of the ten kills falls; the moment within it is random."""
LONGEST = {"training": 12.0, "proposing": 0.5, "reviewing": 1.0}
"""Kills fall within this many seconds after a phase has begun, or at its end if that comes first."""
SEED = 20


@dataclass
class Kill:
    """One kill: planned for a phase, and where it fell."""

    phase: tuple[int, str]
    delay: float
    victim: str
    fell: dict[str, Any] | None = None


class Killer(Thread):
    """Kills the server, its subprocess or both as planned, and starts the server again."""

    def __init__(self, server: Server, plan: list[Kill]) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.plan = plan
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for kill in self.plan:
                kill.fell = self._wait_for(kill)
                self._strike(kill.victim)
        except BaseException as error:  # pytest.fail's is no Exception
            self.error = error

    def check(self) -> None:
        """End the test, in its own thread, if the killer could not go on."""
        if self.error is not None:
            raise self.error

    def _wait_for(self, kill: Kill) -> dict[str, Any]:
        begun = None
        while True:
            status = self.server.status()
            if status["state"] == "converged" or _phase(status) > PHASES.index(kill.phase):
                return status
            if _phase(status) == PHASES.index(kill.phase):
                begun = begun or time.monotonic()
                if time.monotonic() - begun >= kill.delay:
                    return status
            time.sleep(0.02)

    def _strike(self, victim: str) -> None:
        if victim == "subprocess" and self.server.kill_training():
            return
        if victim == "both":
            self.server.kill_all()
        else:
            self.server.kill()
        self.server.restart()


@pytest.mark.timeout(4 * ROUND_SECONDS)  # ten restarts, and the undisturbed run where no test has made it yet
def test_a_run_killed_ten_times_ends_like_an_undisturbed_one(undisturbed: Run, tmp_path: Path) -> None:
    studies = tmp_path / "studies"
    truth = write_study(studies)
    rng = random.Random(SEED)
    plan = [
        Kill(phase, rng.uniform(0, LONGEST[phase[1]]), rng.choice(["server", "subprocess", "both"])) for phase in KILLS
    ]
    with Server(studies, log=tmp_path / "server.log", conf=CONF) as server:
        killer = Killer(server, plan)
        killer.start()
        drive(server, truth, timeout=2 * ROUND_SECONDS, while_killed=killer.check)
        killer.join(ROUND_SECONDS)
        killer.check()
        assert not killer.is_alive()
        final = server.status()
        server.stop()
    fell = [kill.fell["state"] for kill in plan if kill.fell]
    assert len(fell) == len(KILLS)
    assert fell.count("converged") <= 1, f"the kills came too late: {fell}"
    assert final["state"] == "converged"
    expected, found = undisturbed.outcome, outcome(studies)
    for part in expected:
        assert found[part] == expected[part], part


def test_a_verdict_is_durable_before_it_is_answered(reviewing: Server) -> None:
    [first, *_] = reviewing.get("/recursive/queue")
    body = {"case_id": first["case_id"], "proposal": first["proposal"], "verdict": "reject", "reviewer": "anna"}
    assert reviewing.post("/recursive/verdicts", body).status_code == 201
    reviewing.kill()
    reviewing.restart()
    assert first["case_id"] not in [entry["case_id"] for entry in reviewing.get("/recursive/queue")]
    answer = reviewing.post("/recursive/verdicts", {**body, "verdict": "accept", "reviewer": "boris"})
    assert answer.status_code == 409
    assert "anna" in answer.text


def test_a_round_ends_with_its_server(tmp_path: Path) -> None:
    write_study(tmp_path / "studies")
    with Server(tmp_path / "studies", log=tmp_path / "server.log", conf=CONF) as server:
        server.wait(lambda status: server.training_pid() is not None, ROUND_SECONDS)
        server.stop()  # fails where the round's subprocess outlives it


def _phase(status: dict[str, Any]) -> int:
    phase = (status["round"], status["state"])
    return PHASES.index(phase) if phase in PHASES else -1
