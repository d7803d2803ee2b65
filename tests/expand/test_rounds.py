"""Whole rounds on a tiny study: to the review, to the next round, through failures, to convergence."""

import dataclasses
import itertools
import shutil

import numpy as np
import pytest
import torch

from recursive_expand.errors import InputError
from recursive_expand.expand import gate, rounds
from recursive_expand.expand.frozen import frozen_mask
from recursive_expand.expand.labels import write_labels
from recursive_expand.expand.progress import read_progress
from recursive_expand.expand.rounds import NothingToDo, close_review_if_done, iter_round_reports, round_due, run_round
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.ledger import RoundState, VerdictKind
from recursive_expand.segment.losses import IGNORE
from recursive_expand.segment.weights import mean_weights

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT


def say(study, case_id, verdict, rejected=()):
    proposal = study.ledger.current_proposal(case_id)
    study.ledger.decide(case_id, proposal.sha256, verdict, rejected_slices=rejected, reviewer="x", client="x")
    write_labels(study, case_id)


def decide_all(study, verdict, rejected=()):
    for proposal, _ in study.ledger.queue(now=0):
        say(study, proposal.case_id, verdict, [n for n in rejected if n in proposal.slices])


def under(study, **settings):
    return dataclasses.replace(study, task=study.task.model_copy(update=settings))


def made(study):
    """What a run leaves: the newest round's weights, its validation, and every proposal of every case."""
    newest = study.ledger.current_round()
    proposals = {c.case_id: study.ledger.proposals_of(c.case_id) for c in study.ledger.iter_cases()}
    masks = {case_id: [(p.round, p.sha256, p.state, p.slices) for p in found] for case_id, found in proposals.items()}
    return newest.round, newest.trained_model, newest.model, newest.report["validation"], masks


@pytest.fixture
def expanded(reviewing):
    """All slices of the first review accepted but one of u0, which goes on to round 1."""
    decide_all(reviewing, ACCEPT, [1])
    return reviewing


@pytest.fixture(scope="session")
def undisturbed(after_round_0, tmp_path_factory, reopen):
    """What round 1 makes of `expanded` when nothing comes between."""
    folder = tmp_path_factory.mktemp("undisturbed") / "studies"
    shutil.copytree(after_round_0, folder)
    study = reopen(folder)
    decide_all(study, ACCEPT, [1])
    run_round(study)
    return made(study)


def test_round_0_trains_proposes_and_opens_its_review(reviewing):
    [round_0] = reviewing.ledger.list_rounds()
    assert (round_0.state, round_0.base_model, round_0.promoted) == (RoundState.REVIEWING, None, True)
    assert round_0.model == round_0.trained_model
    assert reviewing.workspace.model(round_0.model).is_file()
    assert len(round_0.report["losses"]) == 12
    assert round_0.report["losses"][-1] < round_0.report["losses"][0] / 10
    assert round_0.report["validation"]["held_out"] is True
    assert round_0.report["training_slices"] == {"pixel": 6, "accepted": 0, "clean": 0, "new": 0}
    assert [p.case_id for p, _ in reviewing.ledger.queue(now=0)] != []
    assert not reviewing.workspace.checkpoint(0).exists()
    assert not reviewing.workspace.targets(0).exists()
    assert reviewing.ledger.first_broken_event() is None
    assert reviewing.ledger.current_proposal("t0") is None
    assert reviewing.ledger.current_proposal("p0") is None


def test_the_queue_is_ordered_cleanest_first(reviewing):
    confidences = [p.confidence for p, _ in reviewing.ledger.queue(now=0)]
    assert confidences == sorted(confidences, reverse=True)


def test_a_review_in_progress_is_not_closed(reviewing):
    say(reviewing, "i0", ACCEPT)
    assert close_review_if_done(reviewing) is None
    assert round_due(reviewing) == 1


def test_round_1_trains_on_what_was_accepted(expanded):
    assert close_review_if_done(expanded).state is RoundState.CLOSED
    assert close_review_if_done(expanded) is None
    round_1 = run_round(under(expanded, unchanged_dice=1.0))
    assert (round_1.round, round_1.state) == (1, RoundState.REVIEWING)
    assert round_1.base_model == expanded.ledger.round(0).model
    assert round_1.trained_model != round_1.base_model
    assert round_1.report["training_slices"] == {"pixel": 6, "accepted": 5, "clean": 1, "new": 5}
    assert len(round_1.report["losses"]) == 1
    assert round_1.report["previous_validation"]["cases"] == 1
    training_set = TrainingSet.from_json(expanded.ledger.training_set(1))
    assert [(a.case_id, a.slices) for a in training_set.accepted] == [("i0", (0,)), ("i1", (0, 2)), ("u0", (0, 2))]
    for case_id in ("i0", "i1", "u0"):
        assert set(expanded.ledger.current_proposal(case_id).slices) <= {1}
    assert all(verdict.used_by == 1 for verdict in expanded.ledger.standing_verdicts())


