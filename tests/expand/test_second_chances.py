"""Second chances: made of what is frozen, judged like any proposal, and learned without what was rejected."""

import numpy as np
import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.cases import Geometry, LabelMap
from recursive_expand.expand.due import close_review_if_done
from recursive_expand.expand.examples import build_examples
from recursive_expand.expand.foretelling import foretell
from recursive_expand.expand.freezing import Made, freeze
from recursive_expand.expand.frozen import frozen_ignore, frozen_label
from recursive_expand.expand.judging import withdraw
from recursive_expand.expand.second_chances import propose_second_chances, rejected_region, second_chances_due
from recursive_expand.expand.steps import Step, next_step, read_state
from recursive_expand.expand.training_set import build_training_set, expansion
from recursive_expand.expand.validation import validate_accepted
from recursive_expand.ledger import Actor, ProposalState, VerdictKind
from recursive_expand.segment.examples import IGNORE, REJECTED
from recursive_expand.segment.predict import Prediction

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
ANN = Actor("ann", "slicer")
BLEED, OTHER = 2, 4
CLASSES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
GEOMETRY = Geometry.of((48, 48, 3), np.diag([-4.0, -4.0, 5.0, 1.0]))
"""Of the tiny study."""


def masks():
    """(3, 48, 48) mask and ignore band: slice 0 two components, one sure; 1 a sure core in one; 2 sure of nothing."""
    mask, ignore = np.zeros((3, 48, 48), np.uint8), np.zeros((3, 48, 48), np.bool_)
    mask[0, 18:23, 18:23] = BLEED
    mask[0, 27:31, 26:30] = OTHER
    ignore[0, 27:31, 26:30] = True
    ignore[0, 23, 18:23] = True  # background of which f is not sure
    mask[1, 20:28, 20:28] = BLEED
    ignore[1, 20:28, 20:28] = True
    ignore[1, 22:26, 22:26] = False
    mask[2, 20:26, 20:26] = BLEED
    ignore[2] = mask[2] > 0
    return mask, ignore


def made(case_id, round_index, mask, ignore, *, confidence=0.6):
    return Made(
        case_id=case_id,
        round_index=round_index,
        model_sha256=f"{round_index:064d}",
        label=LabelMap.from_slices(mask, GEOMETRY, CLASSES),
        ignore=ignore,
        confidence=np.full(len(mask), confidence, np.float32),
        flip_dice=np.full(len(mask), np.nan, np.float32),
    )


@pytest.fixture
def under(reviewing, begin, changed, say):
    """A review of u0 and i1 under settings, as round 1; both have the masks above."""

    def _under(kind="stricter", **settings):
        recursion = changed(reviewing, second_chance=kind, unchanged_dice=0.95, **settings)
        begin(recursion, 1)
        mask, ignore = masks()
        freeze(recursion, made("i0", 1, np.zeros_like(mask), ignore))  # round 0's is superseded
        for case_id in ("u0", "i1"):
            freeze(recursion, made(case_id, 1, mask, ignore))
        waiting = recursion.ledger.queue.candidates(round_index=1)
        order = [one.proposal_id for one in waiting]
        recursion.ledger.rounds.open_review(1, order=order, report={})
        return recursion

    return _under


def propose(recursion):
    return propose_second_chances(recursion, recursion.ledger.rounds.current())


def current(recursion, case_id="u0"):
    proposal = recursion.ledger.proposals.current(case_id)
    return proposal, frozen_label(recursion.workspace, proposal, recursion.settings.task.classes).slices


