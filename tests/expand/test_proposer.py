"""Learn: proposals obey labels, never repeat what was accepted, and one bad case does not stop the others."""

import dataclasses
import logging
import pickle
import threading

import numpy as np
import pytest

from recursive_expand.cases import ImageLabels
from recursive_expand.errors import InputError
from recursive_expand.expand import freezing as module
from recursive_expand.expand.freezing import Made
from recursive_expand.expand.frozen import frozen_ignore
from recursive_expand.expand.proposer import Proposer, Unreadable, cases_to_propose
from recursive_expand.ledger import CaseEntry, ProposalState, VerdictKind
from recursive_expand.segment.predict import Prediction

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
MODEL = f"{1:064d}"


class FixedPredictor:
    """f and g that make the same mask for every case."""

    def __init__(self, mask):
        self.mask = mask

    def propose_volumes(self, volumes, allowed=None):
        for case_id, volume in volumes:
            confidence = np.where(self.mask.any(axis=(1, 2)), 0.9, np.nan).astype(np.float32)
            ignore, unknown = np.zeros(volume.hu.shape, np.bool_), np.full_like(confidence, np.nan)
            yield case_id, Prediction(self.mask.copy(), ignore, confidence, unknown, unknown)


class NoLedger:
    """A ledger that nobody may ask anything."""

    def __getattr__(self, name):
        raise AssertionError(f"ledger.{name} was asked for")


def full(value=2, slices=(0, 1, 2)):
    mask = np.zeros((3, 48, 48), np.uint8)
    mask[list(slices), 10:20, 10:20] = value
    return mask


def filled(mask):
    return tuple(int(n) for n in np.flatnonzero(mask.any(axis=(1, 2))))


@pytest.fixture
def proposer(reviewing, begin):
    """Round 1 under way; call it for a proposer whose f and g make this mask."""
    begun = []

    def _proposer(mask, recursion=reviewing):
        if not begun:
            begun.append(begin(reviewing, 1))
        return Proposer(recursion, 1, MODEL, FixedPredictor(mask))

    return _proposer


@pytest.fixture
def propose(reviewing, proposer):
    """Propose for round 1 with f and g that make this mask; proposals by case."""

    def _propose(mask, **kwargs):
        made = proposer(mask)
        return {p.case_id: p for p in made.propose(cases_to_propose(reviewing, 1), **kwargs)}

    return _propose


def test_every_undecided_case_is_proposed_once_a_round(reviewing):
    assert {p.case_id for p, _ in reviewing.ledger.queue.page(now=0)} == {"i0", "i1", "u0"}
    assert list(cases_to_propose(reviewing, 0)) == []
    assert [case.case_id for case in cases_to_propose(reviewing, 1)] == ["i0", "i1", "u0"]


def test_what_the_ledger_says_is_what_was_frozen(reviewing, proposed):
    for case_id in ("i0", "i1", "u0"):
        proposal, mask = reviewing.ledger.proposals.current(case_id), proposed(reviewing, case_id)
        assert proposal.slices == filled(mask)
        assert proposal.voxels == {"intraparenchymal": int((mask == 2).sum())}
        assert 0.5 < proposal.confidence <= 1
        assert frozen_ignore(reviewing.workspace, proposal).shape == mask.shape
        marked = reviewing.ledger.proposals.marked(proposal.proposal_id)
        assert [(one.slice, one.class_name, one.voxels) for one in marked] == [
            (n, "intraparenchymal", int((mask[n] == 2).sum())) for n in proposal.slices
        ]
        assert proposal.confidence == pytest.approx(
            sum(one.confidence * one.voxels for one in marked) / sum(one.voxels for one in marked)
        )


def test_what_is_proposed_is_what_make_makes_and_freeze_freezes(reviewing, begin):
    """Of the same weights, one by one."""
    round_0 = reviewing.ledger.rounds.current()
    begin(reviewing, 1)
    by_hand = Proposer.of(reviewing, dataclasses.replace(round_0, round=1))
    for case in list(cases_to_propose(reviewing, 1)):
        first = reviewing.ledger.proposals.of_round(case.case_id, 0)
        again = by_hand.freeze(by_hand.make(case))
        assert (again.round, again.sha256, again.file) == (1, first.sha256, first.file)
        assert (again.voxels, again.confidence) == (first.voxels, first.confidence)


def test_making_asks_the_ledger_nothing(reviewing):
    """So that another process, or another machine, can make what this one freezes."""
    round_, cases = reviewing.ledger.rounds.current(), list(reviewing.ledger.cases.iterate())
    apart = Proposer.of(dataclasses.replace(reviewing, ledger=NoLedger()), round_)
    case = next(case for case in cases if case.case_id == "u0")
    assert apart.make(case).label.sha256 == reviewing.ledger.proposals.of_round("u0", 0).sha256
    assert [made.case_id for made in apart.make_all(cases)] == [case.case_id for case in cases]
    assert apart.predict(reviewing.volume("u0")).sha256 == apart.make(case).label.sha256
    with pytest.raises(AssertionError, match="was asked for"):
        apart.freeze(apart.make(case))


