"""Whole rounds on a tiny recursion: to the review, to the next round, through failures, to convergence."""

import itertools
import os
import shutil
import sqlite3

import numpy as np
import pytest
import torch

from recursive_expand.archives.images import read_label
from recursive_expand.errors import InputError
from recursive_expand.expand import gate, rounds, snapshots
from recursive_expand.expand.due import NothingToDo, NotReady, close_review, close_review_if_done, round_due
from recursive_expand.expand.frozen import SECONDS_TO_BE_RECORDED
from recursive_expand.expand.judging import withdraw
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.steps import Step, next_step, read_state
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.ledger import Actor, MovedOn, RoundState, VerdictKind
from recursive_expand.segment.weights import mean_weights

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


def made(recursion):
    """What a run leaves: the newest round's weights, its validation, and every proposal of every case."""
    newest, of_case = recursion.ledger.rounds.current(), recursion.ledger.proposals.of_case
    proposals = {case.case_id: of_case(case.case_id) for case in recursion.ledger.cases.iterate()}
    masks = {case_id: [(p.round, p.sha256, p.state, p.slices) for p in found] for case_id, found in proposals.items()}
    return newest.round, newest.trained_model, newest.model, newest.report["validation"], masks


def step(recursion):
    return next_step(read_state(recursion), recursion.settings.review)


def edit(recursion, statement):
    """Change the ledger's file behind its back."""
    with sqlite3.connect(recursion.workspace.ledger) as connection:
        connection.execute(statement)


@pytest.fixture
def expanded(reviewing, decide_all):
    """All slices of the first review accepted but one of u0, which goes on to round 1."""
    decide_all(reviewing, ACCEPT, [1])
    return reviewing


@pytest.fixture(scope="session")
def undisturbed(after_round_0, tmp_path_factory, reopen, decide_all):
    """What round 1 makes of `expanded` when nothing comes between."""
    folder = tmp_path_factory.mktemp("undisturbed") / "studies"
    shutil.copytree(after_round_0, folder)
    recursion = reopen(folder)
    decide_all(recursion, ACCEPT, [1])
    run_round(recursion)
    return made(recursion)


def test_round_0_trains_proposes_and_opens_its_review(reviewing):
    [round_0] = reviewing.ledger.rounds.all()
    assert (round_0.state, round_0.base_model, round_0.promoted) == (RoundState.REVIEWING, None, True)
    assert round_0.model == round_0.trained_model
    assert reviewing.workspace.model(round_0.model).is_file()
    assert len(round_0.report["losses"]) == 12
    assert round_0.report["losses"][-1] < round_0.report["losses"][0] / 10
    assert round_0.report["validation"]["held_out"] is True
    assert round_0.report["training_slices"] == {"pixel": 6, "accepted": 0, "clean": 0, "new": 0}
    assert [p.case_id for p, _ in reviewing.ledger.queue.page(now=0)] != []
    assert not reviewing.workspace.checkpoint(0).exists()
    assert not reviewing.workspace.targets(0).exists()
    assert reviewing.ledger.audit.verify() is None
    assert reviewing.ledger.proposals.current("t0") is None
    assert reviewing.ledger.proposals.current("p0") is None


def test_the_queue_is_ordered_by_what_the_locked_share_foretells(reviewing):
    assert [one.key for one in reviewing.ledger.rounds.calibration(0)]
    scores = [p.score for p, _ in reviewing.ledger.queue.page(now=0)]
    assert scores == sorted(scores, reverse=True)  # all of one class
    assert all(0 < score < 1 for score in scores)


def test_a_review_in_progress_is_not_closed(reviewing, say):
    say(reviewing, "i0", ACCEPT)
    assert close_review_if_done(reviewing) is None
    assert round_due(reviewing) == 1


