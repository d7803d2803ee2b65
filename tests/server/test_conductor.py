"""The conductor: from the ledger to what is due, and from how a subprocess ended to the ledger."""

import uuid

import pytest
from monailabel.utils.async_tasks import utils as async_tasks
from monailabel.utils.async_tasks.task import AsyncTask

from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import RoundState, VerdictKind
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


def begin_round(recursion, round_index=1):
    settings = {"config": {}, "config_sha256": "", "training_set": {"pixel": []}, "training_set_sha256": ""}
    recursion.ledger.start_round(round_index, base_model=None, **settings, verdict_ids=[], report={})


def decide_all(recursion, verdict):
    for proposal, _ in recursion.ledger.queue.page(now=0):
        recursion.ledger.decide(proposal.case_id, proposal.sha256, verdict, reviewer="x", client="x")


def look(conductor, times=1):
    for _ in range(times):
        conductor._guard(conductor._look)


def state(recursion):
    return recursion.ledger.rounds.current().state


def test_the_first_round_starts_once_there_are_expert_masks(recursion, started):
    conductor = Conductor(recursion)
    look(conductor)
    assert started == []
    assert read_status(recursion, conductor).state == "waiting_for_pixel_labels"
    register_cases(recursion)
    look(conductor, 3)
    assert started == [{"model": "recursive_ich", "only": 0}]  # one that runs is enough


def test_a_review_is_waited_for_and_the_next_round_starts_when_it_is_over(reviewing, started):
    conductor = Conductor(reviewing)
    look(conductor, 2)
    assert (started, state(reviewing)) == ([], RoundState.REVIEWING)
    decide_all(reviewing, VerdictKind.ACCEPT)
    look(conductor)
    assert (started, state(reviewing)) == ([{"model": "recursive_ich", "only": 1}], RoundState.CLOSED)


def test_convergence_stops_it_and_a_new_case_opens_the_review_again(reviewing, started, freeze, make_head):
    decide_all(reviewing, VerdictKind.REJECT)
    conductor = Conductor(reviewing)
    look(conductor, 2)
    assert (started, state(reviewing)) == ([], RoundState.CONVERGED)
    assert read_status(reviewing, conductor).state == "converged"
    image = reviewing.archive.studies / "u0.nii.gz"
    (image.parent / "u1.nii.gz").write_bytes(image.read_bytes())
    register_cases(reviewing)
    freeze(reviewing, "u1", make_head(9)[1])
    look(conductor)
    assert (started, state(reviewing)) == ([], RoundState.REVIEWING)


@pytest.mark.parametrize("published", [False, True], ids=["training", "proposing"])
def test_a_round_that_a_dead_server_left_is_resumed(reviewing, started, published):
    begin_round(reviewing)
    if published:
        reviewing.ledger.rounds.publish_model(1, trained_model="m", model="m", promoted=True, report={})
    look(Conductor(reviewing))
    assert started == [{"model": "recursive_ich", "only": 1}]


def test_a_killed_subprocess_is_started_again_three_times_at_one_spot(reviewing, started):
    begin_round(reviewing)
    conductor = Conductor(reviewing)
    for _ in range(3):
        look(conductor)
        end("ERROR")
    look(conductor, 3)
    assert len(started) == 3
    failed = reviewing.ledger.rounds.current()
    assert failed.state is RoundState.FAILED
    assert failed.error == "the training process ended 3 times at the same spot; is there enough memory?"
    assert read_status(reviewing, conductor).last_error == failed.error


def test_deaths_count_at_one_spot_only_however_long_it_took(reviewing, started):
    begin_round(reviewing)
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


def test_a_failed_round_waits_until_it_is_asked_for(reviewing, started):
    begin_round(reviewing)
    conductor = Conductor(reviewing)
    look(conductor)
    reviewing.ledger.rounds.interrupt(1, error="no memory")
    end("ERROR")
    look(conductor, 2)
    assert len(started) == 1
    assert conductor.ask() == 1
    look(conductor, 2)
    assert len(started) == 2


def test_a_stopped_round_waits_until_it_is_asked_for(reviewing, started):
    begin_round(reviewing)
    conductor = Conductor(reviewing)
    look(conductor)
    end("STOPPED")
    look(conductor, 3)
    assert (len(started), state(reviewing)) == (1, RoundState.STOPPED)
    assert read_status(reviewing, conductor).message == "the round was stopped; POST /recursive/rounds resumes it"
    conductor.ask()
    look(conductor)
    assert len(started) == 2


def test_a_running_round_cannot_be_asked_for(reviewing, started):
    begin_round(reviewing)
    conductor = Conductor(reviewing)
    look(conductor)
    with pytest.raises(RecursiveExpandError, match="a round is running already; DELETE /train/ stops it"):
        conductor.ask()


def test_the_next_round_can_be_asked_for_before_all_is_decided(reviewing, started):
    conductor = Conductor(reviewing)
    with pytest.raises(RecursiveExpandError, match="round 0 brought nothing new to train on: accept proposals"):
        conductor.ask()
    [(first, _), *_] = reviewing.ledger.queue.page(now=0)
    reviewing.ledger.decide(first.case_id, first.sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    assert conductor.ask() == 1
    look(conductor, 2)
    assert started == [{"model": "recursive_ich", "only": 1}]


def test_a_round_stopped_before_it_is_in_the_ledger_waits_until_it_is_asked_for(recursion, started):
    register_cases(recursion)
    conductor = Conductor(recursion)
    look(conductor)
    end("STOPPED")
    look(conductor, 3)
    assert len(started) == 1
    status = read_status(recursion, conductor)
    assert (status.state, status.last_error) == ("stopped", conductor.held)
    assert conductor.ask() == 0
    look(conductor)
    assert len(started) == 2
    assert read_status(recursion, conductor).state == "training"


def test_a_subprocess_that_dies_before_its_round_begins_is_not_started_for_ever(recursion, started):
    register_cases(recursion)
    conductor = Conductor(recursion)
    for _ in range(3):
        look(conductor)
        end("ERROR")
    look(conductor, 3)
    assert len(started) == 3
    assert conductor.held == "the training process ended 3 times at the same spot; is there enough memory?"


def test_what_goes_wrong_is_said_and_tried_again(reviewing, started, monkeypatch, caplog):
    begin_round(reviewing)
    conductor = Conductor(reviewing)
    with monkeypatch.context() as patch:
        patch.setattr("recursive_expand.server.conductor.round_due", lambda _study: 1 / 0)
        look(conductor, 3)
        assert conductor.problem == "ZeroDivisionError: division by zero"
        assert caplog.text.count("Traceback") == 1  # said once
    look(conductor)
    assert (conductor.problem, len(started)) == (None, 1)


def test_what_a_kill_left_is_made_good_at_the_start(reviewing, started):
    sha256 = reviewing.ledger.proposals.current("u0").sha256
    reviewing.ledger.decide("u0", sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    conductor = Conductor(reviewing)
    conductor._guard(conductor._prepare)
    assert conductor.problem is None
    assert (reviewing.archive.studies / "labels" / "final" / "u0.nii.gz").is_file()