def test_the_stricter_mask_is_frozen_with_what_was_rejected_to_be_ignored(under, say):
    recursion = under()
    say(recursion, "u0", REJECT)
    say(recursion, "i1", ACCEPT)
    assert propose(recursion) == 1
    (mask, ignore), (second, slices) = masks(), current(recursion)
    assert (second.chance, second.state, second.slices, second.unchanged_slices) == (
        1,
        ProposalState.OPEN,
        (0, 1),
        (2,),
    )
    assert np.array_equal(slices, np.where(ignore, 0, mask))
    assert np.array_equal(frozen_ignore(recursion.workspace, second), ignore)
    assert np.array_equal(rejected_region(recursion, second), (mask > 0) & ignore)
    assert second.confidence == pytest.approx(0.6)
    (candidate,) = recursion.ledger.queue.candidates()
    assert candidate.judged_before and candidate.features.components == 2


def test_by_component_the_surest_one_comes_whole(under, say):
    recursion = under("components")
    say(recursion, "u0", REJECT)
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    (mask, _), (second, slices) = masks(), current(recursion)
    assert (second.slices, second.unchanged_slices) == ((0,), (1, 2))
    assert np.array_equal(slices[0], np.where(mask[0] == BLEED, mask[0], 0))
    ignored = frozen_ignore(recursion.workspace, second)
    assert ignored[0][mask[0] == OTHER].all() and ignored[1][mask[1] > 0].all()


def test_specks_of_it_are_dropped_as_always(under, say):
    recursion = under(min_area=16 * 20)  # twenty pixels
    say(recursion, "u0", REJECT)
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    assert current(recursion)[0].slices == (0,)  # sixteen were left of slice 1


def test_of_a_volume_only_the_rejected_slices_come_again(under, say):
    recursion = under()
    say(recursion, "u0", ACCEPT, [1])
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    assert current(recursion)[0].slices == (1,)
    assert [v.accepted_slices for v in recursion.ledger.judgements.of_case("u0")] == [(0, 2)]
    say(recursion, "u0", ACCEPT)
    accepted, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    assert sorted((one.case_id, one.slices) for one in accepted.accepted) == [
        ("i1", (0, 1, 2)),
        ("u0", (0, 2)),
        ("u0", (1,)),
    ]


def test_nothing_comes_again_before_everything_was_seen_once(under, say):
    recursion = under()
    say(recursion, "u0", REJECT)
    assert second_chances_due(recursion, recursion.ledger.rounds.current()) == []
    assert (propose(recursion), read_state(recursion).second_chances) == (0, False)
    say(recursion, "i1", REJECT)
    state = read_state(recursion)
    assert (state.undecided, state.second_chances) == (0, True)
    assert next_step(state, recursion.settings.review) is Step.SECOND_CHANCES
    assert close_review_if_done(recursion) is None
    assert propose(recursion) == 2
    assert next_step(read_state(recursion), recursion.settings.review) is Step.REVIEW


def test_by_default_nothing_comes_again(under, say, ich):
    assert ich.method.second_chance == "none"
    recursion = under("none")
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    assert (read_state(recursion).second_chances, propose(recursion)) == (False, 0)


def test_what_is_asked_goes_by_the_round_s_own_settings(under, say, changed):
    recursion = under("stricter")
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    restarted = changed(recursion, second_chance="none")
    assert propose(restarted) == 2


@pytest.mark.parametrize(("kind", "of"), [("empty", 2), ("unchanged", None)])
def test_where_nothing_or_hardly_less_is_left_there_is_no_second_chance(reviewing, begin, changed, say, kind, of):
    recursion = changed(reviewing, second_chance="stricter")
    begin(recursion, 1)
    mask, ignore = masks()
    if of is None:
        ignore[:] = False  # f was sure of all of it
    else:
        mask[:of] = 0
    freeze(recursion, made("u0", 1, mask, ignore))
    for case_id in ("i0", "i1"):
        freeze(recursion, made(case_id, 1, np.zeros_like(mask), ignore))
    order = [one.proposal_id for one in recursion.ledger.queue.candidates(round_index=1)]
    recursion.ledger.rounds.open_review(1, order=order, report={})
    first = recursion.ledger.proposals.current("u0")
    say(recursion, "u0", REJECT)
    assert propose(recursion) == 0
    states = [one.state for one in recursion.ledger.proposals.of_case("u0") if one.chance]
    assert states == [kind]
    assert recursion.ledger.proposals.current("u0").proposal_id == first.proposal_id
    assert not read_state(recursion).second_chances  # it is not tried again and again


