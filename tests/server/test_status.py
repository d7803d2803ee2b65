"""The status: where the recursion stands, in one answer."""

import pytest

from recursive_expand.expand.progress import Progress
from recursive_expand.ledger import RoundState
from recursive_expand.server.conductor import Conductor
from recursive_expand.server.status import read_status


@pytest.fixture
def told(reviewing):
    """The status as a conductor that has read the studies would have it."""
    conductor = Conductor(reviewing)
    conductor.indexing = False

    def _told(*, held=None, problem=None):
        conductor.held, conductor.problem = held, problem
        return read_status(reviewing, conductor)

    return _told


def test_a_review(client, submit, proposed, app):
    submit("u0", proposed("u0"))
    status = client.get("/recursive/status").json()
    assert (status["state"], status["step"], status["round"]) == ("reviewing", "review", 0)
    assert (status["undecided"], status["progress"], status["last_error"]) == (2, None, None)
    assert status["message"] == "2 proposals wait for a verdict"
    assert status["cases"] == {"pixel": 3, "image": 2, "test": 1, "unlabelled": 1}
    assert status["proposals"] == {"open": 2, "held": 0, "empty": 0, "unchanged": 0, "decided": 1, "superseded": 0}
    assert status["verdicts"] == {"accept": 1, "reject": 0, "accepted_slices": 3, "rejected_slices": 0}
    assert status["outbox"] == {"waiting": 0, "failing": 0, "sent": 1, "error": None}
    assert status["model_sha256"] == app.recursion.ledger.rounds.current_model()[1]
    assert status["workspace"] == str(app.recursion.workspace.root)
    assert status["set_aside"] == []


def test_before_anything_was_looked_at(recursion):
    status = read_status(recursion, Conductor(recursion))
    assert (status.state, status.step, status.round) == ("waiting_for_pixel_labels", "read_studies", None)
    assert (status.model_sha256, status.proposals) == (None, {})


@pytest.mark.parametrize(
    ("left", "state", "step"),
    [
        (RoundState.TRAINING, "training", "train"),
        (RoundState.PROPOSING, "proposing", "propose"),
        (RoundState.FAILED, "failed", "resume_needed"),
        (RoundState.STOPPED, "stopped", "resume_needed"),
        (RoundState.CLOSED, "training", "next_round"),
        (RoundState.CONVERGED, "converged", "converged"),
    ],
)
def test_state_and_step_follow_the_round(reviewing, told, next_round, left, state, step):
    rounds = reviewing.ledger.rounds
    if left in (RoundState.CLOSED, RoundState.CONVERGED):
        for case_id in ("i0", "i1", "u0"):
            reviewing.ledger.cases.set_aside(case_id, "out of the way")
        rounds.close_review(0, converged=left is RoundState.CONVERGED, report={})
    else:
        next_round()
    if left is RoundState.PROPOSING:
        rounds.publish_model(1, trained_model="m", model="m", promoted=True, report={})
    elif left in (RoundState.FAILED, RoundState.STOPPED):
        rounds.interrupt(1, error="no memory" if left is RoundState.FAILED else None)
    status = told()
    assert (status.state, status.step) == (state, step)
    assert status.last_error == ("no memory" if left is RoundState.FAILED else None)


def test_progress_is_told_while_a_round_runs(reviewing, told, next_round):
    Progress(reviewing.workspace.progress, round_index=1).begin("training", 10, done=3)
    assert told().progress is None
    next_round()
    progress = told().progress
    assert (progress.round, progress.stage, progress.done, progress.total) == (1, "training", 3, 10)


def test_what_holds_the_rounds_is_said_before_older_troubles(reviewing, told, next_round):
    next_round()
    reviewing.ledger.rounds.interrupt(1, error="no memory")
    assert told(problem="the disk is slow").last_error == "no memory"
    status = told(held="cases.csv: is UTF-16", problem="the disk is slow")
    assert status.last_error == "cases.csv: is UTF-16"
    assert status.message == "no round begins: cases.csv: is UTF-16; POST /recursive/rounds tries again"
    assert told().message.startswith("the round failed (no memory); the previous model stays")