def test_round_1_trains_on_what_was_accepted(expanded, changed):
    assert close_review_if_done(expanded).state is RoundState.CLOSED
    assert close_review_if_done(expanded) is None
    round_1 = run_round(changed(expanded, unchanged_dice=1.0))
    assert (round_1.round, round_1.state) == (1, RoundState.REVIEWING)
    assert round_1.base_model == expanded.ledger.rounds.get(0).model
    assert round_1.trained_model != round_1.base_model
    assert round_1.report["training_slices"] == {"pixel": 6, "accepted": 5, "clean": 1, "new": 5}
    assert len(round_1.report["losses"]) == 1
    assert round_1.report["previous_validation"]["cases"] == 1
    training_set = TrainingSet.from_json(expanded.ledger.rounds.training_set(1))
    assert [(a.case_id, a.slices) for a in training_set.accepted] == [("i0", (0,)), ("i1", (0, 2)), ("u0", (0, 2))]
    for case_id in ("i0", "i1", "u0"):
        assert set(expanded.ledger.proposals.current(case_id).slices) <= {1}
    assert all(verdict.used_by == 1 for verdict in expanded.ledger.judgements.verdicts())


def test_rejecting_all_that_is_new_converges(expanded, changed, decide_all):
    assert run_round(changed(expanded, unchanged_dice=1.0)).state is RoundState.REVIEWING
    decide_all(expanded, REJECT)
    assert close_review_if_done(expanded).state is RoundState.CONVERGED
    assert [round_.report["expanded_slices"] for round_ in expanded.ledger.rounds.all()] == [5, 0]
    with pytest.raises(NothingToDo, match="round 1 brought nothing new to train on: accept proposals, or add cases"):
        run_round(expanded)
    assert expanded.ledger.rounds.current().state is RoundState.CONVERGED


def test_a_round_that_proposes_nothing_else_converges_without_a_review(expanded, changed):
    assert run_round(changed(expanded, unchanged_dice=0.01)).state is RoundState.CONVERGED
    assert expanded.ledger.queue.count() == 0
    assert expanded.ledger.proposals.count(1)["open"] == 0


def test_the_same_ledger_and_seed_give_the_same_weights_and_proposals(expanded, undisturbed):
    run_round(expanded)
    assert made(expanded) == undisturbed


@pytest.mark.parametrize("after_epochs", [4, 12])
def test_training_that_was_cut_off_is_resumed_to_the_same_weights(
    recursion, after_round_0, reopen, monkeypatch, after_epochs
):
    spawn_training = rounds.spawn_training
    monkeypatch.setattr("recursive_expand.segment.train.SECONDS_BETWEEN_CHECKPOINTS", 0.0)

    def killed(*args, on_epoch, **kwargs):
        def cut_off(epoch, total, loss):
            if epoch == after_epochs:
                raise KeyboardInterrupt  # no Exception: the ledger is not told, as after kill -9
            on_epoch(epoch, total, loss)

        return spawn_training(*args, on_epoch=cut_off, **kwargs)

    monkeypatch.setattr(rounds, "spawn_training", killed)
    with pytest.raises(KeyboardInterrupt):
        run_round(recursion)
    assert recursion.ledger.rounds.current().state is RoundState.TRAINING
    assert recursion.workspace.checkpoint(0).exists()
    done = []

    def noted(*args, on_epoch, **kwargs):
        return spawn_training(
            *args, on_epoch=lambda epoch, *rest: (done.append(epoch), on_epoch(epoch, *rest)), **kwargs
        )

    monkeypatch.setattr(rounds, "spawn_training", noted)
    run_round(recursion)
    assert len(done) < 12  # what was done was not done again
    assert made(recursion) == made(reopen(after_round_0))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_proposing_that_was_cut_off_is_resumed_to_the_same_proposals(expanded, undisturbed, monkeypatch, error):
    freeze, calls = type(expanded.ledger.proposals).freeze, itertools.count()

    def killed(self, *args, **kwargs):
        if next(calls) == 1:
            raise error("killed")  # the files of this proposal are written, the ledger does not know
        return freeze(self, *args, **kwargs)

    monkeypatch.setattr(type(expanded.ledger.proposals), "freeze", killed)
    with pytest.raises(error):
        run_round(expanded)
    stopped = expanded.ledger.rounds.current()
    assert stopped.state is (RoundState.FAILED if error is RuntimeError else RoundState.PROPOSING)
    first = expanded.ledger.proposals.proposed_in(1)
    assert len(first) == 1
    monkeypatch.undo()
    monkeypatch.setattr(rounds, "spawn_training", lambda *_args, **_kwargs: pytest.fail("trained again"))
    run_round(expanded)
    assert made(expanded) == undisturbed