def test_rejecting_all_that_is_new_converges(expanded):
    assert run_round(under(expanded, unchanged_dice=1.0)).state is RoundState.REVIEWING
    decide_all(expanded, REJECT)
    assert close_review_if_done(expanded).state is RoundState.CONVERGED
    assert [report["new"] for report in iter_round_reports(expanded)] == [5, 0]
    with pytest.raises(NothingToDo, match="round 1 brought nothing new to train on: accept proposals, or add cases"):
        run_round(expanded)
    assert expanded.ledger.current_round().state is RoundState.CONVERGED


def test_a_round_that_proposes_nothing_else_converges_without_a_review(expanded):
    assert run_round(under(expanded, unchanged_dice=0.01)).state is RoundState.CONVERGED
    assert expanded.ledger.count_undecided() == 0
    assert expanded.ledger.count_proposals(1)["open"] == 0


def test_the_same_ledger_and_seed_give_the_same_weights_and_proposals(expanded, undisturbed):
    run_round(expanded)
    assert made(expanded) == undisturbed


@pytest.mark.parametrize("after_epochs", [4, 12])
def test_training_that_was_cut_off_is_resumed_to_the_same_weights(
    study, after_round_0, reopen, monkeypatch, after_epochs
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
        run_round(study)
    assert study.ledger.current_round().state is RoundState.TRAINING
    assert study.workspace.checkpoint(0).exists()
    done = []

    def noted(*args, on_epoch, **kwargs):
        return spawn_training(
            *args, on_epoch=lambda epoch, *rest: (done.append(epoch), on_epoch(epoch, *rest)), **kwargs
        )

    monkeypatch.setattr(rounds, "spawn_training", noted)
    run_round(study)
    assert len(done) < 12  # what was done was not done again
    assert made(study) == made(reopen(after_round_0))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_proposing_that_was_cut_off_is_resumed_to_the_same_proposals(expanded, undisturbed, monkeypatch, error):
    freeze, calls = type(expanded.ledger).freeze, itertools.count()

    def killed(self, *args, **kwargs):
        if next(calls) == 1:
            raise error("killed")  # the files of this proposal are written, the ledger does not know
        return freeze(self, *args, **kwargs)

    monkeypatch.setattr(type(expanded.ledger), "freeze", killed)
    with pytest.raises(error):
        run_round(expanded)
    stopped = expanded.ledger.current_round()
    assert stopped.state is (RoundState.FAILED if error is RuntimeError else RoundState.PROPOSING)
    first = expanded.ledger.proposed_in(1)
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
    failed = expanded.ledger.current_round()
    assert (failed.round, failed.state, failed.error) == (1, RoundState.FAILED, "RuntimeError: CUDA out of memory")
    assert expanded.ledger.current_model() == (0, expanded.ledger.round(0).model)
    assert round_due(expanded) == 1
    assert run_round(expanded).error is None
    assert made(expanded) == undisturbed


def test_a_refusal_is_recorded_in_its_own_words(expanded, monkeypatch):
    def fails(*_args, **_kwargs):
        raise InputError("weights", "are damaged; restore the file")

    monkeypatch.setattr(rounds, "spawn_training", fails)
    with pytest.raises(InputError):
        run_round(expanded)
    assert expanded.ledger.current_round().error == "weights: are damaged; restore the file"


def test_a_stopped_round_goes_on_under_the_settings_it_began_with(expanded, monkeypatch):
    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rounds, "spawn_training", killed)
        with pytest.raises(KeyboardInterrupt):
            run_round(expanded)
    expanded.ledger.interrupt_round(1, error=None)
    begun = expanded.ledger.current_round()
    later = expanded.task.training.model_copy(update={"later_epochs": 3})
    resumed = run_round(under(expanded, training=later))
    assert len(resumed.report["losses"]) == 1
    assert resumed.config_sha256 == begun.config_sha256


def test_the_gate_keeps_the_old_model(expanded, monkeypatch):
    monkeypatch.setattr(gate, "holds", lambda *_: False)
    round_1 = run_round(expanded)
    old = expanded.ledger.round(0).model
    assert (round_1.model, round_1.promoted) == (old, False)
    assert round_1.trained_model != old
    assert expanded.ledger.current_model() == (1, old)
    assert {p.model_sha256 for c in ("i0", "i1", "u0") for p in expanded.ledger.proposals_of(c)} == {old}
    assert next(r["promoted"] for r in iter_round_reports(expanded) if r["round"] == 1) is False


def test_a_model_that_falls_below_the_old_one_is_held_back(expanded):
    awful = expanded.task.training.model_copy(update={"later_learning_rate": 3.0})
    round_1 = run_round(under(expanded, training=awful))
    assert round_1.report["validation"]["dice"] < round_1.report["previous_validation"]["dice"] - 0.05
    assert (round_1.model, round_1.promoted) == (expanded.ledger.round(0).model, False)


def test_a_model_that_does_not_hold_is_averaged_with_the_old_one(expanded, monkeypatch):
    answers = iter([False, True])
    monkeypatch.setattr(gate, "holds", lambda *_: next(answers))
    round_1 = run_round(expanded)
    old = expanded.ledger.round(0).model
    assert len({old, round_1.trained_model, round_1.model}) == 3
    assert round_1.promoted and round_1.report["averaged"]
    states = [expanded.network(model).state_dict() for model in (old, round_1.trained_model)]
    published = expanded.network(round_1.model).state_dict()
    for name, mean in mean_weights(states).items():
        assert torch.equal(published[name], mean)
    assert {p.model_sha256 for c in ("i0", "u0") for p in expanded.ledger.proposals_of(c)} >= {round_1.model}


