"""Cases: a role is settled when a case is first usable, and what is set aside comes back."""

import pytest

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.ledger import CaseState, UnknownCase, VerdictKind


def test_a_case_comes_back_as_it_was_registered(ledger, entry):
    labels = {None: ImageLabels(frozenset({"subdural"})), 2: ImageLabels(frozenset())}
    ledger.register([entry("a", Role.IMAGE, image_labels=labels)])
    case = ledger.case("a")
    assert (case.role, case.state, case.slices, case.image_labels) == (Role.IMAGE, CaseState.READY, 3, labels)
    assert (case.pixel_label, case.validation, case.info) == (None, False, {})
    assert ledger.case_at("/s/a.nii") == case
    assert ledger.case_at("/s/b.nii") is None
    assert ledger.signatures() == {"a": "1"}


def test_an_unknown_case_is_named_with_the_request_that_lists_them(ledger):
    with pytest.raises(UnknownCase, match=r"no case 'x' in this study; GET /datastore/"):
        ledger.case("x")


def test_registering_again_renews_labels_but_keeps_the_role(ledger, entry):
    ledger.register([entry("a")])
    labels = {0: ImageLabels(frozenset({"epidural"}))}
    ledger.register([entry("a", Role.PIXEL, signature="2", image_labels=labels, pixel_label="/s/labels/final/a.nii")])
    case = ledger.case("a")
    assert (case.role, case.image_labels, case.signature) == (Role.UNLABELLED, labels, "2")
    assert case.pixel_label is None  # a mask that appeared later is a verdict's, or not for us to take


@pytest.mark.parametrize("role", [Role.TEST, Role.PIXEL])
def test_a_case_that_was_set_aside_at_first_sight_gets_its_role_once_it_is_usable(ledger, entry, role):
    ledger.register([entry("a", uri="", signature="aside", slices=0, reason="a.nii: has the same case id as a.nrrd")])
    ledger.register([entry("a", role, pixel_label="/s/labels/final/a.nii.gz")])
    case = ledger.case("a")
    assert (case.role, case.state, case.pixel_label) == (role, CaseState.READY, "/s/labels/final/a.nii.gz")
    assert ledger.case_ids(tag="final", labelled=True) == ["a"]


def test_a_usable_case_that_is_set_aside_keeps_what_was_known_of_it(ledger, entry):
    ledger.register([entry("a", Role.TEST, pixel_label="/s/labels/final/a.nii.gz")])
    before = ledger.case("a")
    ledger.register([entry("a", Role.UNLABELLED, uri="", signature="aside", slices=0, reason="two of them")])
    aside = ledger.case("a")
    assert (aside.state, aside.reason, aside.slices, aside.uri) == (CaseState.SET_ASIDE, "two of them", 3, before.uri)
    ledger.register([entry("a", Role.UNLABELLED, signature="2")])
    back = ledger.case("a")
    assert (back.role, back.state, back.reason, back.pixel_label) == (
        Role.TEST,
        CaseState.READY,
        None,
        before.pixel_label,
    )


def test_what_is_set_aside_is_listed_cases_first_and_not_counted(ledger, entry):
    ledger.register([entry("b"), entry("a")])
    ledger.set_aside("b", "b.nii: is truncated")
    ledger.note_rows_set_aside([("cases.csv line 3", "names no case")])
    assert ledger.list_set_aside() == [("b", "b.nii: is truncated"), ("cases.csv line 3", "names no case")]
    assert ledger.case_ids() == ["a"]
    assert ledger.count_by_role() == {"pixel": 0, "image": 0, "test": 0, "unlabelled": 1}
    ledger.note_rows_set_aside([])
    assert ledger.list_set_aside() == [("b", "b.nii: is truncated")]


def test_cases_are_read_page_by_page_without_loss(ledger, entry):
    ids = [f"{number:05d}" for number in range(2001)]
    ledger.register([entry(case_id) for case_id in ids])
    assert [case.case_id for case in ledger.iter_cases()] == ids