def test_a_failed_round_says_why_keeps_the_model_and_runs_again(expanded, undisturbed, monkeypatch):
    def fails(*_args, **_kwargs):
        raise RuntimeError("CUDA out of\nmemory")

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "spawn_training", fails)
        with pytest.raises(RuntimeError):
            run_round(expanded)
    failed = expanded.ledger.rounds.current()
    assert (failed.round, failed.state, failed.error) == (1, RoundState.FAILED, "RuntimeError: CUDA out of memory")
    assert expanded.ledger.rounds.current_model() == (0, expanded.ledger.rounds.get(0).model)
    assert round_due(expanded) == 1
    assert run_round(expanded).error is None
    assert made(expanded) == undisturbed


def test_a_refusal_is_recorded_in_its_own_words(expanded, monkeypatch):
    def fails(*_args, **_kwargs):
        raise InputError("weights", "are damaged; restore the file")

    monkeypatch.setattr(rounds, "spawn_training", fails)
    with pytest.raises(InputError):
        run_round(expanded)
    assert expanded.ledger.rounds.current().error == "weights: are damaged; restore the file"


def test_a_stopped_round_goes_on_under_the_settings_it_began_with(expanded, monkeypatch, changed):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "spawn_training", killed)
        with pytest.raises(KeyboardInterrupt):
            run_round(expanded)
    expanded.ledger.rounds.interrupt(1, error=None)
    begun = expanded.ledger.rounds.current()
    resumed = run_round(changed(expanded, later_epochs=3))
    assert len(resumed.report["losses"]) == 1
    assert resumed.config_sha256 == begun.config_sha256


def test_the_gate_keeps_the_old_model(expanded, monkeypatch):
    monkeypatch.setattr(gate, "holds", lambda *_: False)
    round_1 = run_round(expanded)
    old = expanded.ledger.rounds.get(0).model
    assert (round_1.model, round_1.promoted) == (old, False)
    assert round_1.trained_model != old
    assert expanded.ledger.rounds.current_model() == (1, old)
    assert {p.model_sha256 for c in ("i0", "i1", "u0") for p in expanded.ledger.proposals.of_case(c)} == {old}


def test_a_model_that_falls_below_the_old_one_is_held_back(expanded, changed):
    round_1 = run_round(changed(expanded, later_learning_rate=3.0))
    assert round_1.report["validation"]["dice"] < round_1.report["previous_validation"]["dice"] - 0.05
    assert (round_1.model, round_1.promoted) == (expanded.ledger.rounds.get(0).model, False)


def test_a_model_that_does_not_hold_is_averaged_with_the_old_one(expanded, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(gate, "holds", lambda *_: next(answers))
    round_1 = run_round(expanded)
    old = expanded.ledger.rounds.get(0).model
    assert len({old, round_1.trained_model, round_1.model}) == 3
    assert round_1.promoted and round_1.report["averaged"]
    states = [expanded.network(model).state_dict() for model in (old, round_1.trained_model)]
    published = expanded.network(round_1.model).state_dict()
    for name, mean in mean_weights(states).items():
        assert torch.equal(published[name], mean)
    assert {p.model_sha256 for c in ("i0", "u0") for p in expanded.ledger.proposals.of_case(c)} >= {round_1.model}


def test_a_share_of_the_weights_that_a_round_began_with_is_kept(expanded, changed):
    """And the gate measures that."""
    kept = run_round(changed(expanded, base_share=0.999))
    base = expanded.network(expanded.ledger.rounds.get(0).model).state_dict()
    now = expanded.network(kept.model).state_dict()
    moved = {name: (now[name] - base[name]).abs().max() for name in base if base[name].is_floating_point()}
    weights = [value for name, value in moved.items() if "running" not in name]
    assert kept.promoted and kept.model == kept.trained_model and 0 < max(weights) < 1e-4
    dice = [kept.report[name]["dice"] for name in ("validation", "previous_validation")]
    assert dice[0] == pytest.approx(dice[1], abs=0.02)


def test_the_paper_s_preset_runs_two_rounds(recursion, reopen, decide_all):
    paper = reopen(recursion.archive.studies, preset="paper", kind="residual", epochs=6)
    first = run_round(paper)
    # Without a locked share the measures are of the pixel set itself.
    assert (first.report["validation"]["cases"], first.report["validation"]["held_out"]) == (3, False)
    assert first.report["training_slices"]["pixel"] == 9
    decide_all(paper, ACCEPT)
    second = run_round(paper)
    assert second.report["training_slices"]["clean"] == 1  # i0's slice 2, on which f marks nothing
    assert second.report["training_slices"]["accepted"] > 0
    assert "previous_validation" not in second.report
    assert second.config["method"]["training"]["targets"] == "previous"


@pytest.fixture
def selected_once(recursion, reopen, decide_all, monkeypatch):
    """Preset `paper` after the expert's selection; round 0's f found nothing on slice 2 of any case."""

    class Misses(snapshots.Predictor):
        def propose_volumes(self, *args):
            for case_id, prediction in super().propose_volumes(*args):
                prediction.mask[2] = 0
                yield case_id, prediction

    paper = reopen(recursion.archive.studies, preset="paper", kind="residual", epochs=6)
    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "Predictor", Misses)
        run_round(paper)
    for proposal, _ in paper.ledger.queue.page(now=0):
        assert set(proposal.slices) <= {0, 1}
    return paper


