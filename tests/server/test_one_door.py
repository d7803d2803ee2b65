"""PUT /datastore/label and POST /recursive/verdicts take, refuse and answer a verdict alike."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.cases import LabelMap
from recursive_expand.expand import judging
from recursive_expand.ledger import Actor, VerdictKind

GEOMETRY = np.diag([-4.0, -4.0, 5.0, 1.0])
SHAPE = (48, 48, 3)


@pytest.fixture(params=["PUT label", "POST verdict"])
def say(request, client, app):
    """Give a verdict through either door; `mask` is what was looked at, the case's current proposal if not given."""

    def _say(case_id, verdict="accept", *, rejected=(), mask=None, **who):
        current = app.recursion.ledger.proposals.current(case_id)
        label = mask
        if label is None and current is not None:
            label = read_label(app.recursion.workspace.root / current.file)
        if request.param == "POST verdict":
            body = {"case_id": case_id, "proposal": label.sha256 if label else "0" * 64, "verdict": verdict}
            return client.post("/recursive/verdicts", json=body | {"rejected_slices": list(rejected)} | who)
        native = np.zeros(SHAPE, np.uint8) if label is None or verdict == "reject" else label.native.copy()
        native[:, :, list(rejected)] = 0
        content = nib.Nifti1Image(native, GEOMETRY).to_bytes()
        return client.put(
            "/datastore/label",
            params={"image": case_id},
            data={"params": json.dumps(who)},
            files={"label": ("m.nii", content)},
        )

    return _say


def refusal(answer):
    return answer.status_code, answer.json()["detail"]


def standing(app, case_id="u0"):
    return [
        (one.reviewer, one.verdict, one.rejected_slices) for one in app.recursion.ledger.judgements.of_case(case_id)
    ]


@pytest.mark.parametrize(
    ("verdict", "rejected", "recorded"),
    [("accept", (), ()), ("accept", (1,), (1,)), ("reject", (), (0, 1, 2))],
)
def test_what_is_taken(say, app, verdict, rejected, recorded):
    assert say("u0", verdict, rejected=rejected, reviewer="ann").status_code in (200, 201)
    assert standing(app) == [("ann", verdict, recorded)]
    assert say("u0", verdict, rejected=rejected, reviewer="ann").status_code in (200, 201)
    assert len(standing(app)) == 1


def test_an_unknown_case(say):
    line = "there is no case 'nobody' in this study; GET /datastore/?output=all lists them"
    assert refusal(say("nobody", reviewer="ann")) == (404, line)


@pytest.mark.parametrize(("case_id", "role"), [("p0", "pixel"), ("t0", "test")])
def test_a_case_with_an_expert_mask(say, case_id, role):
    line = f"case '{case_id}' has an expert mask (role {role}); it takes no verdicts"
    assert refusal(say(case_id, reviewer="ann")) == (409, line)


def test_a_case_whose_mask_an_expert_drew_meanwhile(say, app):
    app.recursion.ledger.cases.promote_to_pixel("u0", reviewer="bob", sha256="0" * 64)
    line = "case 'u0' has an expert mask (role pixel); it takes no verdicts"
    assert refusal(say("u0", reviewer="ann")) == (409, line)


def test_a_case_without_a_proposal(say, app, client):
    content = (app.recursion.archive.studies / "u0.nii.gz").read_bytes()
    client.put("/datastore/image?image=new", files={"file": ("new.nii.gz", content)})
    assert refusal(say("new", reviewer="ann")) == (409, "case 'new' has no proposal yet; POST /infer makes one")


def test_a_proposal_that_a_newer_round_replaced(say, app, proposed, freeze, next_round):
    old = LabelMap(proposed("u0"), app.recursion.volume("u0").geometry)
    next_round()
    freeze(app.recursion, "u0", np.roll(old.slices, 5, axis=1).copy(), round_index=1)
    status, line = refusal(say("u0", mask=old, reviewer="ann"))
    assert status == 409
    assert "fetch it and judge that one" in line
    assert standing(app) == []


def test_somebody_decided_otherwise(say, app):
    say("u0", "accept", reviewer="bob")
    status, line = refusal(say("u0", "reject", reviewer="ann"))
    assert status == 409
    assert line.startswith("this proposal of case 'u0' was already decided (accept) by bob at ")
    assert standing(app) == [("bob", "accept", ())]


def test_the_same_from_somebody_else_is_not_theirs(say, app):
    say("u0", "accept", reviewer="bob")
    assert say("u0", "accept", reviewer="ann").status_code == 409
    assert standing(app) == [("bob", "accept", ())]


def test_a_changed_mind_is_told_the_way(say, app):
    say("u0", "accept", reviewer="ann")
    verdict_id = app.recursion.ledger.judgements.of_case("u0")[0].verdict_id
    status, line = refusal(say("u0", "reject", reviewer="ann"))
    assert status == 409
    assert line.endswith(f"; take verdict {verdict_id} back first")