def test_settled_cases_are_those_accepted_whole(reviewing, draft):
    reviewing.decide("a", draft("a").sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    reviewing.decide("b", draft("b").sha256, VerdictKind.ACCEPT, rejected_slices=[1], reviewer="x", client="x")
    reviewing.decide("c", draft("c").sha256, VerdictKind.REJECT, reviewer="x", client="x")
    assert [case.case_id for case in reviewing.iter_cases(unsettled=True)] == ["b", "c"]


def test_a_case_is_not_settled_while_a_slice_was_left_out_as_unchanged(ledger, entry, draft, start, open_review):
    ledger.register([entry("a")])
    start(ledger, 0)
    ledger.freeze(0, draft("a", (0, 2), unchanged_slices=(1,)))
    open_review(ledger, 0)
    ledger.decide("a", draft("a", (0, 2)).sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    assert [case.case_id for case in ledger.iter_cases(unsettled=True)] == ["a"]


def test_an_expert_mask_ends_the_case_s_proposals(reviewing, draft):
    reviewing.next_proposal("me", now=0, lease_seconds=60)
    reviewing.promote_to_pixel("a", "/s/labels/final/a.nii.gz", reviewer="x", sha256="e" * 64)
    case = reviewing.case("a")
    assert (case.role, case.pixel_label) == (Role.PIXEL, "/s/labels/final/a.nii.gz")
    assert reviewing.count_undecided() == 2
    assert reviewing.next_proposal("me", now=1, lease_seconds=60) == "b"
    with pytest.raises(UnknownCase):
        reviewing.promote_to_pixel("x", "/s/x", reviewer="x", sha256="e" * 64)


def test_notes_on_images_and_labels_are_merged(ledger, entry):
    ledger.register([entry("a")])
    ledger.update_case_info("a", {"strategy": 1})
    ledger.update_case_info("a", {"ts": 2})
    assert ledger.case("a").info == {"strategy": 1, "ts": 2}
    ledger.update_label_note("a", "final", {"status": "approved"})
    ledger.update_label_note("a", "final", {"level": "easy"})
    assert ledger.label_note("a", "final") == {"status": "approved", "level": "easy"}
    assert ledger.label_note("a", "rejected") == {}
    with pytest.raises(UnknownCase):
        ledger.update_case_info("x", {})


def test_labels_are_pending_from_the_verdict_until_they_are_written(reviewing, draft):
    verdict = reviewing.decide("a", draft("a").sha256, VerdictKind.ACCEPT, reviewer="x", client="x")
    assert reviewing.pending_labels() == ["a"]
    reviewing.labels_written("a", final=True, rejected=False)
    assert (reviewing.pending_labels(), reviewing.count_labels()) == ([], (3, 1))
    reviewing.withdraw(verdict.verdict_id, reviewer="x")
    assert reviewing.pending_labels() == ["a"]


def test_the_label_index_names_tags_and_rounds(reviewing):
    reviewing.labels_written("b", final=False, rejected=True)
    rows = list(reviewing.label_index())
    assert rows == [
        ("a", {}, "/s/a.nii", [], [0]),
        ("b", {}, "/s/b.nii", ["rejected"], [0]),
        ("c", {}, "/s/c.nii", [], [0]),
    ]
    assert reviewing.case_ids(tag="rejected", labelled=True) == ["b"]


def test_before_the_first_round_any_image_without_a_mask_can_be_drawn(ledger, entry):
    ledger.register([entry("p", Role.PIXEL, pixel_label="/s/p"), entry("t", Role.TEST), entry("b"), entry("a")])
    roles = [Role.IMAGE, Role.UNLABELLED]
    assert ledger.unlabelled_case(roles=roles, first=True) == "a"
    assert ledger.unlabelled_case(roles=roles, first=False) in ("a", "b")
    assert ledger.unlabelled_case(roles=[Role.PIXEL], first=True) is None
