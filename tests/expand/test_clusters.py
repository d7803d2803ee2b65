"""Clusters: alike proposals, of which readers see three; what follows joins the training set, marked as such."""

import math
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recursive_expand.archives.images import write_volume
from recursive_expand.cases import Geometry, Volume
from recursive_expand.expand.clusters import FEWEST, VERIFIED, alike, form_clusters
from recursive_expand.expand.examples import build_examples
from recursive_expand.expand.queue import order_for_review
from recursive_expand.expand.refined import refine_accepted
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.steps import Step, next_step, read_state
from recursive_expand.expand.training_set import TrainingSet, build_training_set, expansion
from recursive_expand.ledger import Actor, Candidate, Features, VerdictKind

ALIKE = 8
ACCEPT = VerdictKind.ACCEPT


@given(n=st.integers(0, 40), size=st.integers(5, 20), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_groups_are_disjoint_and_not_too_small(n, size, seed):
    rows = np.random.default_rng(seed).normal(size=(n, 5))
    groups = alike(rows, size)
    members = [i for group in groups for i in group]
    assert len(members) == len(set(members))
    assert all(len(group) >= FEWEST for group in groups)
    assert alike(rows, size) == groups


def test_what_is_near_is_together():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(centre, 0.1, (6, 5)) for centre in (0, 5)])
    assert alike(rows, 6) == [list(range(6)), list(range(6, 12))]


@pytest.fixture
def alike_ones(write_studies, tmp_path, reopen, freeze, begin):
    """A review of eight cases with the same proposal in slice 1, and u0 with another in two slices."""
    write_studies(tmp_path / "s")
    for n in range(ALIKE):
        shutil.copy(tmp_path / "s" / "u0.nii.gz", tmp_path / "s" / f"v{n}.nii.gz")
    recursion = reopen(tmp_path / "s", propagate=ALIKE)
    register_cases(recursion)
    round_ = begin(recursion, 0)
    mask = np.zeros((3, 48, 48), np.uint8)
    mask[1, 20:26, 20:26] = 2
    candidates = []
    for case_id in ["u0", *(f"v{n}" for n in range(ALIKE))]:
        if case_id == "u0":
            two = mask.copy()
            two[2] = mask[1]
            proposal = freeze(recursion, case_id, two)
        else:
            proposal = freeze(recursion, case_id, mask)
        slices = len(proposal.slices)
        features = Features(math.log(36 * 16 * slices), slices)
        candidates.append(Candidate(proposal.proposal_id, "intraparenchymal", 0.9, features, slices, False))
    form_clusters(recursion, round_, candidates, {one.proposal_id: 0.9 for one in candidates})
    recursion.ledger.rounds.open_review(0, order=[one.proposal_id for one in candidates], report={})
    return recursion, candidates


def _verified(recursion):
    """Case ids of the verified ones, and of those that may follow."""
    waiting = recursion.ledger.propagation.waiting()
    cases = {f"v{n}": recursion.ledger.proposals.current(f"v{n}").proposal_id for n in range(ALIKE)}
    return [c for c, i in cases.items() if i not in waiting], [c for c, i in cases.items() if i in waiting]


def test_three_are_verified_and_the_others_come_last(alike_ones):
    recursion, candidates = alike_ones
    verified, others = _verified(recursion)
    assert (len(verified), len(others)) == (VERIFIED, ALIKE - VERIFIED)
    last = recursion.ledger.propagation.waiting()
    order, _ = order_for_review(recursion, candidates)
    assert set(order[-len(last) :]) == last and len(order) == len(candidates)


def test_what_follows_is_trained_on_marked_as_such(alike_ones, say):
    recursion, _ = alike_ones
    verified, others = _verified(recursion)
    for case_id in verified:
        say(recursion, case_id, ACCEPT)
    assert expansion(recursion.ledger, recursion.ledger.rounds.current()) == ALIKE + 9  # three pixel cases, too
    found, _ = build_training_set(recursion.ledger, recursion.settings.method, 1)
    assert [(one.case_id, one.slices, one.new) for one in found.propagated] == [(c, (1,), True) for c in others]
    assert {one.case_id for one in found.accepted} == set(verified)
    assert found.new_slices == ALIKE and found.counts()["propagated"] == len(others)
    assert TrainingSet.from_json(found.to_json()) == found
    examples = {one.key: one for one in build_examples(recursion, found, 1, None)}
    assert all(examples[f"{case_id}:1"].accepted for case_id in others)
    # Nobody looked at them: no label object says that somebody did.
    assert not set(others) & set(recursion.archive.labelled("final"))