def test_with_review_once_images_newly_segmented_join_without_a_verdict_until_there_are_none(selected_once, decide_all):
    ledger = selected_once.ledger
    decide_all(selected_once, ACCEPT)
    round_1 = run_round(selected_once)
    assert (round_1.state, ledger.queue.count()) == (RoundState.CLOSED, 0)  # nobody is asked
    assert round_1.report["expanded_slices"] == 2
    assert step(selected_once) is Step.NEXT_ROUND
    round_2 = run_round(selected_once)
    training_set = TrainingSet.from_json(ledger.rounds.training_set(2))
    assert [(one.case_id, one.round, one.slices, one.new) for one in training_set.joined] == [
        ("i1", 1, (2,), True),
        ("u0", 1, (2,), True),
    ]
    assert training_set.new_slices == 2 and not any(one.new for one in training_set.accepted)
    assert round_2.report["training_slices"]["joined"] == 2
    assert (round_2.state, round_2.report["expanded_slices"]) == (RoundState.CONVERGED, 0)
    assert step(selected_once) is Step.CONVERGED
    assert len(ledger.judgements.verdicts()) == 3  # all of round 0
    # Label objects hold what the expert accepted, and nothing else.
    label = read_label(selected_once.archive.studies / "labels" / "final" / "u0.nii.gz")
    assert set(label.filled) == {0, 1}
    assert ledger.audit.verify() is None


def test_with_review_once_what_the_expert_rejected_stays_out(selected_once, decide_all):
    decide_all(selected_once, ACCEPT, [1])
    run_round(selected_once)
    run_round(selected_once)
    training_set = TrainingSet.from_json(selected_once.ledger.rounds.training_set(2))
    assert {n for one in (*training_set.accepted, *training_set.joined) for n in one.slices} == {0, 2}


def test_without_expert_masks_there_is_nothing_to_do(recursion):
    for path in (recursion.archive.studies / "labels" / "final").iterdir():
        path.unlink()
    (recursion.archive.studies / "cases.csv").unlink()
    with pytest.raises(NothingToDo, match=r"there are no expert masks to begin with: put masks into labels/final"):
        run_round(recursion)
    assert recursion.ledger.rounds.current() is None


def test_a_round_that_is_not_due_does_not_run(reviewing):
    with pytest.raises(NothingToDo, match="round 0 is not due"):
        run_round(reviewing, only=0)
    assert len(reviewing.ledger.rounds.all()) == 1


def test_asking_too_early_leaves_the_review_open(reviewing, say):
    say(reviewing, "i0", REJECT)
    with pytest.raises(NothingToDo):
        run_round(reviewing)
    assert reviewing.ledger.rounds.current().state is RoundState.REVIEWING


def test_asking_early_with_something_accepted_begins_the_next_round(reviewing, say):
    say(reviewing, "i0", ACCEPT)
    assert run_round(reviewing).round == 1
    assert reviewing.ledger.rounds.get(0).state is RoundState.CLOSED
    assert reviewing.ledger.rounds.get(0).report["expanded_slices"] == 2


def test_an_accepted_case_whose_image_is_gone_does_not_stop_the_next_round(expanded):
    (expanded.archive.studies / "i0.nii.gz").unlink()
    round_1 = run_round(expanded)
    assert round_1.state is not RoundState.FAILED
    assert round_1.report["training_slices"]["accepted"] == 4


