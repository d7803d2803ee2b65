"""The one door for a verdict: taken, refused and answered alike, whatever the archive can do at the moment."""

import random
import shutil
import threading
import time

import numpy as np
import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.cases import LabelMap, Role
from recursive_expand.errors import InputError
from recursive_expand.expand.judging import (
    Answer,
    ExpertMaskRefused,
    HasExpertMask,
    Unnamed,
    judge,
    take_expert_mask,
    withdraw,
)
from recursive_expand.expand.labels import deliver_due
from recursive_expand.expand.registration import register_cases
from recursive_expand.ledger import (
    Actor,
    AlreadyDecided,
    LedgerError,
    NotWithdrawable,
    NotYours,
    ProposalState,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
    VerdictKind,
)

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
ANN, BOB, NOBODY = Actor("ann", "slicer"), Actor("bob", "browser", authenticated=True), Actor("  ", "slicer")


@pytest.fixture
def answer(reviewing):
    """Answer a case's newest proposal."""

    def _answer(actor, case_id, kind, rejected=(), *, sha256=None, **more):
        sha256 = sha256 or reviewing.ledger.proposals.current(case_id).sha256
        return judge(reviewing, actor, case_id, sha256, Answer(kind, tuple(rejected), **more))

    return _answer


def label(recursion, tag, case_id="u0"):
    """A label object's slices, or None where there is none."""
    path = recursion.archive.studies / "labels" / tag / f"{case_id}.nii.gz"
    return read_label(path).slices if path.exists() else None


def only(mask, slices):
    kept = np.zeros_like(mask)
    kept[list(slices)] = mask[list(slices)]
    return kept


def test_a_verdict_is_durable_and_its_labels_are_written_when_it_is_answered(reviewing, answer, proposed, reopen):
    verdict = answer(BOB, "u0", ACCEPT, [1], reason="too large", comment="a", seconds=2.5)
    assert (verdict.verdict, verdict.accepted_slices, verdict.rejected_slices) == (ACCEPT, (0, 2), (1,))
    assert (verdict.reviewer, verdict.client, verdict.authenticated) == ("bob", "browser", True)
    assert (verdict.reason, verdict.comment, verdict.seconds) == ("too large", "a", 2.5)
    assert np.array_equal(label(reviewing, "final"), only(proposed(reviewing, "u0"), [0, 2]))
    assert np.array_equal(label(reviewing, "rejected"), only(proposed(reviewing, "u0"), [1]))
    assert reviewing.ledger.outbox.count().waiting == 0
    again = reopen(reviewing.archive.studies)
    assert again.ledger.judgements.of_case("u0") == [verdict]
    again.ledger.close()


def test_accept_and_reject_say_all_slices(answer):
    assert answer(ANN, "u0", ACCEPT).accepted_slices == (0, 1, 2)
    assert answer(ANN, "i1", REJECT).rejected_slices == (0, 1, 2)


def test_the_same_verdict_again_is_the_first_one(reviewing, answer):
    for case_id, kind, rejected in (("u0", ACCEPT, [1]), ("i0", ACCEPT, []), ("i1", REJECT, [])):
        first = answer(ANN, case_id, kind, rejected)
        assert answer(ANN, case_id, kind, rejected) == first
    assert len(reviewing.ledger.judgements.verdicts()) == 3


@pytest.mark.parametrize(("actor", "kind", "by"), [(ANN, REJECT, "you"), (BOB, ACCEPT, "ann"), (BOB, REJECT, "ann")])
def test_what_was_decided_otherwise_or_by_another_is_not_decided_again(reviewing, answer, actor, kind, by):
    first = answer(ANN, "u0", ACCEPT)
    with pytest.raises(AlreadyDecided, match=f"already decided \\(accept\\) by {by}"):
        answer(actor, "u0", kind)
    assert reviewing.ledger.judgements.of_case("u0") == [first]