def test_g_refines_what_followed_as_it_does_what_was_accepted(alike_ones, say, changed):
    recursion, _ = alike_ones
    verified, others = _verified(recursion)
    for case_id in verified:
        say(recursion, case_id, ACCEPT)
    found, _ = build_training_set(recursion.ledger, recursion.settings.method, 1)
    recursion = changed(recursion, mode="grow", refine="after_review")
    refined = refine_accepted(recursion, found)
    [sha256] = {one.refined_sha256 for one in (*refined.accepted, *refined.propagated)}  # all are alike
    assert sha256 is not None
    assert [one.case_id for one in refined.propagated] == others
    assert TrainingSet.from_json(refined.to_json()) == refined
    examples = {one.key: one.target for one in build_examples(recursion, refined, 1, None)}
    targets = [examples[f"{case_id}:1"] for case_id in (*verified, *others)]
    assert all(np.array_equal(target, targets[0]) for target in targets)


def test_what_follows_late_is_new_to_the_round_that_first_trains_on_it(alike_ones, say, begin):
    """The third verdict comes while round 1 trains already: round 1 knows nothing of what follows from it."""
    recursion, _ = alike_ones
    verified, others = _verified(recursion)
    for case_id in verified[:2]:
        say(recursion, case_id, ACCEPT)
    begin(recursion, 1)
    say(recursion, verified[2], ACCEPT)
    assert expansion(recursion.ledger, recursion.ledger.rounds.current()) == 1 + len(others) + 9
    found, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    assert [one.new for one in found.propagated] == [True] * len(others)
    recursion.ledger.rounds.open_review(1, order=[], report={})
    begin(recursion, 2)
    found, _ = build_training_set(recursion.ledger, recursion.settings.method, 3)
    assert [one.new for one in found.propagated] == [False] * len(others)
    assert expansion(recursion.ledger, recursion.ledger.rounds.current()) == 9


def test_a_training_set_holds_nothing_that_follows_from_a_verdict_it_does_not_know(alike_ones, say, monkeypatch):
    """It could be taken back still, and the round would have trained on what followed."""
    recursion, _ = alike_ones
    verified, _ = _verified(recursion)
    for case_id in verified[:2]:
        say(recursion, case_id, ACCEPT)
    known = recursion.ledger.judgements.watermark()
    say(recursion, verified[2], ACCEPT)
    monkeypatch.setattr(type(recursion.ledger.judgements), "watermark", lambda _: known)  # as it was a moment ago
    found, _ = build_training_set(recursion.ledger, recursion.settings.method, 1)
    assert [one.case_id for one in found.accepted] == sorted(verified[:2])
    assert found.propagated == () and found.new_slices == 2


def test_of_a_locked_patient_nothing_that_follows_is_trained_on(alike_ones, say):
    recursion, _ = alike_ones
    verified, others = _verified(recursion)
    for case_id in verified:
        say(recursion, case_id, ACCEPT)
    recursion.ledger.cases.lock_validation(others[:1])
    found, _ = build_training_set(recursion.ledger, recursion.settings.method, 1)
    assert [one.case_id for one in found.propagated] == others[1:]
    assert found.held_out == ()


def test_unlikely_ones_are_in_no_cluster(alike_ones, begin, changed):
    recursion, candidates = alike_ones
    round_ = begin(recursion, 1)
    form_clusters(recursion, round_, candidates, {one.proposal_id: 0.6 for one in candidates})
    form_clusters(recursion, round_, candidates, {})
    form_clusters(changed(recursion, propagate=0), round_, candidates, {one.proposal_id: 0.9 for one in candidates})
    assert len(recursion.ledger.propagation.waiting()) == ALIKE - VERIFIED  # of round 0


def test_a_round_forms_clusters_and_the_next_learns_from_what_followed(
    write_studies, tmp_path, reopen, make_head, monkeypatch
):
    monkeypatch.setattr("recursive_expand.expand.clusters.LEAST_SCORE", 0.0)  # so short a training is not trusted
    write_studies(tmp_path / "s")
    hu = make_head(9)[0][1:2]
    for n in range(ALIKE):
        geometry = Geometry.of((48, 48, 1), np.diag([-4.0, -4.0, 5.0, 1.0]))
        write_volume(tmp_path / "s" / f"v{n}.nii.gz", Volume(hu, geometry), fsync=False)
    recursion = reopen(tmp_path / "s", propagate=ALIKE, unchanged_dice=1.0)
    run_round(recursion)
    served = [proposal.proposal_id for proposal, _ in recursion.ledger.queue.page(now=0)]
    last = recursion.ledger.propagation.waiting()
    assert len(last) == ALIKE - VERIFIED and set(served[-len(last) :]) == last
    for proposal, _ in recursion.ledger.queue.page(now=0)[: -len(last)]:
        recursion.ledger.judgements.give(Actor("ann", "desk"), proposal.case_id, proposal.sha256, ACCEPT)
    assert recursion.ledger.queue.count() == 0
    assert next_step(read_state(recursion), recursion.settings.review) is Step.NEXT_ROUND
    round_ = run_round(recursion)
    assert round_.report["training_slices"]["propagated"] == len(last)
    assert not {case_id for case_id in recursion.ledger.proposals.proposed_in(1) if case_id.startswith("v")}
    assert recursion.ledger.audit.verify() is None
