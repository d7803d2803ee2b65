"""The conductor: from the ledger to what is due, and from how a subprocess ended to the ledger."""

import dataclasses
import sqlite3
import uuid

import pytest
from monailabel.utils.async_tasks import utils as async_tasks
from monailabel.utils.async_tasks.task import AsyncTask

from recursive_expand.cases import Role
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.due import close_review
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.steps import Step
from recursive_expand.ledger import (
    Actor,
    CaseEntry,
    Features,
    ProposalDraft,
    ProposedSlice,
    RoundState,
    VerdictKind,
)
from recursive_expand.server.conductor import Conductor
from recursive_expand.server.status import read_status


@pytest.fixture
def started(monkeypatch):
    """Requests of the subprocesses that would have been started; each is noted as running."""
    requests = []
    monkeypatch.setattr(async_tasks, "background_tasks", {"train": []})

    def run(method, request=None, **_kwargs):
        assert method == "train"
        requests.append(request)
        async_tasks.background_tasks["train"].append({"id": str(uuid.uuid4()), "status": "RUNNING"})

    monkeypatch.setattr(AsyncTask, "run", staticmethod(run))
    return requests


def end(status):
    async_tasks.background_tasks["train"][-1]["status"] = status


def decide_all(recursion, verdict):
    for proposal, _ in recursion.ledger.queue.page(now=0):
        decide(recursion, proposal, verdict)


def decide(recursion, proposal, verdict=VerdictKind.ACCEPT):
    recursion.ledger.judgements.give(Actor("x", "x"), proposal.case_id, proposal.sha256, verdict)


def look(conductor, times=1):
    for _ in range(times):
        conductor._guard(conductor._look)


def status_of(conductor):
    return read_status(conductor._recursion, conductor)


def state(recursion):
    return recursion.ledger.rounds.current().state


def test_the_first_round_starts_once_the_studies_are_read(recursion, started):
    conductor = Conductor(recursion)
    look(conductor)
    status = status_of(conductor)
    assert (started, status.step, status.message) == ([], "read_studies", "reading the studies for the first time")
    conductor._guard(conductor._prepare)
    assert status_of(conductor).step == "train"
    look(conductor, 3)
    assert started == [{"model": "recursive_ich", "only": 0}]  # one that runs is enough


def test_without_expert_masks_a_person_is_waited_for(recursion, started):
    for path in (recursion.archive.studies / "labels" / "final").iterdir():
        path.unlink()
    (recursion.archive.studies / "cases.csv").unlink()
    conductor = Conductor(recursion)
    conductor._guard(conductor._prepare)
    look(conductor, 2)
    status = status_of(conductor)
    assert (started, status.step, status.state) == ([], "wait_for_pixel_labels", "waiting_for_pixel_labels")
    with pytest.raises(RecursiveExpandError, match="there are no expert masks to begin with"):
        conductor.ask()


@pytest.mark.parametrize(
    ("step", "asked", "starts", "left"),
    [
        (Step.READ_STUDIES, False, 0, RoundState.REVIEWING),
        (Step.WAIT_FOR_PIXEL_LABELS, False, 0, RoundState.REVIEWING),
        (Step.WAIT_FOR_PROPOSALS, False, 0, RoundState.REVIEWING),
        (Step.REVIEW, False, 0, RoundState.REVIEWING),
        (Step.SECOND_CHANCES, False, 0, RoundState.REVIEWING),
        (Step.DECIDED, False, 0, RoundState.REVIEWING),
        (Step.OFFER_END, False, 0, RoundState.REVIEWING),
        (Step.RESUME_NEEDED, False, 0, RoundState.REVIEWING),
        (Step.CONVERGED, False, 0, RoundState.CONVERGED),
        (Step.NEXT_ROUND, False, 1, RoundState.CLOSED),
        (Step.NEXT_ROUND, True, 1, RoundState.REVIEWING),
        (Step.TRAIN, False, 1, RoundState.REVIEWING),
        (Step.PROPOSE, False, 1, RoundState.REVIEWING),
    ],
)
def test_each_step_is_the_server_s_or_somebody_else_s(reviewing, started, monkeypatch, step, asked, starts, left):
    monkeypatch.setattr("recursive_expand.server.conductor.next_step", lambda _state, _review: step)
    conductor = Conductor(reviewing)
    conductor._asked = asked
    look(conductor, 2)
    assert (conductor.problem, len(started), state(reviewing)) == (None, starts, left)
    assert conductor._asked is (asked and not starts)


def test_every_step_is_in_the_table_above():
    [mark] = test_each_step_is_the_server_s_or_somebody_else_s.pytestmark
    assert {case[0] for case in mark.args[1]} == set(Step)


