"""The status: where the recursion stands, in one answer."""

import pytest

from recursive_expand.expand import steps
from recursive_expand.expand.foretelling import Foretold
from recursive_expand.expand.judging import Answer, judge
from recursive_expand.expand.progress import Progress
from recursive_expand.ledger import Actor, RoundState, VerdictKind
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

    _told.conductor = conductor
    return _told


def test_a_review(client, submit, proposed, app):
    submit("u0", proposed("u0"))
    status = client.get("/recursive/status").json()
    assert (status["state"], status["step"], status["round"]) == ("reviewing", "review", 0)
    assert (status["undecided"], status["progress"], status["last_error"]) == (2, None, None)
    assert status["message"] == "2 proposals wait for a verdict"
    assert status["cases"] == {"pixel": 3, "image": 2, "test": 1, "unlabelled": 1}
    others = dict.fromkeys(("held", "empty", "unchanged", "propagated", "superseded"), 0)
    assert status["proposals"] == {"open": 2, "decided": 1, **others}
    assert status["verdicts"] == {"accept": 1, "reject": 0, "accepted_slices": 3, "rejected_slices": 0}
    assert status["outbox"] == {"waiting": 0, "failing": 0, "sent": 1, "error": None}
    assert status["model_sha256"] == app.recursion.ledger.rounds.current_model()[1]
    assert status["workspace"] == str(app.recursion.workspace.root)
    assert status["set_aside"] == []


def test_where_little_is_foretold_the_end_is_offered(reviewing, told):
    order = [proposal.proposal_id for proposal, _ in reviewing.ledger.queue.page(now=0)]
    reviewing.ledger.queue.reorder(order, dict.fromkeys(order, 0.25))
    told.conductor._foretell(reviewing.ledger.rounds.current())
    status = told()
    assert (status.step, status.foretold.round, status.foretold.offers_end) == ("review", 0, False)
    assert status.message == "3 proposals wait for a verdict"
    told.conductor.foretold = Foretold(0, 1.2, 0.012)
    assert told().foretold.offers_end
    assert told().message.startswith("3 proposals wait for a verdict; about 1 new slices (1.2%) are foretold")


def test_a_round_that_brought_little_is_not_followed_by_itself(reviewing, told, monkeypatch):
    for case_id, kind in {"u0": VerdictKind.ACCEPT, "i0": VerdictKind.REJECT, "i1": VerdictKind.REJECT}.items():
        proposal = reviewing.ledger.proposals.current(case_id)
        judge(reviewing, Actor("x", "x"), case_id, proposal.sha256, Answer(kind))
    assert told().step == "next_round"
    monkeypatch.setattr(steps, "trained_slices", lambda _round: 10_000)
    status = told()
    assert (status.step, status.state) == ("offer_end", "decided")
    assert "this can be the end" in status.message


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