def test_cases_added_after_the_first_round_are_proposed_by_the_next(expanded):
    shutil.copy(expanded.archive.studies / "u0.nii.gz", expanded.archive.studies / "u9.nii.gz")
    run_round(expanded)
    assert expanded.ledger.proposals.current("u9").round == 1


def test_the_report_of_a_round_names_all_that_is_asked_for(reviewing):
    """What the server's report adds to it comes from the ledger: tests/server."""
    report = reviewing.ledger.rounds.current().report
    assert report["train_seconds"] > 0 and report["propose_seconds"] > 0
    assert report["proposals"]["held"] + report["proposals"]["open"] == 3
    assert report["validation"].keys() >= {"dice", "iou", "precision", "recall", "pooled"}


def test_reading_new_cases_shows_how_many(recursion, monkeypatch):
    shown = []
    monkeypatch.setattr(rounds.Progress, "begin", lambda _self, stage, total, **_: shown.append((stage, total)))
    run_round(recursion)
    assert shown[0] == ("reading cases", 7)
    assert [stage for stage, _ in shown] == ["reading cases", "training", "proposing", "calibrating"]


def test_the_progress_file_ends_with_the_last_stage(reviewing):
    state = read_progress(reviewing.workspace.progress)
    assert (state.round, state.stage, state.done, state.total) == (0, "calibrating", 3, 3)


def test_masks_of_old_rounds_are_never_overwritten(expanded, proposed):
    before = {c: proposed(expanded, c).copy() for c in ("i0", "i1", "u0")}
    run_round(expanded)
    for case_id, mask in before.items():
        assert np.array_equal(proposed(expanded, case_id, 0), mask)


def test_a_round_removes_what_killed_ones_left_among_the_proposals(expanded):
    folder = expanded.workspace.proposals / "ab"
    folder.mkdir(exist_ok=True)
    leftover = folder / f"{'ab' * 32}.nii.gz"
    leftover.write_bytes(b"half")
    long_ago = leftover.stat().st_mtime - SECONDS_TO_BE_RECORDED - 60
    os.utime(leftover, (long_ago, long_ago))
    run_round(expanded)
    assert not leftover.exists()
    for case_id in ("i0", "i1", "u0"):
        for proposal in expanded.ledger.proposals.of_case(case_id):
            assert (expanded.workspace.root / proposal.file).is_file()


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE verdicts SET reviewer = 'eve' WHERE verdict_id = 1", "verdicts 1 has reviewer 'eve', but event "),
        ("UPDATE judgements SET accepted = 0 WHERE verdict_id = 1", "judgements 1, "),
        ("UPDATE rounds SET model = 'other'", "rounds 0 has model 'other', but event "),
        ("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)", "is there, but no event recorded it"),
    ],
    ids=["verdict", "judgement", "model", "cut tail"],
)
def test_on_a_ledger_that_was_edited_no_round_begins(expanded, statement, what):
    edit(expanded, statement)
    with pytest.raises(NotReady, match="the ledger is not as it was recorded") as refused:
        run_round(expanded)
    assert what in str(refused.value)
    assert expanded.workspace.read_not_ready() == str(refused.value)
    assert [(r.round, r.state) for r in expanded.ledger.rounds.all()] == [(0, RoundState.REVIEWING)]


def test_once_the_ledger_is_as_recorded_or_accepted_the_round_begins(expanded):
    edit(expanded, "UPDATE verdicts SET comment = 'no' WHERE verdict_id = 1")
    with pytest.raises(NotReady):
        run_round(expanded)
    expanded.ledger.audit.accept(Actor("ann", "terminal"), "a comment was mended by hand")
    assert run_round(expanded).round == 1
    assert expanded.workspace.read_not_ready() is None


def test_while_a_table_is_not_understood_no_round_begins(recursion):
    table = recursion.archive.studies / "cases.csv"
    content = table.read_bytes()
    table.write_bytes(b"\xff\xfe\x00nonsense")
    with pytest.raises(NotReady, match=r"^cases\.csv") as refused:
        run_round(recursion)
    assert recursion.workspace.read_not_ready() == str(refused.value)
    assert recursion.ledger.rounds.current() is None
    assert list(recursion.ledger.cases.iterate(state=None)) == []
    table.write_bytes(content)
    assert run_round(recursion).state is RoundState.REVIEWING
    assert recursion.workspace.read_not_ready() is None