def test_a_transition_that_somebody_else_made_first_is_no_fault(reviewing, started, monkeypatch):
    decide_all(reviewing, VerdictKind.ACCEPT)

    def beaten(recursion, round_, **_kwargs):
        recursion.ledger.rounds.close_review(round_.round, converged=False, report={})
        return close_review(recursion, round_, converged=False)

    monkeypatch.setattr("recursive_expand.server.conductor.close_review", beaten)
    conductor = Conductor(reviewing)
    look(conductor)
    assert (conductor.problem, started, state(reviewing)) == (None, [], RoundState.CLOSED)
    look(conductor)
    assert len(started) == 1


def test_a_review_is_waited_for_and_the_next_round_starts_when_it_is_over(reviewing, started):
    conductor = Conductor(reviewing)
    look(conductor, 2)
    assert (started, state(reviewing)) == ([], RoundState.REVIEWING)
    decide_all(reviewing, VerdictKind.ACCEPT)
    look(conductor)
    assert (started, state(reviewing)) == ([{"model": "recursive_ich", "only": 1}], RoundState.CLOSED)


def test_with_training_off_a_round_runs_when_it_is_asked_for(reviewing, started, next_round):
    off = dataclasses.replace(reviewing, settings=reviewing.settings.changed(train="off"))
    conductor = Conductor(off)
    conductor._guard(conductor._prepare)
    decide_all(off, VerdictKind.ACCEPT)
    look(conductor, 2)
    status = status_of(conductor)
    assert (started, state(off), status.state, status.step) == ([], RoundState.REVIEWING, "decided", "decided")
    assert "unless it is asked for" in status.message
    conductor.ask()
    look(conductor)
    assert started == [{"model": "recursive_ich", "only": 1}]
    next_round()
    assert status_of(conductor).state == "training"
    end("DONE")
    assert status_of(conductor).state == "stopped"


def test_convergence_stops_it_and_a_new_case_opens_the_review_again(reviewing, started, next_round, freeze, make_head):
    decide_all(reviewing, VerdictKind.REJECT)
    conductor = Conductor(reviewing)
    look(conductor, 2)
    assert (started, state(reviewing)) == ([], RoundState.CONVERGED)
    assert status_of(conductor).state == "converged"
    image = reviewing.archive.studies / "u0.nii.gz"
    (image.parent / "u1.nii.gz").write_bytes(image.read_bytes())
    register_cases(reviewing)
    freeze(reviewing, "u1", make_head(9)[1])
    look(conductor)
    assert (started, state(reviewing)) == ([], RoundState.REVIEWING)


@pytest.mark.parametrize("published", [False, True], ids=["training", "proposing"])
def test_a_round_that_a_dead_server_left_is_resumed(reviewing, started, next_round, published):
    next_round()
    if published:
        reviewing.ledger.rounds.publish_model(1, trained_model="m", model="m", promoted=True, report={})
    look(Conductor(reviewing))
    assert started == [{"model": "recursive_ich", "only": 1}]


def test_a_killed_subprocess_is_started_again_three_times_at_one_spot(reviewing, started, next_round):
    next_round()
    conductor = Conductor(reviewing)
    for _ in range(3):
        look(conductor)
        end("ERROR")
    look(conductor, 3)
    assert len(started) == 3
    failed = reviewing.ledger.rounds.current()
    assert failed.state is RoundState.FAILED
    assert failed.error == "the training process ended 3 times at the same spot; is there enough memory?"
    assert status_of(conductor).last_error == failed.error


def test_deaths_count_at_one_spot_only_however_long_it_took(reviewing, started, next_round):
    next_round()
    conductor, progress = Conductor(reviewing), Progress(reviewing.workspace.progress, round_index=1)
    for done in (1, 2, 3, 3, 3):
        look(conductor)
        progress.begin("training", 10)
        progress._shown = float("-inf")
        progress.step(done)  # with another estimate of the time left each time
        end("ERROR")
        assert state(reviewing) is RoundState.TRAINING
    look(conductor)
    assert state(reviewing) is RoundState.FAILED


def test_a_failed_round_waits_until_it_is_asked_for(reviewing, started, next_round):
    next_round()
    conductor = Conductor(reviewing)
    look(conductor)
    reviewing.ledger.rounds.interrupt(1, error="no memory")
    end("ERROR")
    look(conductor, 2)
    assert len(started) == 1
    assert conductor.ask() == 1
    look(conductor, 2)
    assert len(started) == 2


def test_a_stopped_round_waits_until_it_is_asked_for(reviewing, started, next_round):
    next_round()
    conductor = Conductor(reviewing)
    look(conductor)
    end("STOPPED")
    look(conductor, 3)
    assert (len(started), state(reviewing)) == (1, RoundState.STOPPED)
    assert status_of(conductor).message == "the round was stopped; POST /recursive/rounds resumes it"
    conductor.ask()
    look(conductor)
    assert len(started) == 2


