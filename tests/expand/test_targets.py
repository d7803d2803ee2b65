"""Predicted targets of accepted slices: the paper's, and a mean teacher's, in rounds that really run."""

from dataclasses import replace

import numpy as np
import pytest

from recursive_expand.expand import rounds
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.targets import target_predictor
from recursive_expand.ledger import VerdictKind
from recursive_expand.segment.losses import IGNORE
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.weights import mean_weights

ACCEPT = VerdictKind.ACCEPT


@pytest.fixture
def taught(monkeypatch):
    """What the next round is taught, by case and slice, instead of training."""

    def _taught(recursion):
        taken = []

        def keep(_settings, _network, examples, **_more):
            taken.extend((one.key, one.accepted, np.array(one.target)) for one in examples)
            return [0.0]

        with monkeypatch.context() as patch:
            patch.setattr(rounds, "spawn_training", keep)
            run_round(recursion)
        return {key: target for key, accepted, target in taken if accepted}

    return _taught


def by_hand(recursion, model, case_id, numbers, settings=None):
    """What f with these weights makes of these slices."""
    volume = recursion.volume(case_id)
    predictor = Predictor(settings or recursion.settings, recursion.network(model))
    return predictor.predict(replace(volume, hu=volume.hu[numbers]))


def test_the_paper_s_targets_of_earlier_rounds_are_f_s_own_of_the_recursion_before(
    recursion, reopen, taught, proposed, decide_all
):
    """Section 3, third stage: what round 0 brought in is learnt in round 2 as round 1's f has it, without g.

    Nine epochs leave bleeds half found, so that g has something to grow.
    """
    paper = reopen(
        recursion.archive.studies,
        preset="paper",
        kind="residual",
        review="every_round",
        refine="before_review",
        epochs=9,
        later_learning_rate=0.001,
        unchanged_dice=1.0,
        mode="grow",
    )
    method = paper.settings.method
    assert (method.training.targets, method.refinement.mode) == ("previous", "grow")
    run_round(paper)
    decide_all(paper, ACCEPT, [1])
    round_1 = run_round(paper)
    waiting = {proposal.case_id: proposal.slices for proposal, _ in paper.ledger.queue.page(now=0)}
    assert waiting
    decide_all(paper, ACCEPT)
    targets = taught(paper)
    round_2 = paper.ledger.rounds.get(2)
    assert round_2.base_model == round_1.model
    f_alone = paper.settings.changed(mode="off", min_area=0.0, min_depth=0.0)
    without_g_differs = 0
    earlier = {key for key in targets if int(key.split(":")[1]) not in waiting.get(key.split(":")[0], ())}
    assert {key.split(":")[0] for key in earlier} == {"i0", "i1", "u0"}
    for key, target in targets.items():
        case_id, number = key.split(":")[0], int(key.split(":")[1])
        if key not in earlier:  # round 1 brought it in: as it was accepted
            assert np.array_equal(target, proposed(paper, case_id, 1)[number])
            continue
        assert np.array_equal(target, by_hand(paper, round_1.model, case_id, [number], f_alone).mask[0])
        with_g = by_hand(paper, round_1.model, case_id, [number]).mask[0]
        without_g_differs += not np.array_equal(target, with_g)
    assert without_g_differs
    assert len(targets) > len(earlier)


def test_in_round_0_and_with_frozen_targets_nothing_is_predicted(reviewing, changed):
    round_0 = reviewing.ledger.rounds.current()
    for kind in ("previous", "teacher", "frozen"):
        assert target_predictor(changed(reviewing, targets=kind), round_0) is None


def test_image_level_labels_are_obeyed_and_the_ignore_band_is_left_out_where_wanted(reviewing, changed):
    """Slice 2 of i0 is labelled clean."""
    round_1 = replace(reviewing.ledger.rounds.current(), round=1, base_model=reviewing.ledger.rounds.current().model)
    volume, plain = reviewing.volume("i0"), by_hand(reviewing, round_1.base_model, "i0", [0, 2])
    asked = {"targets": "previous", "use_image_labels": True, "ignore_band": True}
    obeyed = target_predictor(changed(reviewing, **asked), round_1)("i0", volume, (0, 2))
    assert plain.ignore[0].any()
    assert np.array_equal(obeyed[0] == IGNORE, plain.ignore[0])
    assert not obeyed[1].any()
    asked = {"targets": "previous", "use_image_labels": False, "ignore_band": False}
    free = target_predictor(changed(reviewing, **asked), round_1)("i0", volume, (0, 2))
    assert np.array_equal(free, plain.mask)


def test_the_teacher_labels_accepted_slices_anew(reviewing, changed, taught, proposed, decide_all):
    """In round 1 the teacher is round 0's model: its targets are what that model proposed."""
    decide_all(reviewing, ACCEPT, [1])
    targets = taught(changed(reviewing, targets="teacher"))
    assert targets
    for key, target in targets.items():
        case_id, number = key.split(":")
        counted = target != IGNORE
        assert (target[counted] == proposed(reviewing, case_id)[int(number)][counted]).all()
        assert (target[counted] > 0).any() and not counted.all()


def test_the_teacher_is_the_mean_of_all_published_models(recursion, reopen, taught, decide_all):
    """Nine epochs leave bleeds half found, so that the models differ."""
    asked = {"targets": "teacher", "ignore_band": False, "gate": False, "unchanged_dice": 1.0}
    teacher = reopen(recursion.archive.studies, epochs=9, later_epochs=3, later_learning_rate=0.02, **asked)
    run_round(teacher)
    decide_all(teacher, ACCEPT, [1])
    run_round(teacher)
    decide_all(teacher, ACCEPT)
    targets = taught(teacher)
    models = [round_.model for round_ in teacher.ledger.rounds.all()[:2]]
    assert len(set(models)) == 2
    network = teacher.network(None)
    network.load_state_dict(mean_weights([teacher.network(model).state_dict() for model in models]))
    predictor, differs = Predictor(teacher.settings, network), set()
    assert {key.split(":")[0] for key in targets} >= {"i1", "u0"}
    for key, target in targets.items():
        case_id, number = key.split(":")
        if case_id.startswith("i"):
            continue  # image-level labels are obeyed as well
        volume = teacher.volume(case_id)
        expected = predictor.predict(replace(volume, hu=volume.hu[[int(number)]])).mask[0]
        assert np.array_equal(target, expected)
        for model in models:
            if not np.array_equal(target, by_hand(teacher, model, case_id, [int(number)]).mask[0]):
                differs.add(model)
    assert differs == set(models)  # it is neither of them