def test_nobody(say, app):
    assert refusal(say("u0"))[0] == 422
    assert refusal(say("u0"))[1].startswith("who are you? give a reviewer's name")
    assert standing(app) == []


@pytest.mark.parametrize(
    ("field", "value"), [("reason", "x" * 201), ("comment", "x" * 2001), ("seconds", -1), ("seconds", "soon")]
)
def test_what_is_said_along_with_it_is_held_to_the_same_limits(say, app, field, value):
    answer = say("u0", reviewer="ann", **{field: value})
    assert answer.status_code == 422
    assert [fault["loc"][-1] for fault in answer.json()["detail"]] == [field]
    assert standing(app) == []


def test_what_is_said_along_with_it_is_kept(say, app):
    assert say("u0", reviewer="ann", reason="motion", comment="ü", seconds=2).status_code in (200, 201)
    [verdict] = app.recursion.ledger.judgements.of_case("u0")
    assert (verdict.reason, verdict.comment, verdict.seconds) == ("motion", "ü", 2.0)


def test_the_conductor_wakes(say, app):
    app.conductor._wake.clear()
    say("u0", reviewer="ann")
    assert app.conductor._wake.is_set()


def test_a_client_is_told_of_its_own_verdict_whatever_comes_in_between(say, app, monkeypatch):
    given = []

    def deliver(recursion, case_id):
        monkeypatch.setattr(judging, "deliver", real)
        [mine] = recursion.ledger.judgements.of_case(case_id)
        given.append(mine.verdict_id)
        recursion.ledger.judgements.withdraw(Actor("ann", "x"), mine.verdict_id)
        current = recursion.ledger.proposals.current(case_id)
        other = recursion.ledger.judgements.give(Actor("bob", "x"), case_id, current.sha256, VerdictKind.REJECT)
        given.append(other.verdict_id)
        return real(recursion, case_id)

    real = judging.deliver
    monkeypatch.setattr(judging, "deliver", deliver)
    answer = say("u0", "accept", rejected=(2,), reviewer="ann").json()
    assert (answer["verdict"], answer["rejected_slices"]) == ("accept", [2])
    assert answer.get("verdict_id", answer.get("id")) == given[0] != given[1]
    assert standing(app) == [("bob", "reject", (0, 1, 2))]


@pytest.mark.parametrize("trouble", ["image gone", "image unreadable", "labels read-only", "proposal damaged"])
def test_a_durable_verdict_is_never_refused_and_its_label_waits(
    say, client, app, monkeypatch, tmp_path, request, trouble
):
    recursion = app.recursion
    final = recursion.archive.studies / "labels" / "final"
    image = recursion.archive.studies / "u0.nii.gz"
    kept = tmp_path / "kept"
    frozen = recursion.workspace.root / recursion.ledger.proposals.current("u0").file

    real = judging.deliver

    def at_that_moment(deliver_recursion, case_id):
        if trouble == "image gone":
            image.rename(kept)
        elif trouble == "image unreadable":
            shutil.copy(image, kept)
            image.unlink()
            image.mkdir()
        elif trouble == "proposal damaged":
            frozen.rename(kept)
            frozen.write_bytes(b"nonsense")
        else:
            final.rename(kept)
            final.write_bytes(b"")  # permissions do not stop root
        return real(deliver_recursion, case_id)

    monkeypatch.setattr(judging, "deliver", at_that_moment)
    answer = say("u0", "accept", reviewer="ann")
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["verdict"] == "accept"
    assert standing(app) == [("ann", "accept", ())]
    outbox = client.get("/recursive/status").json()["outbox"]
    assert (outbox["waiting"], outbox["failing"], outbox["sent"]) == (1, 1, 0)
    assert outbox["error"]
    assert str(tmp_path) not in outbox["error"]
    # Sent again, it is the same verdict still.
    monkeypatch.setattr(judging, "deliver", real)
    if trouble in ("image gone", "labels read-only"):
        again = say("u0", "accept", reviewer="ann")
        assert again.status_code in (200, 201)
        assert len(standing(app)) == 1

    if trouble == "image unreadable":
        image.rmdir()
        kept.rename(image)
    else:
        place = {"image gone": image, "proposal damaged": frozen, "labels read-only": final}[trouble]
        if trouble == "labels read-only":
            place.unlink()
        kept.replace(place)
    app.conductor._wake.clear()
    answer = client.post("/recursive/outbox/retry")
    assert (answer.status_code, answer.json()["waiting"]) == (200, 1)
    assert app.conductor._wake.is_set()
    app.conductor._look()
    assert client.get("/recursive/status").json()["outbox"] == {"waiting": 0, "failing": 0, "sent": 1, "error": None}
    assert read_label(final / "u0.nii.gz").sha256 == recursion.ledger.proposals.current("u0").sha256