def test_making_stores_nothing(reviewing, proposer):
    made = proposer(full()).make(reviewing.ledger.cases.get("u0"))
    assert isinstance(made, Made)
    assert reviewing.ledger.proposals.of_round("u0", 1) is None
    assert not list(reviewing.workspace.proposals.rglob(f"*{made.label.sha256}*"))
    assert {p.file for c in ("i0", "i1", "u0") for p in reviewing.ledger.proposals.of_case(c)} == {
        path.relative_to(reviewing.workspace.root).as_posix()
        for path in reviewing.workspace.proposals.rglob("*.nii.gz")
    }


def test_what_was_made_can_be_sent_and_frozen_elsewhere(reviewing, reopen, proposer, proposed):
    made = proposer(full()).make(reviewing.ledger.cases.get("u0"))
    sent = pickle.loads(pickle.dumps(made))
    assert (sent.case_id, sent.round_index, sent.model_sha256) == ("u0", 1, MODEL)
    assert sent.label.sha256 == made.label.sha256
    for name in ("ignore", "confidence", "flip_dice", "snapshot_dice"):
        assert np.array_equal(getattr(sent, name), getattr(made, name), equal_nan=name != "ignore")
    elsewhere = reopen(reviewing.archive.studies)
    frozen = proposer(full(0), elsewhere).freeze(sent)
    assert frozen.sha256 == made.label.sha256
    assert np.array_equal(proposed(reviewing, "u0", 1), full())
    elsewhere.ledger.close()


def test_whoever_freezes_at_the_same_time_gets_the_same_proposal(reviewing, reopen, proposer):
    """Server and round process propose the same case at once: each has its own connection, and no lock is shared."""
    others = [reopen(reviewing.archive.studies) for _ in range(2)]
    case, before = reviewing.ledger.cases.get("u0"), set(reviewing.workspace.proposals.rglob("*.nii.gz"))
    made = proposer(full()).make(case)
    barrier, frozen, errors = threading.Barrier(4), [], []

    def freeze(recursion):
        try:
            own = proposer(full(), recursion)
            barrier.wait()
            frozen.append(own.freeze(made))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=freeze, args=(one,)) for one in (reviewing, reviewing, *others)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(frozen) == 4 and all(one == frozen[0] for one in frozen)
    assert [p.round for p in reviewing.ledger.proposals.of_case("u0")] == [0, 1]
    [file] = set(reviewing.workspace.proposals.rglob("*.nii.gz")) - before
    assert file == reviewing.workspace.root / frozen[0].file
    assert not list(reviewing.workspace.proposals.rglob("*.tmp"))
    for other in others:
        other.ledger.close()


def test_the_first_frozen_proposal_of_a_round_stands(reviewing, propose, proposer, proposed):
    made = propose(full())
    files = set(reviewing.workspace.proposals.rglob("*"))
    again = list(proposer(full(3)).propose([reviewing.ledger.cases.get("u0")]))
    assert again == [made["u0"]]
    assert set(reviewing.workspace.proposals.rglob("*")) == files
    assert set(np.unique(proposed(reviewing, "u0", 1))) == {0, 2}


def test_the_file_is_named_for_its_content_not_for_its_case_or_round(propose, proposer, reviewing, begin):
    made = propose(full())
    assert len({proposal.file for proposal in made.values()}) == 1
    reviewing.ledger.rounds.open_review(1, order=[], report={})
    begin(reviewing, 2)
    later = Proposer(reviewing, 2, MODEL, FixedPredictor(full()))
    assert later.freeze(later.make(reviewing.ledger.cases.get("u0"))).file == made["u0"].file


def test_a_case_accepted_whole_is_not_proposed_again(reviewing, propose, say):
    say(reviewing, "i0", ACCEPT)
    assert propose(full()).keys() == {"i1", "u0"}


def test_accepted_slices_are_not_proposed_again(reviewing, propose, say, proposed):
    say(reviewing, "u0", ACCEPT, [1])
    made = propose(full())
    assert made["u0"].slices == filled(proposed(reviewing, "u0", 1)) == (1,)


def test_what_hardly_differs_from_the_rejected_is_not_served(reviewing, propose, say, proposed):
    say(reviewing, "u0", REJECT)
    say(reviewing, "i1", REJECT)
    made = propose(proposed(reviewing, "u0"), serve=True)
    assert made["u0"].state is ProposalState.UNCHANGED
    assert made["i1"].state is ProposalState.OPEN
    assert "u0" not in {p.case_id for p, _ in reviewing.ledger.queue.page(now=0)}


def test_a_rejected_slice_that_came_out_the_same_is_left_out(reviewing, propose, say, proposed):
    say(reviewing, "u0", REJECT)
    mask = full()
    mask[1] = proposed(reviewing, "u0")[1]
    made = propose(mask, serve=True)["u0"]
    assert (made.state, made.slices, made.unchanged_slices) == (ProposalState.OPEN, (0, 2), (1,))
    assert filled(proposed(reviewing, "u0", 1)) == (0, 2)