def test_a_running_round_cannot_be_asked_for(reviewing, started, next_round):
    next_round()
    conductor = Conductor(reviewing)
    look(conductor)
    with pytest.raises(RecursiveExpandError, match="a round is running already; DELETE /train/ stops it"):
        conductor.ask()


def test_the_next_round_can_be_asked_for_before_all_is_decided(reviewing, started):
    conductor = Conductor(reviewing)
    with pytest.raises(RecursiveExpandError, match="round 0 brought nothing new to train on: accept proposals"):
        conductor.ask()
    [(first, _), *_] = reviewing.ledger.queue.page(now=0)
    decide(reviewing, first)
    assert conductor.ask() == 1
    look(conductor, 2)
    assert started == [{"model": "recursive_ich", "only": 1}]


def test_a_round_stopped_before_it_is_in_the_ledger_waits_until_it_is_asked_for(recursion, started):
    conductor = Conductor(recursion)
    conductor._guard(conductor._prepare)
    look(conductor)
    end("STOPPED")
    look(conductor, 3)
    assert len(started) == 1
    status = status_of(conductor)
    assert (status.state, status.last_error) == ("stopped", conductor.held)
    assert conductor.ask() == 0
    look(conductor)
    assert len(started) == 2
    assert status_of(conductor).state == "training"


def test_a_subprocess_that_dies_before_its_round_begins_is_not_started_for_ever(recursion, started):
    conductor = Conductor(recursion)
    conductor._guard(conductor._prepare)
    for _ in range(3):
        look(conductor)
        end("ERROR")
    look(conductor, 3)
    assert len(started) == 3
    assert conductor.held == "the training process ended 3 times at the same spot; is there enough memory?"


def test_what_goes_wrong_is_said_and_tried_again(reviewing, started, next_round, monkeypatch, caplog):
    next_round()
    conductor = Conductor(reviewing)
    with monkeypatch.context() as patch:
        patch.setattr("recursive_expand.server.conductor.round_due", lambda _study: 1 / 0)
        look(conductor, 3)
        assert conductor.problem == "ZeroDivisionError: division by zero"
        assert caplog.text.count("Traceback") == 1  # said once
    look(conductor)
    assert (conductor.problem, len(started)) == (None, 1)


def test_what_a_kill_left_is_made_good_at_the_start(reviewing, started):
    decide(reviewing, reviewing.ledger.proposals.current("u0"))
    assert reviewing.ledger.outbox.count().waiting == 1
    conductor = Conductor(reviewing)
    conductor._guard(conductor._prepare)
    look(conductor)
    assert conductor.problem is None
    assert (reviewing.archive.studies / "labels" / "final" / "u0.nii.gz").is_file()
    assert reviewing.ledger.outbox.count().waiting == 0


def test_the_outbox_is_drained_at_every_look_also_while_a_round_trains(reviewing, started, next_round):
    decide(reviewing, reviewing.ledger.proposals.current("u0"))
    next_round()
    conductor = Conductor(reviewing)
    look(conductor)
    assert reviewing.ledger.outbox.count().waiting == 0
    reviewing.ledger.cases.set_aside("i0", "i0.nii.gz: is truncated")
    decide(reviewing, reviewing.ledger.proposals.current("i0"))
    look(conductor)
    assert (len(started), reviewing.ledger.outbox.count().waiting) == (1, 0)


AUDIT_LINE = "the ledger is not as it was recorded: rounds 0 has config_sha256 'x', but event"


@pytest.fixture
def tampered(reviewing):
    """Change a row behind the ledger's back; call it to put it right again."""
    recorded = reviewing.ledger.rounds.get(0).config_sha256

    def write(value):
        with sqlite3.connect(reviewing.workspace.ledger) as connection:
            connection.execute("UPDATE rounds SET config_sha256 = ? WHERE round = 0", (value,))
        connection.close()

    write("x")
    return lambda: write(recorded)


def test_a_ledger_that_was_changed_holds_the_next_round_and_says_so(reviewing, started, tampered):
    conductor = Conductor(reviewing)
    conductor._guard(conductor._verify)
    assert conductor.held.startswith(AUDIT_LINE)
    assert "recursive-expand ledger accept" in conductor.held
    look(conductor)
    # Experts go on meanwhile.
    assert (status_of(conductor).step, status_of(conductor).last_error) == ("review", conductor.held)
    decide_all(reviewing, VerdictKind.ACCEPT)
    look(conductor, 2)
    status = status_of(conductor)
    assert (started, status.step, status.state) == ([], "resume_needed", "stopped")
    assert status.message == f"no round begins: {conductor.held}; POST /recursive/rounds tries again"
    assert conductor.ask() == 1
    look(conductor)
    assert (len(started), status_of(conductor).last_error) == (1, None)


def test_a_ledger_as_it_was_recorded_holds_nothing(reviewing, started):
    conductor = Conductor(reviewing)
    conductor._guard(conductor._verify)
    assert conductor.held is None


