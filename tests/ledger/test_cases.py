"""Cases: a role is settled when a case is first usable, and what is set aside comes back."""

import pytest

from recursive_expand.cases import ImageLabels, Role
from recursive_expand.ledger import Actor, CaseState, UnknownCase, VerdictKind

ACCEPT, REJECT = VerdictKind.ACCEPT, VerdictKind.REJECT
MASK = "e" * 64


def test_a_case_comes_back_as_it_was_registered(ledger, entry):
    labels = {None: ImageLabels(frozenset({"subdural"})), 2: ImageLabels(frozenset())}
    ledger.cases.register([entry("a", Role.IMAGE, image_labels=labels, patient="p1", series_instance_uid="1.2.3")])
    case = ledger.cases.get("a")
    assert (case.role, case.state, case.slices, case.image_labels) == (Role.IMAGE, CaseState.READY, 3, labels)
    assert (case.name, case.patient, case.series_instance_uid) == ("a.nii", "p1", "1.2.3")
    assert (case.pixel_sha256, case.has_expert_mask, case.validation, case.info) == (None, False, False, {})
    assert ledger.cases.signatures() == {"a": "1"}


def test_nothing_is_recorded_where_nothing_was_found(ledger):
    ledger.cases.register([])
    assert ledger.audit.head()[0] == 0


def test_an_unknown_case_is_named_with_the_request_that_lists_them(ledger):
    with pytest.raises(UnknownCase, match=r"no case 'x' in this study; GET /datastore/"):
        ledger.cases.get("x")


def test_registering_again_renews_labels_but_keeps_the_role(ledger, entry):
    ledger.cases.register([entry("a")])
    labels = {0: ImageLabels(frozenset({"epidural"}))}
    ledger.cases.register([entry("a", Role.PIXEL, signature="2", image_labels=labels, pixel_sha256=MASK)])
    case = ledger.cases.get("a")
    assert (case.role, case.image_labels, case.signature) == (Role.UNLABELLED, labels, "2")
    assert case.pixel_sha256 is None  # a mask that appeared later is a verdict's, or not for us to take


@pytest.mark.parametrize("role", [Role.TEST, Role.PIXEL])
def test_a_case_that_was_set_aside_at_first_sight_gets_its_role_once_it_is_usable(ledger, entry, role):
    ledger.cases.register([entry("a", signature="aside", slices=0, reason="a.nii: has the same case id as a.nrrd")])
    ledger.cases.register([entry("a", role, pixel_sha256=MASK)])
    case = ledger.cases.get("a")
    assert (case.role, case.state, case.pixel_sha256) == (role, CaseState.READY, MASK)
    assert case.has_expert_mask
    assert ledger.cases.ids(tag="final", labelled=True) == ["a"]


def test_a_usable_case_that_is_set_aside_keeps_what_was_known_of_it(ledger, entry):
    ledger.cases.register([entry("a", Role.TEST, pixel_sha256=MASK)])
    before = ledger.cases.get("a")
    ledger.cases.register([entry("a", Role.UNLABELLED, name="", signature="aside", slices=0, reason="two of them")])
    aside = ledger.cases.get("a")
    assert (aside.state, aside.reason, aside.slices, aside.name) == (CaseState.SET_ASIDE, "two of them", 3, before.name)
    ledger.cases.register([entry("a", Role.UNLABELLED, signature="2")])
    back = ledger.cases.get("a")
    assert (back.role, back.state, back.reason, back.pixel_sha256) == (Role.TEST, CaseState.READY, None, MASK)


def test_a_mask_that_was_drawn_anew_is_taken_for_a_masked_case(ledger, entry):
    ledger.cases.register([entry("a", Role.PIXEL, pixel_sha256=MASK)])
    ledger.cases.register([entry("a", Role.PIXEL, pixel_sha256="f" * 64)])
    assert ledger.cases.get("a").pixel_sha256 == "f" * 64


def test_what_is_set_aside_is_listed_cases_first_and_not_counted(ledger, entry):
    ledger.cases.register([entry("b"), entry("a")])
    ledger.cases.set_aside("b", "b.nii: is truncated")
    ledger.cases.note_rows_set_aside([("cases.csv line 3", "names no case")])
    assert ledger.cases.list_set_aside() == [("b", "b.nii: is truncated"), ("cases.csv line 3", "names no case")]
    assert ledger.cases.ids() == ["a"]
    assert ledger.cases.count_by_role() == {"pixel": 0, "image": 0, "test": 0, "unlabelled": 1}
    ledger.cases.note_rows_set_aside([])
    assert ledger.cases.list_set_aside() == [("b", "b.nii: is truncated")]