def test_whoever_goes_on_after_a_kill_makes_the_same(under, say, reopen, monkeypatch):
    recursion = under()
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)

    def killed(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("recursive_expand.ledger.proposals.Proposals.freeze", killed)
        with pytest.raises(KeyboardInterrupt):
            propose(recursion)  # the files are there, the ledger knows nothing of them
    again = reopen(recursion.archive.studies)
    assert len(again.ledger.judgements.of_case("u0")) == 1
    assert propose(again) == 2
    assert propose(again) == 0
    (mask, ignore), (_, slices) = masks(), current(again)
    assert np.array_equal(slices, np.where(ignore, 0, mask))
    assert again.ledger.audit.verify() is None


def test_a_case_that_cannot_be_read_is_set_aside_and_the_rest_goes_on(under, say):
    recursion = under()
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    recursion.archive.image_file("u0").write_bytes(b"broken")
    assert propose(recursion) == 1
    assert [case_id for case_id, _ in recursion.ledger.cases.list_set_aside()] == ["u0"]
    assert not read_state(recursion).second_chances


def test_a_rejection_taken_back_while_its_second_chance_is_made_has_none(under, say, monkeypatch):
    recursion = under()
    rejection = say(recursion, "u0", REJECT)
    say(recursion, "i1", REJECT)
    known = recursion.ledger.proposals.without_second_chance(1)
    withdraw(recursion, ANN, rejection.verdict_id)
    monkeypatch.setattr("recursive_expand.expand.second_chances.second_chances_due", lambda *_: known)
    assert propose(recursion) == 1
    assert [one.chance for one in recursion.ledger.proposals.of_case("u0") if one.round == 1] == [0]


@pytest.mark.parametrize("ignore_band", [True, False])
@pytest.mark.parametrize("predicted", [False, True])
def test_what_was_rejected_is_ignored_never_background(under, say, ignore_band, predicted):
    recursion = under(ignore_band=ignore_band, targets="previous" if predicted else "frozen")
    say(recursion, "u0", REJECT)
    say(recursion, "i1", REJECT)
    propose(recursion)
    say(recursion, "u0", ACCEPT)
    say(recursion, "i1", REJECT)
    training_set, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    (accepted,) = training_set.accepted
    second = recursion.ledger.proposals.current("u0")
    assert (accepted.proposal_sha256, accepted.slices) == (second.sha256, (0, 1))
    assert training_set.counts()["accepted"] == training_set.new_slices == 2
    training_set = type(training_set)(
        **{**vars(training_set), "accepted": (_old(accepted) if predicted else accepted,)}
    )

    def everything_is_background(_case_id, volume, slices):
        return np.zeros((len(slices), *volume.hu.shape[1:]), np.uint8)

    examples = build_examples(recursion, training_set, 2, everything_is_background if predicted else None)
    targets = {one.key: np.array(one.target) for one in examples if one.accepted}
    assert set(targets) == {"u0:0", "u0:1"}
    mask, unsure = masks()
    for number in (0, 1):
        target = targets[f"u0:{number}"]
        rejected = (mask[number] > 0) & unsure[number]
        assert (target[rejected] == IGNORE).all()
        core = (mask[number] > 0) & ~unsure[number]
        assert (target[core] == (0 if predicted else mask[number][core])).all()
        outside = (mask[number] == 0) & ~unsure[number]
        assert (target[outside] == 0).all()


def _old(accepted):
    return type(accepted)(**{**vars(accepted), "new": False})


def test_first_and_second_looks_of_a_round_have_targets_of_their_own(under, say):
    recursion = under()
    say(recursion, "u0", ACCEPT, [0, 1])
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    say(recursion, "u0", ACCEPT)
    training_set, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    targets = {one.key: np.array(one.target) for one in build_examples(recursion, training_set, 2, None)}
    mask, unsure = masks()
    assert set(np.unique(targets["u0:2"])) == {0, IGNORE}  # f was sure of nothing in it
    assert np.array_equal(targets["u0:1"] == BLEED, (mask[1] > 0) & ~unsure[1])


def test_with_rejects_taught_the_second_look_decides(under, say):
    recursion = under(rejects="not_confident")
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    propose(recursion)
    say(recursion, "u0", ACCEPT, [1])
    say(recursion, "i1", REJECT)
    training_set, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    of_u0 = {one.proposal_sha256[:6]: one.slices for one in training_set.rejected if one.case_id == "u0"}
    assert sorted(of_u0.values()) == [(1,), (2,)]  # the one as its second look had it
    targets = {one.key: np.array(one.target) for one in build_examples(recursion, training_set, 2, None)}
    mask, unsure = masks()
    assert np.array_equal(targets["u0:1"] == REJECTED, (mask[1] > 0) & ~unsure[1])
    assert np.array_equal(targets["u0:2"] == REJECTED, mask[2] > 0)
    assert REJECTED not in targets["u0:0"]


def test_the_next_round_s_proposal_is_held_against_both_rejected_masks(under, say, begin):
    recursion = under()
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    propose(recursion)
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    begin(recursion, 2)
    mask, ignore = masks()
    core = np.where(ignore, 0, mask).astype(np.uint8)
    found = {
        "u0": freeze(recursion, made("u0", 2, mask, ignore)).state,
        "i1": freeze(recursion, made("i1", 2, core, ignore)).state,
    }
    assert found == {"u0": ProposalState.UNCHANGED, "i1": ProposalState.UNCHANGED}


def test_an_accepted_second_look_is_in_the_final_label(under, say):
    recursion = under()
    say(recursion, "u0", ACCEPT, [1])
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    say(recursion, "u0", ACCEPT)
    (mask, ignore), expected = masks(), masks()[0]
    expected[1] = np.where(ignore[1], 0, mask[1])
    final = recursion.archive.studies / "labels" / "final" / "u0.nii.gz"
    assert np.array_equal(read_label(final).slices, expected)


def test_a_rejection_taken_back_leaves_no_label_of_its_second_look(under, say):
    recursion = under()
    rejection = say(recursion, "u0", REJECT)
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    say(recursion, "u0", ACCEPT)
    withdraw(recursion, ANN, rejection.verdict_id)
    assert not (recursion.archive.studies / "labels" / "final" / "u0.nii.gz").exists()
    training_set, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    assert {one.case_id for one in training_set.accepted} == {"i1"}


def test_second_looks_are_not_foretold(under, say):
    recursion = under()
    say(recursion, "u0", REJECT)
    say(recursion, "i1", ACCEPT)
    propose(recursion)
    assert recursion.ledger.queue.count() == 1
    round_ = recursion.ledger.rounds.current()
    found = foretell(recursion)
    assert (found.round, found.slices) == (1, expansion(recursion.ledger, round_))  # what was accepted


def test_what_a_first_look_rejected_counts_for_no_model(under, say):
    recursion = under()
    for case_id in ("u0", "i1"):
        say(recursion, case_id, REJECT)
    propose(recursion)
    say(recursion, "u0", ACCEPT)
    training_set, _ = build_training_set(recursion.ledger, recursion.settings.method, 2)
    mask, _ = masks()

    class MarksTheWhole:
        def propose_volumes(self, volumes, _allowed):
            for case_id, _ in volumes:
                empty = np.zeros(mask.shape, np.bool_)
                yield case_id, Prediction(mask.copy(), empty, np.ones(3, np.float32), np.ones(3, np.float32))

    found = validate_accepted(recursion, MarksTheWhole(), training_set.accepted)
    assert (found["slices"], found["pooled"]["precision"]) == (2, 1.0)
