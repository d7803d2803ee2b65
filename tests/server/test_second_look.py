"""A rejected mask that comes once more, as every client sees it."""

import dataclasses
import json

import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.expand.second_chances import propose_second_chances
from recursive_expand.expand.steps import Step
from recursive_expand.server.conductor import Conductor
from recursive_expand.server.status import read_status


def propose_second(recursion, unchanged_dice=1.0):
    round_ = recursion.ledger.rounds.current()
    config = recursion.settings.changed(second_chance="stricter", unchanged_dice=unchanged_dice).round_config()
    return propose_second_chances(recursion, dataclasses.replace(round_, config=config))


@pytest.fixture
def judge(client, app):
    def _judge(case_id, verdict, reviewer="ann"):
        sha256 = app.recursion.ledger.proposals.current(case_id).sha256
        body = {"case_id": case_id, "proposal": sha256, "verdict": verdict, "reviewer": reviewer}
        answer = client.post("/recursive/verdicts", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return _judge


@pytest.fixture
def again(app, judge):
    """Ann rejects u0, accepts the rest, and u0 comes once more; returns (its first, its second proposal)."""
    recursion = app.recursion
    first = recursion.ledger.proposals.current("u0")
    for proposal, _ in recursion.ledger.queue.page(now=0):
        judge(proposal.case_id, "reject" if proposal.case_id == "u0" else "accept")
    assert propose_second(recursion) == 1
    return first, recursion.ledger.proposals.current("u0")


def test_every_client_is_served_it_and_told(client, app, again):
    first, second = again
    assert second.sha256 != first.sha256
    [item] = client.get("/recursive/desk/items?reviewer=ann").json()
    assert (item["case_id"], item["proposal"], item["second_look"]) == ("u0", second.sha256, True)
    [queued] = client.get("/recursive/queue").json()
    assert (queued["proposal"], queued["second_look"]) == (second.sha256, True)
    assert client.post("/activelearning/recursive_expand", json={"client_id": "bob"}).json()["id"] == "u0"
    # The stock modules read it under its round.
    assert client.get("/datastore/label?label=u0&tag=version_0").status_code == 200
    path = app.recursion.workspace.root / second.file
    assert read_label(path).sha256 == second.sha256
    listed = client.get("/datastore/?output=all").json()["objects"]["u0"]["labels"]
    assert [tag for tag in listed if tag.startswith("version_")] == ["version_0"]
    assert listed["version_0"]["info"]["segmentationMeta"]["status"] == ""  # it waits


def test_the_status_counts_first_and_second_looks_apart(client, again, judge):
    status = client.get("/recursive/status").json()
    assert (status["state"], status["undecided"]) == ("reviewing", 1)
    assert status["message"] == "1 rejected proposals wait for a second look"
    assert status["verdicts"] == {"accept": 2, "reject": 1, "accepted_slices": 5, "rejected_slices": 3}
    assert (status["proposals"]["decided"], status["second_looks"]["proposals"]["open"]) == (3, 1)
    answer = judge("u0", "accept")
    assert answer["second_look"] is True
    assert client.get("/recursive/status").json()["second_looks"]["verdicts"]["accept"] == 1
    [round_] = client.get("/recursive/rounds").json()
    slices = len(answer["accepted_slices"])
    assert (round_["accepted"], round_["rejected"], round_["accepted_slices"]) == (2, 1, 5)
    assert (round_["second_chances"]["accept"], round_["second_chances"]["accepted_slices"]) == (1, slices)
    assert round_["new"] == 5 + slices


def test_earlier_proposals_are_shown_only_after_the_second_verdict(client, again, judge):
    first, _ = again
    assert client.get("/recursive/desk/earlier?case_id=u0&reviewer=ann").status_code == 409
    judge("u0", "reject")
    [earlier] = client.get("/recursive/desk/earlier?case_id=u0&reviewer=ann").json()
    assert (earlier["proposal"], earlier["state"]) == (first.sha256, "decided")


def test_the_stock_reviewer_judges_it_under_the_round_s_label(client, app, again):
    meta = {"status": "approved", "approvedBy": "ann", "level": "", "comment": "", "editTime": 1}
    said = {"params": json.dumps({"segmentationMeta": meta})}
    sent = client.put("/datastore/updatelabelinfo", params={"label": "u0", "tag": "version_0"}, data=said)
    assert sent.status_code == 200, sent.text
    given = [(one.chance, one.verdict) for one in app.recursion.ledger.judgements.of_case("u0")]
    assert given == [(0, "reject"), (1, "accept")]


def test_what_the_stock_reviewer_repeats_of_the_first_look_is_no_verdict_on_the_second(client, app, judge):
    recursion = app.recursion

    def flag(edited):
        meta = {"status": "flagged", "approvedBy": "ann", "level": "", "comment": "", "editTime": edited}
        said = {"params": json.dumps({"segmentationMeta": meta})}
        sent = client.put("/datastore/updatelabelinfo", params={"label": "u0", "tag": "version_0"}, data=said)
        assert sent.status_code == 200, sent.text
        return sent.json()["verdict_id"]

    rejection = flag(1)
    for proposal, _ in recursion.ledger.queue.page(now=0):
        judge(proposal.case_id, "accept")
    propose_second(recursion)
    assert flag(1) == rejection
    assert recursion.ledger.proposals.current("u0").state == "open"
    assert flag(2) > rejection  # said of the second
    assert [one.chance for one in recursion.ledger.judgements.of_case("u0")] == [0, 1]


def test_of_earlier_proposals_nothing_is_shown_that_came_after_or_was_never_there(client, app, judge):
    judge("u0", "reject")
    for proposal, _ in app.recursion.ledger.queue.page(now=0):
        judge(proposal.case_id, "accept")
    assert propose_second(app.recursion, unchanged_dice=0.01) == 0  # hardly less is left: nobody is asked
    assert len(app.recursion.ledger.proposals.of_case("u0")) == 2
    assert client.get("/recursive/desk/earlier?case_id=u0&reviewer=ann").json() == []


def test_a_rejection_taken_back_takes_it_along(client, app, again, judge):
    rejection = app.recursion.ledger.judgements.of_case("u0")[0]
    judge("u0", "accept", reviewer="bob")
    assert client.delete(f"/recursive/verdicts/{rejection.verdict_id}?reviewer=ann").status_code == 200
    assert app.recursion.ledger.judgements.of_case("u0") == []
    [item] = client.get("/recursive/desk/items?reviewer=ann").json()
    assert (item["proposal"], item["second_look"]) == (again[0].sha256, False)
    assert not (app.recursion.archive.studies / "labels" / "final" / "u0.nii.gz").exists()


def test_the_conductor_proposes_them_when_everything_was_seen_once(app, judge, monkeypatch):
    recursion = app.recursion
    asked = recursion.settings.changed(second_chance="stricter", unchanged_dice=1.0)
    monkeypatch.setattr(type(recursion), "under", lambda self, _round: dataclasses.replace(self, settings=asked))
    conductor = Conductor(recursion)
    conductor.indexing = False
    cases = [proposal.case_id for proposal, _ in recursion.ledger.queue.page(now=0)]
    for case_id in cases:
        conductor._guard(conductor._look)
        assert recursion.ledger.queue.count(chance=1) == 0
        judge(case_id, "reject")
    assert read_status(recursion, conductor).step is Step.SECOND_CHANCES
    conductor._guard(conductor._look)
    assert (conductor.problem, read_status(recursion, conductor).step) == (None, Step.REVIEW)
    assert recursion.ledger.queue.count(chance=1) == len(cases)