def test_the_paper_s_preset_runs_two_rounds(study, reopen):
    paper = reopen(study.archive.studies, preset="paper", epochs=6)
    first = run_round(paper)
    # Without a locked share the measures are of the pixel set itself.
    assert (first.report["validation"]["cases"], first.report["validation"]["held_out"]) == (3, False)
    assert first.report["training_slices"]["pixel"] == 9
    decide_all(paper, ACCEPT)
    second = run_round(paper)
    assert second.report["training_slices"]["clean"] == 0
    assert second.report["training_slices"]["accepted"] > 0
    assert "previous_validation" not in second.report
    assert second.config["training"]["targets"] == "previous"


def test_without_expert_masks_there_is_nothing_to_do(study):
    for path in (study.archive.studies / "labels" / "final").iterdir():
        path.unlink()
    (study.archive.studies / "cases.csv").unlink()
    with pytest.raises(NothingToDo, match=r"there are no expert masks to begin with: put masks into labels/final"):
        run_round(study)
    assert study.ledger.current_round() is None


def test_a_round_that_is_not_due_does_not_run(reviewing):
    with pytest.raises(NothingToDo, match="round 0 is not due"):
        run_round(reviewing, only=0)
    assert len(reviewing.ledger.list_rounds()) == 1


def test_asking_too_early_leaves_the_review_open(reviewing):
    say(reviewing, "i0", REJECT)
    with pytest.raises(NothingToDo):
        run_round(reviewing)
    assert reviewing.ledger.current_round().state is RoundState.REVIEWING


def test_asking_early_with_something_accepted_begins_the_next_round(reviewing):
    say(reviewing, "i0", ACCEPT)
    assert run_round(reviewing).round == 1
    assert reviewing.ledger.round(0).state is RoundState.CLOSED
    assert reviewing.ledger.round(0).report["expanded_slices"] == 2


def test_an_accepted_case_whose_image_is_gone_does_not_stop_the_next_round(expanded):
    (expanded.archive.studies / "i0.nii.gz").unlink()
    round_1 = run_round(expanded)
    assert round_1.state is not RoundState.FAILED
    assert round_1.report["training_slices"]["accepted"] == 4


def test_cases_added_after_the_first_round_are_proposed_by_the_next(expanded):
    shutil.copy(expanded.archive.studies / "u0.nii.gz", expanded.archive.studies / "u9.nii.gz")
    run_round(expanded)
    assert expanded.ledger.current_proposal("u9").round == 1


def test_the_report_of_a_round_names_all_that_is_asked_for(expanded):
    [report] = iter_round_reports(expanded)
    assert report["accepted"] == 3
    assert (report["accepted_slices"], report["rejected_slices"]) == (5, 3)
    assert report["model_sha256"] == expanded.ledger.current_round().model
    assert report["seconds"]["training"] > 0
    assert report["proposals"]["decided"] == 3
    assert report["validation"].keys() >= {"dice", "iou", "precision", "recall"}


def test_reading_new_cases_shows_how_many(study, monkeypatch):
    shown = []
    monkeypatch.setattr(rounds.Progress, "begin", lambda _self, stage, total, **_: shown.append((stage, total)))
    run_round(study)
    assert shown[0] == ("reading cases", 7)
    assert [stage for stage, _ in shown] == ["reading cases", "training", "proposing"]


def test_the_progress_file_ends_with_the_last_stage(reviewing):
    state = read_progress(reviewing.workspace.progress)
    assert (state.round, state.stage, state.done, state.total) == (0, "proposing", 9, 9)


def test_masks_of_old_rounds_are_never_overwritten(expanded):
    before = {c: frozen_mask(expanded.workspace, 0, c) for c in ("i0", "i1", "u0")}
    run_round(expanded)
    for case_id, mask in before.items():
        assert np.array_equal(frozen_mask(expanded.workspace, 0, case_id), mask)


def test_the_teacher_labels_accepted_slices_anew(expanded, monkeypatch):
    """In round 1 the teacher is round 0's model: its targets are what that model proposed."""
    taken = []

    def keep(task, network, examples, **settings):
        taken.extend(examples)
        return [0.0]

    monkeypatch.setattr(rounds, "spawn_training", keep)
    task = expanded.task
    run_round(under(expanded, training=task.training.model_copy(update={"targets": "teacher"})))
    targets = {example.key: example.target for example in taken if example.accepted}
    assert targets
    for key, target in targets.items():
        case_id, number = key.split(":")
        native = frozen_mask(expanded.workspace, 0, case_id)
        volume = expanded.volume(expanded.ledger.case(case_id))
        proposed = volume.geometry.orientation.to_slices(native)[int(number)]
        counted = target != IGNORE
        assert (target[counted] == proposed[counted]).all() and (target[counted] > 0).any()
        assert not counted.all()