def test_rejecting_every_slice_one_by_one_is_a_reject(answer):
    verdict = answer(ANN, "u0", ACCEPT, [0, 1, 2])
    assert verdict.verdict is REJECT
    assert answer(ANN, "u0", REJECT) == verdict
    assert answer(ANN, "u0", REJECT, [0, 1, 2]) == verdict


def test_a_reject_that_names_some_slices_is_refused_and_nothing_recorded(reviewing, answer):
    with pytest.raises(InputError, match="rejected_slices: names some slices, but reject rejects all of them"):
        answer(ANN, "u0", REJECT, [1])
    assert reviewing.ledger.judgements.verdicts() == []


def test_a_slice_without_a_mask_cannot_be_rejected(reviewing, answer):
    with pytest.raises(InputError, match=r"rejected_slices: slices \[2\] have no mask in this proposal"):
        answer(ANN, "i0", ACCEPT, [2])
    assert reviewing.ledger.judgements.verdicts() == []


def test_a_verdict_needs_a_name(reviewing, answer):
    with pytest.raises(Unnamed, match="give a reviewer's name"):
        answer(NOBODY, "u0", ACCEPT)
    assert reviewing.ledger.judgements.verdicts() == []


def test_refusals_of_the_ledger_come_through(answer):
    with pytest.raises(UnknownCase, match="there is no case 'nobody'"):
        answer(ANN, "nobody", REJECT, [1], sha256="0" * 64)
    with pytest.raises(StaleProposal):
        answer(ANN, "u0", ACCEPT, sha256="0" * 64)
    with pytest.raises(StaleProposal):
        answer(ANN, "u0", REJECT, [1], sha256="0" * 64)


def test_repeating_a_reject_of_an_older_proposal_returns_it(reviewing, answer, begin, freeze, proposed):
    """A client that lost the answer asks again, naming the slices as it did; the next round proposed others since."""
    sha256 = reviewing.ledger.proposals.current("u0").sha256
    first = answer(ANN, "u0", REJECT, [0, 1, 2])
    begin(reviewing, 1)
    freeze(reviewing, "u0", only(proposed(reviewing, "u0"), [1]), round_index=1)
    assert answer(ANN, "u0", REJECT, [0, 1, 2], sha256=sha256).verdict_id == first.verdict_id


def test_one_s_own_verdict_is_taken_back_with_its_labels(reviewing, answer):
    verdict = answer(ANN, "u0", ACCEPT, [1])
    taken = withdraw(reviewing, Actor("ann", "another client"), verdict.verdict_id)
    assert taken.withdrawn is not None
    assert withdraw(reviewing, ANN, verdict.verdict_id) == taken
    assert label(reviewing, "final") is None and label(reviewing, "rejected") is None
    assert reviewing.ledger.proposals.current("u0").state is ProposalState.OPEN
    assert answer(BOB, "u0", REJECT).verdict_id != verdict.verdict_id


def test_nobody_takes_back_another_s_verdict_or_without_a_name(reviewing, answer):
    verdict = answer(ANN, "u0", ACCEPT)
    with pytest.raises(NotYours, match="is ann's; only they can take it back"):
        withdraw(reviewing, BOB, verdict.verdict_id)
    for nobody in (NOBODY, Actor("", "slicer")):
        with pytest.raises(Unnamed, match=r"^who are you"):
            withdraw(reviewing, nobody, verdict.verdict_id)
    with pytest.raises(UnknownVerdict):
        withdraw(reviewing, ANN, verdict.verdict_id + 1)
    assert reviewing.ledger.judgements.of_case("u0") == [verdict]
    assert label(reviewing, "final") is not None


