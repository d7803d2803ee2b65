"""The conductor with MONAI Label's own task runner: rounds in real subprocesses."""

import sqlite3
import time

import psutil
import pytest
from monailabel.utils.async_tasks import utils as async_tasks
from monailabel.utils.async_tasks.task import AsyncTask

from recursive_expand.ledger import Actor, RoundState, VerdictKind
from recursive_expand.server.status import read_status

SECONDS = 240.0
"""Longest subprocess: a few seconds of imports and one of training where nothing else runs."""

pytestmark = pytest.mark.timeout(3 * SECONDS)


def look(conductor):
    conductor._guard(conductor._look)
    assert conductor.problem is None


def wait(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, async_tasks.tasks("train")
        time.sleep(0.05)


def test_a_round_is_stopped_started_again_and_leads_to_a_review(
    make_app, write_studies, reopen, tmp_path, conf, no_task
):
    write_studies(tmp_path / "new")
    recursion = reopen(tmp_path / "new")
    app = make_app(recursion, **conf)
    conductor = app.conductor
    conductor._guard(conductor._prepare)
    look(conductor)
    wait(lambda: async_tasks.processes("train"))
    [process] = async_tasks.processes("train").values()
    with pytest.raises(Exception, match="a round is running already"):
        conductor.ask()
    AsyncTask.stop("train")
    look(conductor)
    assert not conductor.running()
    assert conductor.held == "the round was stopped before it began"
    wait(lambda: not psutil.pid_exists(process.pid) or process.poll() is not None)

    conductor.ask()
    look(conductor)
    assert conductor.running()
    wait(lambda: not conductor.running())
    assert async_tasks.tasks("train")[-1]["status"] == "DONE"
    look(conductor)
    round_0 = recursion.ledger.rounds.current()
    assert (round_0.round, round_0.state, round_0.error) == (0, RoundState.REVIEWING, None)
    assert recursion.workspace.model(round_0.model).is_file()
    status = read_status(recursion, conductor)
    assert (status.state, status.step, status.last_error) == ("reviewing", "review", None)
    assert status.undecided > 0


def test_a_round_that_may_not_begin_says_why_and_begins_once_that_is_mended(make_app, reviewing, conf, no_task):
    app = make_app(**conf)
    conductor, ledger = app.conductor, app.recursion.ledger
    conductor._guard(conductor._prepare)
    [(first, _), *_] = ledger.queue.page(now=0)
    ledger.judgements.give(Actor("ann", "x"), first.case_id, first.sha256, VerdictKind.ACCEPT)
    recorded = ledger.rounds.get(0).config_sha256
    _change(reviewing, "x")
    assert conductor.ask() == 1
    look(conductor)
    wait(lambda: not conductor.running())
    look(conductor)
    assert len(async_tasks.tasks("train")) == 1
    status = read_status(app.recursion, conductor)
    assert status.last_error.startswith("the ledger is not as it was recorded: rounds 0 has config_sha256 'x'")
    assert (status.state, status.step) == ("reviewing", "review")  # experts go on

    _change(reviewing, recorded)
    conductor.ask()
    look(conductor)
    wait(lambda: not conductor.running())
    look(conductor)
    assert ledger.rounds.current().round == 1
    assert ledger.rounds.get(0).state is RoundState.CLOSED
    assert ledger.rounds.current().state in (RoundState.REVIEWING, RoundState.CONVERGED)
    assert read_status(app.recursion, conductor).last_error is None


def _change(recursion, config_sha256):
    """Behind the ledger's back."""
    with sqlite3.connect(recursion.workspace.ledger) as connection:
        connection.execute("UPDATE rounds SET config_sha256 = ? WHERE round = 0", (config_sha256,))
    connection.close()
