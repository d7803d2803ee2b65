"""The ledger's commands: one line and an exit code for a script, and a record of who accepted what."""

import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

from recursive_expand.cli import app
from recursive_expand.ledger import Ledger
from recursive_expand.ledger.chain import GENESIS


@pytest.fixture
def run():
    def run(*arguments):
        return CliRunner().invoke(app, ["ledger", *(str(argument) for argument in arguments)])

    return run


@pytest.fixture
def workspace(tmp_path, entry):
    """A folder of studies with its workspace in it, whose ledger knows two cases."""
    ledger = Ledger(tmp_path / "studies" / ".recursive" / "ledger.sqlite")
    ledger.cases.register([entry("a"), entry("b")])
    ledger.close()
    return tmp_path / "studies" / ".recursive"


@pytest.fixture
def alter(workspace):
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE cases SET role = 'pixel' WHERE case_id = 'a'")


@pytest.mark.parametrize("place", [".", "..", "ledger.sqlite"])
def test_a_ledger_is_found_in_its_workspace_in_the_studies_and_by_its_name(run, workspace, place):
    result = run("verify", workspace / place)
    assert result.exit_code == 0
    assert result.output.startswith("the ledger is as it was recorded: 1 events, the last one ")
    assert result.output.count("\n") == 1
    assert GENESIS[:12] not in result.output


def test_a_difference_is_one_line_and_exit_code_1(run, workspace, alter):
    result = run("verify", workspace)
    assert result.exit_code == 1
    assert "cases a has role 'pixel', but event 1 recorded 'unlabelled'" in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("command", [("verify",), ("accept", "--reason", "x")])
def test_a_folder_without_a_ledger_is_refused_and_gets_none(run, tmp_path, command):
    for folder in (tmp_path, tmp_path / "missing"):
        result = run(*command, folder)
        assert result.exit_code == 2
        assert "holds no ledger.sqlite" in result.output
        assert "Traceback" not in result.output
    assert list(tmp_path.rglob("*")) == []


def test_what_was_accepted_is_told_and_recorded_with_who_and_why(run, workspace, alter):
    result = run("accept", workspace.parent, "--reason", "a new [expert] mask", "--reviewer", "Ünal")
    assert result.exit_code == 0
    assert result.output.startswith("accepted: cases a has role 'pixel', but event 1 recorded 'unlabelled'; 2 rows")
    assert run("verify", workspace).exit_code == 0
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as connection:
        (body,) = connection.execute("SELECT body FROM events WHERE seq = 2").fetchone()
    assert '"reason":"a new [expert] mask"' in body
    assert '"reviewer":"Ünal"' in body
    assert "cases a has role 'pixel'" in body


def test_accepting_needs_a_reason(run, workspace, alter):
    assert run("accept", workspace).exit_code == 2
    result = run("accept", workspace, "--reason", " ")
    assert result.exit_code == 2
    assert "--reason: is empty" in result.output
    assert run("verify", workspace).exit_code == 1


def test_nothing_is_recorded_where_nothing_is_wrong(run, workspace):
    result = run("accept", workspace, "--reason", "to be sure")
    assert (result.exit_code, result.output) == (0, "the ledger is as it was recorded: there is nothing to accept\n")
    assert "1 events" in run("verify", workspace).output


def test_a_ledger_of_an_earlier_version_stays_as_it_is(run, workspace):
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    result = run("verify", workspace)
    assert result.exit_code == 2
    assert "was written by an earlier version (schema 0001" in result.output
    with closing(sqlite3.connect(workspace / "ledger.sqlite")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
