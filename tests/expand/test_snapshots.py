"""A round's snapshots: durable beside its model, asked with it, and gone on with a model that stays."""

import pytest

from recursive_expand.expand import rounds
from recursive_expand.expand.rounds import run_round
from recursive_expand.ledger import VerdictKind


@pytest.fixture
def twins(write_studies, tmp_path, reopen):
    """The same recursion twice, with two snapshots a round."""
    for name in ("one", "other"):
        write_studies(tmp_path / name)
    return [reopen(tmp_path / name, snapshots=2) for name in ("one", "other")]


def agreements(recursion):
    waiting = recursion.ledger.queue.candidates()
    return {one.proposal_id: one.features.snapshot_dice for one in waiting}


def test_a_round_that_was_cut_off_asks_the_same_snapshots(twins, monkeypatch):
    whole, cut_off = twins
    expected = run_round(whole)
    spawn_training = rounds.spawn_training
    monkeypatch.setattr("recursive_expand.segment.train.SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def killed(*args, on_epoch, **kwargs):
        def stop(epoch, *_):
            if epoch == 8:  # of 12, after the first of the two
                raise KeyboardInterrupt

        return spawn_training(*args, on_epoch=stop, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(rounds, "spawn_training", killed)
        run_round(cut_off)
    found = run_round(cut_off)
    assert found.report["snapshots"] == expected.report["snapshots"]
    assert len({*found.report["snapshots"], found.model}) == 3
    assert all(cut_off.workspace.model(sha256).is_file() for sha256 in found.report["snapshots"])
    assert list(cut_off.workspace.checkpoint(0).parent.iterdir()) == []
    assert agreements(cut_off) == agreements(whole)
    known = [*agreements(whole).values(), *(one.features.snapshot_dice for one in whole.ledger.rounds.calibration(0))]
    assert known and all(0 <= dice <= 1 for dice in known)


def test_a_model_that_stays_keeps_its_snapshots(twins, decide_all, monkeypatch):
    recursion, _ = twins
    first = run_round(recursion)
    decide_all(recursion, VerdictKind.ACCEPT, [1])
    monkeypatch.setattr("recursive_expand.expand.gate.holds", lambda *_: False)
    second = run_round(recursion)
    assert not second.promoted
    assert second.report["snapshots"] == first.report["snapshots"]


def test_without_the_setting_there_are_none(recursion):
    round_ = run_round(recursion)
    assert "snapshots" not in round_.report
    assert set(agreements(recursion).values()) == {None}