def test_the_machine_is_in_the_report_and_not_in_the_hash(reviewing, expanded, reopen):
    """What changes no weights and no proposals may change between two rounds of one configuration."""
    other = reopen(expanded.archive.studies, threads=2, order="balanced", lease_minutes=3, min_expansion=1)
    round_1, round_0 = run_round(other), expanded.ledger.rounds.get(0)
    assert round_0.report["machine"] == {"device": "cpu", "threads": 1, "torch": torch.__version__}
    assert round_1.report["machine"] == round_0.report["machine"] | {"threads": 2}
    assert round_1.config == round_0.config
    assert round_1.config_sha256 == round_0.config_sha256
    assert not {"threads", "order", "lease_minutes", "min_expansion"} & set(str(round_1.config).split("'"))
    other.ledger.close()


@pytest.mark.parametrize("setting", [{"later_epochs": 2}, {"unchanged_dice": 0.9}, {"seed": 1}, {"min_area": 1.0}])
def test_what_changes_weights_or_proposals_is_in_the_hash(expanded, changed, setting, monkeypatch):
    monkeypatch.setattr(rounds, "_train_and_publish", lambda *_args, **_kwargs: pytest.fail("trains"))
    with pytest.raises(pytest.fail.Exception):
        run_round(changed(expanded, **setting))
    begun = expanded.ledger.rounds.get(1)
    assert begun.config_sha256 != expanded.ledger.rounds.get(0).config_sha256


def test_the_network_and_the_windows_stay_those_that_the_recursion_began_with(expanded, changed, caplog):
    other = changed(expanded, channels=[8, 16], working_spacing=2.0, windows=[{"level": 40, "width": 80}])
    round_1 = run_round(other)
    assert round_1.config == expanded.ledger.rounds.get(0).config
    assert "keeps the network that it began with" in caplog.text


def test_f_stays_one_that_began_with_fresh_weights(expanded, changed, caplog):
    """A threshold of one from synthetic heads would let it mark noise, and slices like theirs be replayed to it."""
    round_1 = run_round(changed(expanded, pretrain="synthetic", foreground_threshold=0.1))
    assert round_1.config["method"]["pretrain"] == "none" and round_1.thresholds == {}
    assert "keeps the pretrain that it began with: none" in caplog.text


def test_a_verdict_taken_back_while_the_training_set_is_built_is_not_trained_on(expanded, changed, monkeypatch):
    """The conductor reopens a converged review, since cases were added, while a person's round begins elsewhere."""
    closed = close_review(expanded, expanded.ledger.rounds.current(), converged=True)
    assert closed.state is RoundState.CONVERGED
    [verdict] = expanded.ledger.judgements.of_case("i1")
    build, built = rounds.build_training_set, []

    def slow(ledger, method, index, **mined):
        built.append(build(ledger, method, index, **mined))
        if len(built) == 1:
            expanded.ledger.rounds.reopen_review(0)
            withdraw(expanded, Actor("ann", "slicer"), verdict.verdict_id)
        return built[-1]

    monkeypatch.setattr(rounds, "build_training_set", slow)
    round_1 = run_round(expanded)
    assert [[a.case_id for a in one.accepted] for one, _ in built] == [["i0", "i1", "u0"], ["i0", "u0"]]
    training_set = TrainingSet.from_json(expanded.ledger.rounds.training_set(1))
    assert training_set == built[1][0] and round_1.training_set_sha256 == training_set.sha256
    assert expanded.ledger.rounds.get(0).state is RoundState.CLOSED
    assert expanded.ledger.judgements.verdict(verdict.verdict_id).used_by is None


def test_a_review_that_another_closed_is_closed_once(expanded, monkeypatch):
    """Conductor and round process find at the same time that the review is over."""

    def late(recursion, round_, *, converged):
        close_review(recursion, round_, converged=converged)
        return close_review(recursion, round_, converged=converged)

    monkeypatch.setattr(rounds, "close_review", late)
    assert close_review_if_done(expanded).state is RoundState.CLOSED
    with pytest.raises(MovedOn):
        close_review(expanded, expanded.ledger.rounds.get(0), converged=False)