def test_a_verdict_that_a_round_has_used_stays(reviewing, answer, begin):
    verdict = answer(ANN, "u0", ACCEPT)
    begin(reviewing, 1)
    with pytest.raises(NotWithdrawable):
        withdraw(reviewing, ANN, verdict.verdict_id)
    assert label(reviewing, "final") is not None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(30, "Read-only file system"), "cannot be written (Read-only file system)"),
        (InputError("labels/final", "is a link that leaves the studies folder"), "labels/final: is a link that leaves"),
    ],
    ids=["OSError", "InputError"],
)
def test_a_label_that_cannot_be_written_waits_and_the_verdict_is_answered(
    reviewing, answer, proposed, monkeypatch, error, reason
):
    def refuses(*_args, **_kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(type(reviewing.archive), "put_label", refuses)
        verdict = answer(ANN, "u0", ACCEPT)
        assert answer(ANN, "u0", ACCEPT) == verdict
    assert reviewing.ledger.judgements.of_case("u0") == [verdict]
    assert reviewing.ledger.proposals.current("u0").state is ProposalState.DECIDED
    assert label(reviewing, "final") is None
    waits = reviewing.ledger.outbox.count()
    assert (waits.waiting, waits.failing) == (1, 1)
    assert waits.error.startswith(reason)
    assert deliver_due(reviewing) == 0  # not before its time
    reviewing.ledger.outbox.retry()
    assert deliver_due(reviewing) == 1
    assert np.array_equal(label(reviewing, "final"), proposed(reviewing, "u0"))
    assert reviewing.ledger.outbox.count().waiting == 0


def test_a_verdict_taken_back_while_labels_cannot_be_removed_is_made_good_later(reviewing, answer, monkeypatch):
    verdict = answer(ANN, "u0", ACCEPT)

    def refuses(*_args, **_kwargs):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(type(reviewing.archive), "remove_label", refuses)
        assert withdraw(reviewing, ANN, verdict.verdict_id).withdrawn
    assert label(reviewing, "final") is not None
    reviewing.ledger.outbox.retry()
    assert deliver_due(reviewing) == 1
    assert label(reviewing, "final") is None


def unevenly(method):
    """The archive takes its time, so that who began first is not always done first."""
    chance = random.Random(0)

    def _method(*args):
        time.sleep(chance.choice([0.0, 0.0, 0.02]))
        return method(*args)

    return _method


def test_label_files_are_what_the_ledger_says_however_many_readers_there_are(reviewing, freeze, monkeypatch):
    """Readers judge, change their minds and get in each other's way, on a few cases at once."""
    folder, cases = reviewing.archive.studies, [f"u{number}" for number in range(4)]
    for case_id in cases[1:]:
        shutil.copy(folder / "u0.nii.gz", folder / f"{case_id}.nii.gz")
    register_cases(reviewing)
    for number, case_id in enumerate(cases[1:], start=1):
        mask = np.zeros((3, 48, 48), np.uint8)
        mask[:, 10:20, 10 : 12 + number] = 2
        freeze(reviewing, case_id, mask)
    for name in ("put_label", "remove_label"):
        monkeypatch.setattr(type(reviewing.archive), name, unevenly(getattr(type(reviewing.archive), name)))
    start, unexpected = threading.Barrier(4), []

    def review(reader):
        chance, actor = random.Random(reader), Actor(f"reader {reader}", "slicer")
        start.wait()
        for _ in range(25):
            case_id = chance.choice(cases)
            try:
                own = [v for v in reviewing.ledger.judgements.of_case(case_id) if v.reviewer == actor.reviewer]
                if own:
                    withdraw(reviewing, actor, own[0].verdict_id)
                    continue
                kind, rejected = chance.choice([(ACCEPT, ()), (ACCEPT, (1,)), (REJECT, ())])
                sha256 = reviewing.ledger.proposals.current(case_id).sha256
                judge(reviewing, actor, case_id, sha256, Answer(kind, rejected))
            except LedgerError:
                pass  # another reader was first
            except Exception as error:
                unexpected.append(error)

    readers = [threading.Thread(target=review, args=(reader,)) for reader in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert unexpected == []
    assert reviewing.ledger.outbox.count().waiting == 0
    for case_id in cases:
        proposal = reviewing.ledger.proposals.current(case_id)
        mask = read_label(reviewing.workspace.root / proposal.file).slices
        standing = reviewing.ledger.judgements.of_case(case_id)
        assert len(standing) <= 1
        said = {"final": (), "rejected": ()}
        if standing:
            said = {"final": standing[0].accepted_slices, "rejected": standing[0].rejected_slices}
        for tag, slices in said.items():
            found = label(reviewing, tag, case_id)
            assert (found is not None) == bool(slices), (case_id, tag)
            assert found is None or np.array_equal(found, only(mask, slices)), (case_id, tag)
    assert reviewing.ledger.audit.verify() is None


def test_a_verdict_taken_back_while_its_label_is_being_written_leaves_no_label(reviewing, answer, monkeypatch):
    """Two clients at once: the one who began first has read a verdict that no longer stands when it writes."""
    put_label = type(reviewing.archive).put_label
    writing, go_on = threading.Event(), threading.Event()

    def slow(*args):
        writing.set()
        go_on.wait(10)
        put_label(*args)

    monkeypatch.setattr(type(reviewing.archive), "put_label", slow)
    first = threading.Thread(target=answer, args=(ANN, "u0", ACCEPT))
    first.start()
    assert writing.wait(10)
    [verdict] = reviewing.ledger.judgements.of_case("u0")
    second = threading.Thread(target=withdraw, args=(reviewing, ANN, verdict.verdict_id))
    second.start()
    second.join(0.5)  # it has taken the verdict back; its labels wait for the first writer
    go_on.set()
    first.join()
    second.join()
    assert reviewing.ledger.judgements.of_case("u0") == []
    assert label(reviewing, "final") is None
    assert reviewing.ledger.outbox.count().waiting == 0


@pytest.fixture
def drawn(reviewing):
    """A mask that an expert drew on u0."""
    mask = np.zeros((3, 48, 48), np.uint8)
    mask[1, 10:20, 10:20] = 5
    classes = reviewing.settings.task.classes
    return LabelMap.from_slices(mask, reviewing.volume("u0").geometry, classes)


def test_a_drawn_mask_makes_a_pixel_case(reviewing, drawn):
    take_expert_mask(reviewing, ANN, "u0", drawn)
    case = reviewing.ledger.cases.get("u0")
    assert (case.role, case.pixel_sha256) == (Role.PIXEL, drawn.sha256)
    assert reviewing.expert_label(case).sha256 == drawn.sha256
    assert reviewing.ledger.proposals.current("u0").state is ProposalState.SUPERSEDED
    with pytest.raises(HasExpertMask, match=r"case 'u0' has an expert mask \(role pixel\); it takes no verdicts"):
        judge(reviewing, ANN, "u0", reviewing.ledger.proposals.current("u0").sha256, Answer(ACCEPT))
    register_cases(reviewing)
    assert reviewing.ledger.cases.get("u0").pixel_sha256 == drawn.sha256


def test_a_drawn_mask_is_refused_without_a_name_with_a_wrong_value_and_after_a_verdict(reviewing, drawn, answer):
    with pytest.raises(Unnamed):
        take_expert_mask(reviewing, NOBODY, "u0", drawn)
    wrong = LabelMap(np.full((48, 48, 3), 9, np.uint8), drawn.geometry)
    with pytest.raises(
        InputError, match="submitted mask: holds the value 9, which is no class; classes are 1 epidural"
    ):
        take_expert_mask(reviewing, ANN, "u0", wrong)
    answer(ANN, "u0", REJECT)
    with pytest.raises(ExpertMaskRefused, match="case 'u0' was already decided"):
        take_expert_mask(reviewing, ANN, "u0", drawn)
    assert reviewing.ledger.cases.get("u0").role is Role.UNLABELLED
    assert label(reviewing, "final") is None
