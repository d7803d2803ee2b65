"""MONAILabelReviewer's list and its approvals: what it reads back is what the ledger holds."""

import json

import numpy as np
import pytest

from recursive_expand.ledger import Actor

KEYS = {"status", "approvedBy", "level", "comment", "editTime"}


@pytest.fixture
def say(client):
    """What the module sends when its user turns a page."""

    def _say(status, *, case_id="u0", tag="version_0", by="ann", **changed):
        meta = {"status": status, "approvedBy": by, "level": "", "comment": "", "editTime": 1700000000} | changed
        params = json.dumps({"segmentationMeta": {key: value for key, value in meta.items() if value is not None}})
        return client.put("/datastore/updatelabelinfo", params={"label": case_id, "tag": tag}, data={"params": params})

    return _say


@pytest.fixture
def labels(client):
    """A case's labels as the module finds them."""

    def _labels(case_id="u0"):
        return client.get("/datastore/?output=all").json()["objects"][case_id]["labels"]

    return _labels


def standing(app, case_id="u0"):
    return [(one.reviewer, one.client, one.verdict) for one in app.recursion.ledger.judgements.of_case(case_id)]


def shown(found):
    """(tag, meta) of the one label that the module shows."""
    [(tag, meta)] = [(tag, each["info"][META]) for tag, each in found.items() if META in each["info"]]
    assert set(meta) == KEYS
    return tag, meta


META = "segmentationMeta"


def test_every_listed_case_is_one_that_the_module_can_load(labels, client, submit, proposed):
    submit("i0", proposed("i0"))
    for case_id, case in client.get("/datastore/?output=all").json()["objects"].items():
        tag, _ = shown(case["labels"])
        assert "final" in case["labels"] and case["labels"]["final"]["info"]["name"] == f"{case_id}.nii.gz"
        assert client.get("/datastore/label", params={"label": case_id, "tag": tag}).status_code == 200
    assert shown(labels("u0"))[0] == "version_0"
    assert shown(labels("i0"))[0] == shown(labels("p0"))[0] == "final"
    # An entry `final` of a proposal that nobody accepted is no file.
    assert client.get("/datastore/label?label=u0&tag=final").status_code == 404


@pytest.mark.parametrize(
    ("status", "verdict", "tag"), [("approved", "accept", "final"), ("flagged", "reject", "version_0")]
)
def test_a_status_is_a_verdict(say, app, labels, status, verdict, tag):
    app.conductor._wake.clear()
    answer = say(status, comment="thin", level="hard")
    assert (answer.status_code, answer.json()["verdict"]) == (200, verdict)
    assert standing(app) == [("ann", "MONAILabelReviewer", verdict)]
    assert app.recursion.ledger.judgements.of_case("u0")[0].comment == "thin"
    assert app.conductor._wake.is_set()
    where, meta = shown(labels())
    assert (where, meta["status"], meta["approvedBy"], meta["comment"]) == (tag, status, "ann", "thin")
    assert say(status).json()["verdict_id"] == answer.json()["verdict_id"]


def test_the_other_button_of_the_same_reader_changes_the_verdict(say, app):
    for time, (status, tag, verdict) in enumerate(
        [
            ("flagged", "version_0", "reject"),
            ("approved", "version_0", "accept"),
            ("flagged", "final", "reject"),
            ("approved", "version_0", "accept"),
        ]
    ):
        assert say(status, tag=tag, editTime=time).json()["verdict"] == verdict
        assert standing(app) == [("ann", "MONAILabelReviewer", verdict)]
    assert say("flagged", by="bob").status_code == 409
    assert standing(app) == [("ann", "MONAILabelReviewer", "accept")]
    assert app.recursion.ledger.audit.verify() is None


def test_what_another_label_of_the_case_had_changes_nothing(say, app):
    say("flagged", editTime=1)
    say("approved", tag="original", editTime=2)
    assert say("flagged", editTime=1).json()["verdict"] == "accept"
    assert standing(app) == [("ann", "MONAILabelReviewer", "accept")]


def test_turning_pages_says_nothing(say, app, labels):
    assert say("").json() == {}
    assert say("not segmented").json() == {}
    assert standing(app) == []
    # Another reader is not led by it.
    assert shown(labels())[1] == dict.fromkeys(KEYS, "")


def test_an_echo_of_an_accepted_case_keeps_its_rejected_slices(say, app, submit, proposed):
    mask = proposed("u0")
    mask[:, :, 1] = 0
    submit("u0", mask, reviewer="ann")
    assert say("approved", tag="final").status_code == 200
    [verdict] = app.recursion.ledger.judgements.of_case("u0")
    assert verdict.rejected_slices == (1,)


def test_an_old_page_does_not_judge_a_newer_proposal(say, app, submit, proposed, freeze, next_round, labels):
    mask = proposed("u0")
    mask[:, :, 1] = 0
    submit("u0", mask, reviewer="ann")
    next_round()
    freeze(app.recursion, "u0", np.roll(proposed("u0").T, 5, axis=1).copy(), round_index=1)
    assert shown(labels())[0] == "version_1"
    assert say("approved", tag="final").status_code == 200
    assert app.recursion.ledger.proposals.current("u0").state == "open"
    answer = say("flagged", tag="version_0")
    assert answer.status_code == 409
    assert say("approved", tag="version_1").json()["round"] == 1


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"by": ""}, 422),
        ({"level": None}, 422),
        ({"editTime": None}, 422),
        ({"status": "maybe"}, 422),
        ({"comment": "x" * 2001}, 422),
        ({"tag": "../x"}, 422),
        ({"tag": "rejected"}, 422),
        ({"tag": "version_7"}, 404),
        ({"case_id": "nobody"}, 404),
        ({"case_id": "p0", "tag": "final"}, 409),
        ({"tag": "final"}, 409),
    ],
)
def test_what_cannot_be_taken_leaves_nothing(say, app, labels, changed, status):
    before = labels()
    answer = say(**{"status": "approved", **changed})
    assert (answer.status_code, standing(app)) == (status, [])
    assert labels() == before
    assert app.recursion.ledger.cases.label_note("u0", "version_0") == {}


def test_a_note_by_another_way_does_not_reach_the_list(client, labels):
    client.put(
        "/datastore/label/info?label=u0&tag=version_0", data={"info": json.dumps({META: {"status": "approved"}})}
    )
    client.put("/datastore/label/info?label=p0&tag=final", data={"info": json.dumps({META: 3})})
    assert shown(labels())[1] == shown(labels("p0"))[1] == dict.fromkeys(KEYS, "")


def test_a_verdict_taken_back_elsewhere_can_be_given_again(say, app):
    verdict_id = say("approved").json()["verdict_id"]
    app.recursion.ledger.judgements.withdraw(Actor("ann", "desk"), verdict_id)
    assert say("approved").json()["verdict_id"] != verdict_id
    assert len(standing(app)) == 1
