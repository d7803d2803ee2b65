"""g on accepted slices before they join: what is trained on is refined, recorded, and not what the labels hold."""

import numpy as np
import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.errors import InputError
from recursive_expand.expand.examples import build_examples
from recursive_expand.expand.refined import refine_accepted, refined_slices
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.training_set import AcceptedSlices, TrainingSet, build_training_set
from recursive_expand.ledger import VerdictKind
from recursive_expand.segment.examples import IGNORE
from recursive_expand.segment.predict import Predictor
from recursive_expand.segment.refine import refine

ACCEPT = VerdictKind.ACCEPT
G = {"mode": "grow", "scale": 300.0, "overlap": 0.3, "refine": "after_review"}
"""Grows a bleed that is half marked to all of it."""


@pytest.fixture
def half_marked(reviewing, changed, freeze, begin, make_head, say):
    """Round 1 proposes the left half of each bleed of u0, and the expert accepts slices 0 and 2."""
    begin(reviewing, 1)
    _, truth = make_head(5)
    half = truth.copy()
    for plane in half:
        columns = np.flatnonzero(plane.any(axis=0))
        plane[:, columns[len(columns) // 2] :] = 0
    freeze(reviewing, "u0", half, round_index=1)
    say(reviewing, "u0", ACCEPT, [1])
    return changed(reviewing, **G), half


def training_set_of(recursion):
    return refine_accepted(recursion, build_training_set(recursion.ledger, recursion.settings.method, 2)[0])


def test_the_training_set_names_what_g_made_and_the_labels_hold_what_the_expert_accepted(half_marked, changed):
    recursion, half = half_marked
    training_set = training_set_of(recursion)
    [accepted] = [one for one in training_set.accepted if one.case_id == "u0"]
    expected = np.zeros_like(half)
    volume, method = recursion.volume("u0"), recursion.settings.method
    for number in (0, 2):
        window = recursion.settings.task.windows[0]
        expected[number] = refine(half[number], np.asarray(volume.hu[number]), method.refinement, window)
    assert np.count_nonzero(expected) > 1.5 * np.count_nonzero(half[[0, 2]])
    assert np.array_equal(refined_slices(recursion, accepted), expected)
    examples = {e.key: e for e in build_examples(recursion, training_set, 2, None)}
    for number in (0, 2):
        target = examples[f"u0:{number}"].target
        assert (target[half[number] != expected[number]] == IGNORE).all()  # f and g disagree
        assert np.array_equal(target[target != IGNORE], expected[number][target != IGNORE])
    alone = TrainingSet((), (), (accepted,), (), 2)
    [_, last] = build_examples(changed(recursion, ignore_band=False), alone, 2, None)
    assert np.array_equal(last.target, expected[2])
    label = read_label(recursion.archive.studies / "labels" / "final" / "u0.nii.gz").slices
    assert np.array_equal(label[[0, 2]], half[[0, 2]])


def test_where_g_comes_before_the_review_nothing_is_refined_again(half_marked, changed):
    recursion, _ = half_marked
    for other in ({"refine": "before_review"}, {"mode": "off"}):
        training_set = training_set_of(changed(recursion, **other))
        assert all(one.refined_sha256 is None for one in training_set.accepted)


def test_a_predicted_target_is_f_s_own(half_marked, changed):
    recursion, _ = half_marked
    accepted = AcceptedSlices("u0", 1, recursion.ledger.proposals.of_round("u0", 1).sha256, (0,))
    for targets, new, refined in (("previous", False, False), ("previous", True, True), ("teacher", True, False)):
        one = AcceptedSlices(**{**vars(accepted), "new": new})
        given = TrainingSet((), (), (one,), (), 0, joined=(one,))
        found = refine_accepted(changed(recursion, targets=targets), given)
        assert (found.accepted[0].refined_sha256 is not None) is refined
        assert found.joined == (one,)  # nobody selected it


def test_a_refined_mask_that_was_changed_is_not_trained_on(half_marked):
    recursion, _ = half_marked
    training_set = training_set_of(recursion)
    [path] = recursion.workspace.refined.glob("u0.1.*.nii.gz")
    other = next(p for p in recursion.workspace.proposals.glob("*/*.nii.gz"))
    path.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match=r"u0\.1\..*is not the mask that the round recorded; restore it"):
        build_examples(recursion, training_set, 2, None)


def test_the_expert_sees_f_s_masks_and_the_round_records_what_g_made_of_them(recursion, reopen, decide_all, proposed):
    drastic = {"mode": "objectness", "overlap": 0.95, "min_dice": 0}
    paper = reopen(recursion.archive.studies, preset="paper", kind="residual", epochs=6, **drastic)
    round_0 = run_round(paper)
    f_alone = Predictor(paper.settings.changed(mode="off"), paper.network(round_0.model))
    predicted = f_alone.predict(paper.volume("u0")).mask
    assert np.array_equal(proposed(paper, "u0"), predicted)
    decide_all(paper, ACCEPT)
    run_round(paper)
    stored = TrainingSet.from_json(paper.ledger.rounds.training_set(1))
    assert stored.accepted and all(one.refined_sha256 for one in stored.accepted)
    assert stored.sha256 == paper.ledger.rounds.get(1).training_set_sha256
    assert any(not np.array_equal(refined_slices(paper, a), proposed(paper, a.case_id)) for a in stored.accepted)
