"""Progress: lines in the terminal, one file for the server."""

import pytest

from recursive_expand.expand import progress as module
from recursive_expand.expand.progress import Progress, ProgressState, read_progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when told."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def tick(seconds):
        now[0] += seconds

    return tick


def test_lines_and_time_left(tmp_path, clock, capsys):
    progress = Progress(tmp_path / "progress.json", round_index=3)
    progress.begin("training", 120)
    clock(10)
    progress.step(20, "epochs, loss 0.5000")
    clock(50)
    progress.step(120, "epochs")
    assert capsys.readouterr().out.splitlines() == [
        "round 3 | training 0/120",
        "round 3 | training 20/120 | epochs, loss 0.5000 | 0:50 left",
        "round 3 | training 120/120 | epochs",
    ]


def test_lines_come_every_two_seconds_but_the_last_always(tmp_path, clock, capsys):
    progress = Progress(tmp_path / "progress.json")
    progress.begin("proposing", 10)
    for done in range(1, 11):
        clock(0.5)
        progress.step(done)
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["0/10", "4/10", "8/10", "10/10"]


def test_what_was_done_before_an_interruption_does_not_count_for_the_speed(tmp_path, clock):
    progress = Progress(tmp_path / "progress.json")
    progress.begin("training", 100, done=90)
    clock(10)
    progress.step(95)
    assert read_progress(tmp_path / "progress.json").seconds_left == 10.0


def test_the_server_reads_what_was_shown_last(tmp_path, clock):
    assert read_progress(tmp_path / "progress.json") is None
    progress = Progress(tmp_path / "progress.json", round_index=1)
    progress.begin("proposing", 4)
    clock(2)
    progress.step(1, "slices")
    assert read_progress(tmp_path / "progress.json") == ProgressState(1, "proposing", 1, 4, "slices", 6.0)
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_stage_without_steps_is_done_at_once(tmp_path, capsys):
    Progress(tmp_path / "progress.json").begin("proposing", 0)
    assert capsys.readouterr().out == "proposing 0/0\n"


def test_a_line_outside_any_stage_names_the_round(tmp_path, capsys):
    Progress(tmp_path / "progress.json", round_index=2).say("5 proposals wait for a verdict")
    assert capsys.readouterr().out == "round 2 | 5 proposals wait for a verdict\n"