def test_the_bulk_waits_for_its_review_and_what_a_client_asks_for_does_not(reviewing, proposer):
    own = proposer(full())
    u0, i0 = (own.make(reviewing.ledger.cases.get(case_id)) for case_id in ("u0", "i0"))
    assert own.freeze(u0).state is ProposalState.HELD
    assert own.freeze(i0, serve=True).state is ProposalState.OPEN


def test_an_empty_proposal_is_not_served(propose):
    made = propose(full(0), serve=True)
    assert {(p.state, p.confidence, p.slices) for p in made.values()} == {(ProposalState.EMPTY, 0.0, ())}


def test_image_level_labels_are_obeyed(reviewing, begin, proposed, changed):
    case = reviewing.ledger.cases.get("u0")
    labels = {0: ImageLabels(frozenset()), 1: ImageLabels(frozenset({"subdural"}))}
    reviewing.ledger.cases.register([CaseEntry("u0", case.role, case.name, "2", case.slices, image_labels=labels)])
    round_0 = reviewing.ledger.rounds.current()
    begin(reviewing, 1)
    own = Proposer.of(reviewing, dataclasses.replace(round_0, round=1))
    [made] = own.propose([reviewing.ledger.cases.get("u0")])
    mask = proposed(reviewing, "u0", 1)
    assert 0 not in made.slices
    assert set(np.unique(mask[1])) == {0, 5}  # what bleeds there is subdural
    assert set(np.unique(mask[2])) == {0, 2}


def test_a_case_labelled_clean_throughout_is_not_proposed(reviewing, changed):
    case = reviewing.ledger.cases.get("i1")
    clean = {None: ImageLabels(frozenset())}
    reviewing.ledger.cases.register([CaseEntry("i1", case.role, case.name, "2", 3, image_labels=clean)])
    assert [c.case_id for c in cases_to_propose(reviewing, 1)] == ["i0", "u0"]
    without = changed(reviewing, use_image_labels=False)
    assert "i1" in [c.case_id for c in cases_to_propose(without, 1)]


def test_a_broken_case_in_the_middle_is_set_aside_and_the_rest_goes_on(reviewing, propose, caplog):
    (reviewing.archive.studies / "i1.nii.gz").write_bytes(b"nonsense")
    with caplog.at_level(logging.WARNING):
        made = propose(full())
    assert made.keys() == {"i0", "u0"}
    assert reviewing.ledger.cases.get("i1").reason.startswith("i1.nii.gz: ")
    assert "i1.nii.gz" in caplog.text


def test_of_a_broken_case_make_says_why_and_stores_nothing(reviewing, proposer):
    cases = list(cases_to_propose(reviewing, 1))
    (reviewing.archive.studies / "i1.nii.gz").write_bytes(b"nonsense")
    own = proposer(full())
    found = list(own.make_all(cases))
    assert sorted(one.case_id for one in found) == ["i0", "i1", "u0"]
    [broken] = [one for one in found if isinstance(one, Unreadable)]
    assert broken.case_id == "i1" and broken.reason.startswith("i1.nii.gz: ")
    assert reviewing.ledger.cases.get("i1").reason is None
    with pytest.raises(InputError, match="i1"):
        own.make(cases[1])


def test_all_that_is_broken_is_told_also_where_nothing_can_be_read(reviewing, proposer):
    cases = list(cases_to_propose(reviewing, 1))
    for case in cases:
        (reviewing.archive.studies / f"{case.case_id}.nii.gz").write_bytes(b"nonsense")
    assert [type(one) for one in proposer(full()).make_all(cases)] == [Unreadable] * 3


def test_a_verdict_given_between_making_and_freezing_counts(reviewing, proposer, say, proposed):
    """The expert judges round 0's proposal after round 1's was made."""
    own = proposer(full())
    made = own.make(reviewing.ledger.cases.get("u0"))
    say(reviewing, "u0", ACCEPT, [2])
    assert own.freeze(made).slices == filled(proposed(reviewing, "u0", 1)) == (2,)


def test_a_verdict_given_while_the_case_is_frozen_counts(reviewing, propose, say, proposed, monkeypatch):
    """The expert accepts round 0's proposal after `freeze` has looked at the verdicts, before the ledger knows."""
    freeze_files, pending = module.freeze_files, [None]

    def slow(workspace, label, ignore):
        if pending and label.filled == (0, 1, 2):
            pending.clear()
            say(reviewing, "i0", ACCEPT, [1])
        return freeze_files(workspace, label, ignore)

    monkeypatch.setattr(module, "freeze_files", slow)
    made = propose(full())
    assert made["i0"].slices == filled(proposed(reviewing, "i0", 1)) == (1, 2)
    assert made["u0"].slices == (0, 1, 2)