def test_setting_aside_twice_keeps_the_first_reason(ledger, entry):
    ledger.cases.register([entry("a")])
    ledger.cases.set_aside("a", "is truncated")
    head = ledger.audit.head()
    ledger.cases.set_aside("a", "is gone")
    assert (ledger.cases.get("a").reason, ledger.audit.head()) == ("is truncated", head)


def test_cases_are_read_page_by_page_without_loss(ledger, entry):
    ids = [f"{number:05d}" for number in range(2001)]
    ledger.cases.register([entry(case_id) for case_id in ids])
    assert [case.case_id for case in ledger.cases.iterate()] == ids


def test_cases_are_read_by_role_and_state(ledger, entry):
    ledger.cases.register([entry("a"), entry("b", Role.IMAGE), entry("c", reason="is truncated")])
    assert [case.case_id for case in ledger.cases.iterate(roles=[Role.IMAGE])] == ["b"]
    assert [case.case_id for case in ledger.cases.iterate(state=None)] == ["a", "b", "c"]
    assert ledger.cases.any_of(Role.IMAGE)
    assert not ledger.cases.any_of(Role.TEST)


def test_an_expert_mask_ends_the_case_s_proposals(reviewing):
    reviewing.queue.next("me", now=0, lease_seconds=60)
    reviewing.cases.promote_to_pixel("a", reviewer="x", sha256=MASK)
    case = reviewing.cases.get("a")
    assert (case.role, case.pixel_sha256, case.has_expert_mask) == (Role.PIXEL, MASK, True)
    assert reviewing.queue.count() == 2
    assert reviewing.queue.next("me", now=1, lease_seconds=60) == "b"
    with pytest.raises(UnknownCase):
        reviewing.cases.promote_to_pixel("x", reviewer="x", sha256=MASK)


def test_notes_on_images_and_labels_are_merged(ledger, entry):
    ledger.cases.register([entry("a")])
    ledger.cases.update_info("a", {"strategy": 1})
    ledger.cases.update_info("a", {"ts": 2})
    assert ledger.cases.get("a").info == {"strategy": 1, "ts": 2}
    ledger.cases.update_label_note("a", "final", {"status": "approved"})
    ledger.cases.update_label_note("a", "final", {"level": "easy"})
    assert ledger.cases.label_note("a", "final") == {"status": "approved", "level": "easy"}
    assert ledger.cases.label_note("a", "rejected") == {}
    with pytest.raises(UnknownCase):
        ledger.cases.update_info("x", {})


def test_cases_are_told_by_their_labels(reviewing, give):
    give(reviewing, "b", REJECT)
    give(reviewing, "c", ACCEPT, (1,))
    assert reviewing.cases.ids(tag="rejected", labelled=True) == ["b", "c"]
    assert reviewing.cases.ids(tag="final", labelled=False) == ["a", "b"]


def test_labels_are_counted_from_verdicts_and_expert_masks(reviewing, give):
    assert reviewing.cases.count_labels() == (3, 0)
    verdict = give(reviewing, "a")
    give(reviewing, "b", REJECT)
    reviewing.cases.promote_to_pixel("c", reviewer="x", sha256=MASK)
    assert reviewing.cases.count_labels() == (3, 2)
    reviewing.judgements.withdraw(Actor("ann", "slicer"), verdict.verdict_id)
    assert reviewing.cases.count_labels() == (3, 1)


def test_before_the_first_round_any_image_without_a_mask_can_be_drawn(ledger, entry):
    ledger.cases.register([entry("p", Role.PIXEL, pixel_sha256=MASK), entry("t", Role.TEST), entry("b"), entry("a")])
    roles = [Role.IMAGE, Role.UNLABELLED]
    assert ledger.cases.unlabelled(roles=roles, first=True) == "a"
    assert ledger.cases.unlabelled(roles=roles, first=False) in ("a", "b")
    assert ledger.cases.unlabelled(roles=[Role.PIXEL], first=True) is None


def test_the_validation_share_is_locked_on_its_cases(ledger, entry):
    ledger.cases.register([entry("a"), entry("b")])
    ledger.cases.lock_validation(["b"])
    assert [case.validation for case in ledger.cases.iterate()] == [False, True]
    ledger.cases.register([entry("a", signature="2"), entry("b", signature="2")])
    assert [case.validation for case in ledger.cases.iterate()] == [False, True]