@pytest.mark.parametrize("when", ["first", "closed", "reviewing", "training", "failed"])
def test_what_kept_a_round_from_beginning_holds_it_and_is_said(request, started, when):
    recursion = request.getfixturevalue("recursion" if when == "first" else "reviewing")
    conductor = Conductor(recursion)
    conductor._guard(conductor._prepare)
    if when == "closed":
        decide_all(recursion, VerdictKind.ACCEPT)
    elif when == "reviewing":
        decide(recursion, recursion.ledger.proposals.current("u0"))
        conductor.ask()
    elif when in ("training", "failed"):
        request.getfixturevalue("next_round")()
    if when == "failed":
        recursion.ledger.rounds.interrupt(1, error="no memory")
        conductor.ask()
    look(conductor)
    assert len(started) == 1
    recursion.workspace.not_ready.write_text("cases.csv: is UTF-16; save it as UTF-8\n")
    end("DONE")
    look(conductor, 3)
    status = status_of(conductor)
    assert (len(started), conductor.held) == (1, "cases.csv: is UTF-16; save it as UTF-8")
    assert status.last_error == conductor.held
    assert status.step == ("review" if when == "reviewing" else "resume_needed")
    conductor.ask()
    look(conductor)
    assert (len(started), status_of(conductor).last_error) == (2, "no memory" if when == "failed" else None)
    # What was said of the last attempt is not said of this one, though it dies before it looks.
    end("ERROR")
    look(conductor)
    assert conductor.held is None


def test_tables_that_are_not_understood_keep_the_server_from_its_work_until_they_are(recursion, started, caplog):
    table = recursion.archive.studies / "cases.csv"
    text = table.read_text()
    table.write_bytes(b"case_id,role\n\x00\xff\n")
    conductor = Conductor(recursion)
    for _ in range(2):
        conductor._guard(conductor._prepare)
    assert conductor.indexing
    assert status_of(conductor).last_error.startswith("cases.csv")
    assert status_of(conductor).message.startswith("the studies cannot be read now: cases.csv")
    assert sum(line.startswith("cases.csv") for line in caplog.messages) == 1  # on the terminal too, but once
    table.write_text(text)
    conductor._guard(conductor._prepare)
    assert (conductor.indexing, conductor.problem) == (False, None)


@pytest.fixture
def long_queue(reviewing):
    """A queue of 30 proposals under `order: risk`, the largest of which experts will like best."""
    review = reviewing.settings.review.model_copy(update={"order": "risk"})
    recursion = dataclasses.replace(reviewing, settings=reviewing.settings.model_copy(update={"review": review}))
    for case_id in ("i0", "i1", "u0"):
        recursion.ledger.cases.set_aside(case_id, "out of the way")
    names = [f"case-{number:02d}" for number in range(30)]
    recursion.ledger.cases.register([CaseEntry(name, Role.UNLABELLED, f"{name}.nii", "1", slices=3) for name in names])
    for number, name in enumerate(names):
        draft = ProposalDraft(
            case_id=name,
            sha256=f"{number:064d}",
            model_sha256="m" * 64,
            file=f"proposals/{number}.nii.gz",
            marked=(ProposedSlice(0, "subdural", 10, 0.5),),
            confidence=0.5,
            features=Features(log_area=float(number % 10), components=1),
        )
        recursion.ledger.proposals.freeze(0, draft, serve=True)
    return recursion


def keys(recursion):
    with sqlite3.connect(recursion.workspace.ledger) as connection:
        found = dict(connection.execute("SELECT case_id, sort_key FROM proposals WHERE state = 'open'"))
    connection.close()
    return found


def test_every_20_verdicts_the_front_of_the_queue_is_put_in_order_anew(long_queue, started, monkeypatch):
    monkeypatch.setattr("recursive_expand.expand.queue.FRONT", 3)
    conductor = Conductor(long_queue)
    look(conductor)
    for number in range(20):
        before = keys(long_queue)
        proposal = long_queue.ledger.proposals.current(f"case-{number:02d}")
        decide(long_queue, proposal, VerdictKind.ACCEPT if number % 10 >= 5 else VerdictKind.REJECT)
        look(conductor)
        changed = {name for name, key in keys(long_queue).items() if key != before[name]}
        assert len(changed) == (3 if number == 19 else 0), number
    served = [proposal for proposal, _ in long_queue.ledger.queue.page(now=0)]
    assert {proposal.case_id for proposal in served[:3]} == changed == {"case-27", "case-28", "case-29"}
    assert all(proposal.score > 0.5 for proposal in served[:3])
    look(conductor, 2)
    assert keys(long_queue) == {
        proposal.case_id: key for proposal, key in zip(served, sorted(keys(long_queue).values()), strict=True)
    }
