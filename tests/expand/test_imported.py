"""Masks of other tools as round 0: frozen and served like f's and g's, judged, and trained on if asked."""

import pytest
from filelock import FileLock

from recursive_expand.archives.images import read_info, read_label
from recursive_expand.cases import LabelMap
from recursive_expand.errors import RecursiveExpandError
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.imported import freeze_imported, imported_review
from recursive_expand.expand.labels import label_info
from recursive_expand.expand.registration import register_cases
from recursive_expand.expand.rounds import run_round
from recursive_expand.expand.steps import Step, next_step, read_state
from recursive_expand.expand.training_set import TrainingSet
from recursive_expand.ledger import ProposalState, RoundState, VerdictKind

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
FILE = "f" * 64


@pytest.fixture
def imported(recursion, make_head):
    """The tiny recursion with masks for the three cases that take verdicts; that of u0 is empty."""
    register_cases(recursion)
    with imported_review(recursion):
        for seed, case_id in enumerate(("i0", "i1", "u0"), start=3):
            geometry = recursion.volume(case_id).geometry
            mask = make_head(seed, bleeds=() if case_id == "u0" else (0, 1))[1]
            label = LabelMap.from_slices(mask, geometry, recursion.settings.task.classes)
            freeze_imported(recursion, case_id, label, tool="nnU-Net 2.5", file_sha256=FILE)
    return recursion


def step(recursion, **known):
    return next_step(read_state(recursion, **known), recursion.settings.review)


def test_a_mask_becomes_a_proposal_that_says_who_made_it(imported, say):
    ledger = imported.ledger
    assert [p.case_id for p, _ in ledger.queue.page(now=0)] == ["i0", "i1"]
    proposal = ledger.proposals.current("i0")
    assert (proposal.tool, proposal.model_sha256, proposal.state) == ("nnU-Net 2.5", FILE, ProposalState.OPEN)
    assert ledger.proposals.current("u0").state is ProposalState.EMPTY
    assert frozen_label(imported.workspace, proposal, imported.settings.task.classes).sha256 == proposal.sha256
    say(imported, "i0", ACCEPT)
    assert label_info(ledger.judgements.of_case("i0"), "final")["tool"] == "nnU-Net 2.5"
    final = imported.archive.label_file("i0", "final")
    assert read_label(final).sha256 == proposal.sha256 and read_info(final)["tool"] == "nnU-Net 2.5"
    assert ledger.audit.verify() is None


def test_the_audit_covers_who_made_a_mask(imported):
    with imported.ledger.cases._store.write() as connection:
        connection.exec_driver_sql("UPDATE proposals SET tool = 'another' WHERE case_id = 'i0'")
    assert "tool" in str(imported.ledger.audit.verify())


def test_the_review_is_round_0_and_has_no_model(imported):
    round_ = imported.ledger.rounds.current()
    assert (round_.round, round_.state, round_.model, round_.imported) == (0, RoundState.REVIEWING, None, True)
    assert imported.ledger.rounds.current_model() is None


def test_a_second_import_adds_to_the_review(imported, make_head):
    before = imported.ledger.proposals.current("i0")
    with imported_review(imported):
        label = LabelMap.from_slices(make_head(9)[1], imported.volume("i0").geometry, imported.settings.task.classes)
        again = freeze_imported(imported, "i0", label, tool="another", file_sha256="0" * 64)
    assert again == before  # a case has one proposal a round
    assert len(imported.ledger.rounds.all()) == 1


def test_no_masks_are_imported_once_a_model_proposes(reviewing):
    with pytest.raises(RecursiveExpandError, match="round 0 of this study has begun"), imported_review(reviewing):
        pass


def test_no_masks_are_imported_while_a_round_runs(recursion):
    lock = FileLock(recursion.workspace.round_lock)
    with lock, pytest.raises(RecursiveExpandError, match="a round is running"), imported_review(recursion):
        pass


@pytest.mark.parametrize(
    ("train", "with_pixel", "comes"),
    [
        ("off", True, Step.DECIDED),
        ("auto", True, Step.NEXT_ROUND),
        ("auto", False, Step.DECIDED),
        ("on", False, Step.NEXT_ROUND),
    ],
)
def test_whether_a_round_follows_is_the_settings_and_the_expert_masks(
    imported, changed, decide_all, train, with_pixel, comes
):
    if not with_pixel:
        with imported.ledger.cases._store.write() as connection:
            connection.exec_driver_sql("UPDATE cases SET role = 'test' WHERE role = 'pixel'")
    under = changed(imported, train=train)
    assert step(under) is Step.REVIEW
    decide_all(under, ACCEPT)
    assert step(under) is comes
    assert step(under, asked=True) is Step.NEXT_ROUND


def test_the_first_round_that_trains_learns_from_what_was_accepted(imported, changed, say):
    say(imported, "i0", ACCEPT)
    say(imported, "i1", REJECT)
    round_ = run_round(changed(imported, train="on"))
    assert (round_.round, round_.state, round_.base_model) == (1, RoundState.REVIEWING, None)
    assert len(round_.report["losses"]) == imported.settings.method.training.epochs  # as round 0 trains
    trained = TrainingSet.from_json(imported.ledger.rounds.training_set(1))
    assert [(one.case_id, one.round, one.slices, one.new) for one in trained.accepted] == [("i0", 0, (0, 1), True)]
    assert trained.validation and trained.pixel
    proposals = {case_id: imported.ledger.proposals.current(case_id) for case_id in ("i1", "u0")}
    assert {p.model_sha256 for p in proposals.values()} == {round_.model}
    assert {p.tool for p in proposals.values()} == {None}
    assert imported.ledger.audit.verify() is None
