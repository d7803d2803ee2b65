"""Our routes under /recursive."""

import pytest

from recursive_expand.ledger import Ledger, RoundState, VerdictKind


@pytest.fixture
def post(client, app):
    """POST a verdict on a case's current proposal; fields can be replaced or added."""

    def _post(case_id="u0", verdict="accept", **fields):
        current = app.recursion.ledger.proposals.current(case_id)
        sha256 = current.sha256 if current else "0" * 64
        body = {"case_id": case_id, "proposal": sha256, "verdict": verdict, "client": "viewer"}
        return client.post("/recursive/verdicts", json=body | fields)

    return _post


def test_a_verdict_is_answered_once_it_is_on_disk(post, app, reviewing):
    answer = post(rejected_slices=[1], reviewer="ann", reason="motion", comment="ü", seconds=2.5, client="viewer")
    assert answer.status_code == 201
    other = Ledger(reviewing.workspace.ledger)
    [record] = other.judgements.of_case("u0")
    other.close()
    assert answer.json() == {
        "id": record.verdict_id,
        "case_id": "u0",
        "round": 0,
        "proposal": record.proposal_sha256,
        "model_sha256": app.recursion.ledger.rounds.current_model()[1],
        "verdict": "accept",
        "accepted_slices": [0, 2],
        "rejected_slices": [1],
        "reviewer": "ann",
        "client": "viewer",
        "authenticated": False,
        "reason": "motion",
        "comment": "ü",
        "seconds": 2.5,
        "ts": record.ts,
        "used_by": None,
        "withdrawn": None,
        "tool": None,
        "second_look": False,
    }
    assert (app.recursion.archive.studies / "labels" / "final" / "u0.nii.gz").is_file()
    assert (app.recursion.archive.studies / "labels" / "rejected" / "u0.nii.gz").is_file()


def test_resending_is_harmless(post):
    first = post()
    assert post().json() == first.json()
    assert post().status_code == 201


def test_a_verdict_wakes_the_conductor(post, app):
    app.conductor._wake.clear()
    post()
    assert app.conductor._wake.is_set()


def test_a_case_decided_by_someone_else_says_by_whom(post):
    post(reviewer="ann")
    answer = post(verdict="reject", reviewer="bob")
    assert answer.status_code == 409
    assert "already decided (accept) by ann" in answer.json()["detail"]


def test_reject_may_name_every_slice(post, app):
    slices = list(app.recursion.ledger.proposals.current("u0").slices)
    answer = post(verdict="reject", rejected_slices=slices)
    assert (answer.status_code, answer.json()["rejected_slices"]) == (201, slices)


def test_unknown_and_stale(client, post):
    body = {"case_id": "nobody", "proposal": "0" * 64, "verdict": "accept", "reviewer": "ann"}
    assert client.post("/recursive/verdicts", json=body).status_code == 404
    stale = post(proposal="0" * 64)
    assert (stale.status_code, "is stale: round 0 proposes" in stale.json()["detail"]) == (409, True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"verdict": "maybe"}, "verdict"),
        ({"proposal": ""}, "proposal"),
        ({"case_id": None}, "case_id"),
        ({"rejected_slices": [-1]}, "rejected_slices"),
        ({"seconds": -1}, "seconds"),
        ({"comment": "x" * 2001}, "comment"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_field_is_named(post, app, fields, field):
    answer = post(**fields)
    assert answer.status_code == 422
    assert [error["loc"][:2] for error in answer.json()["detail"]] == [["body", field]]
    assert app.recursion.ledger.judgements.of_case("u0") == []


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (
            {"rejected_slices": [1, 7]},
            "rejected_slices: slices [7] have no mask in this proposal; those that have: [0, 1, 2]",
        ),
        (
            {"rejected_slices": [0], "verdict": "reject"},
            "rejected_slices: names some slices, but reject rejects all of them; to reject some, send accept",
        ),
    ],
)
def test_slices_that_do_not_fit_the_proposal_are_named(post, app, fields, line):
    answer = post(**fields)
    assert (answer.status_code, answer.json()) == (422, {"detail": line})
    assert app.recursion.ledger.judgements.of_case("u0") == []


@pytest.mark.parametrize("seconds", ["Infinity", "NaN"])
def test_numbers_that_json_does_not_have_are_refused(client, app, seconds):
    sha256 = app.recursion.ledger.proposals.current("u0").sha256
    body = f'{{"case_id": "u0", "proposal": "{sha256}", "verdict": "accept", "seconds": {seconds}}}'
    answer = client.post("/recursive/verdicts", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"][:5]) == (422, "body:")
    assert app.recursion.ledger.judgements.of_case("u0") == []


def test_a_verdict_taken_back(client, post, app):
    verdict_id = post(reviewer="ann").json()["id"]
    path = f"/recursive/verdicts/{verdict_id}"
    unnamed = client.delete(path)
    assert (unnamed.status_code, unnamed.json()["detail"]) == (
        422, "who are you? give a reviewer's name; a verdict can be taken back by the one who gave it",
    )  # fmt: skip
    refused = client.delete(path, params={"reviewer": "bob"})
    assert (refused.status_code, "only they can take it back" in refused.json()["detail"]) == (403, True)
    answer = client.delete(path, params={"reviewer": "ann"})
    assert (answer.status_code, answer.json()["withdrawn"] is not None) == (200, True)
    assert not (app.recursion.archive.studies / "labels" / "final" / "u0.nii.gz").exists()
    assert client.get("/recursive/status").json()["undecided"] == 3
    assert client.delete("/recursive/verdicts/999?reviewer=ann").status_code == 404


def test_a_verdict_of_a_closed_round_cannot_be_taken_back(client, post, app):
    verdict_id = post().json()["id"]
    app.recursion.ledger.rounds.close_review(0, converged=False, report={})
    assert client.delete(f"/recursive/verdicts/{verdict_id}?reviewer=viewer").status_code == 409


def test_a_verdict_stands_though_its_label_cannot_be_written(post, app):
    (app.recursion.archive.studies / "u0.nii.gz").unlink()
    assert post().status_code == 201
    assert app.recursion.ledger.outbox.count().waiting == 1


def test_the_queue_names_who_has_what(client):
    taken = client.post("/activelearning/recursive_expand", json={"client_id": "ann"}).json()["id"]
    queue = client.get("/recursive/queue").json()
    assert [entry["client"] for entry in queue] == ["ann", None, None]
    assert queue[0]["case_id"] == taken
    said = {"case_id", "proposal", "round", "second_look", "slices", "voxels", "confidence", "score", "client"}
    assert queue[0].keys() == said
    assert [entry["case_id"] for entry in client.get("/recursive/queue?limit=1&offset=1").json()] == [
        queue[1]["case_id"]
    ]
    assert client.get("/recursive/queue?limit=0").status_code == 422


def test_a_round_can_be_asked_for(client, app):
    assert client.post("/recursive/rounds").status_code == 409
    [first, *_] = client.get("/recursive/queue").json()
    body = {"case_id": first["case_id"], "proposal": first["proposal"], "verdict": "accept", "reviewer": "x"}
    assert client.post("/recursive/verdicts", json=body).status_code == 201
    answer = client.post("/recursive/rounds")
    assert (answer.status_code, answer.json()["round"]) == (202, 1)
    assert app.conductor._asked


def test_a_reader_may_end_the_recursion_and_go_on_later(client, app):
    assert client.post("/recursive/end").json()["message"] == "the recursion ended with round 0"
    status = client.get("/recursive/status").json()
    assert (status["state"], status["step"], status["undecided"]) == ("converged", "converged", 3)
    assert status["message"] == "the recursion was ended; POST /recursive/rounds goes on with what was accepted"
    assert client.post("/recursive/end").status_code == 409
    assert client.post("/recursive/rounds").status_code == 409  # nothing was accepted
    [first, *_] = client.get("/recursive/queue").json()
    body = {"case_id": first["case_id"], "proposal": first["proposal"], "verdict": "accept", "reviewer": "x"}
    assert client.post("/recursive/verdicts", json=body).status_code == 201
    assert client.post("/recursive/rounds").status_code == 202


def test_the_openapi_document_describes_the_routes(client):
    document = client.get("/openapi.json").json()
    assert {path: set(document["paths"][path]) for path in document["paths"] if path.startswith("/recursive")} == {
        "/recursive/verdicts": {"post"},
        "/recursive/verdicts/{verdict_id}": {"delete"},
        "/recursive/status": {"get"},
        "/recursive/rounds": {"get", "post"},
        "/recursive/end": {"post"},
        "/recursive/queue": {"get"},
        "/recursive/outbox/retry": {"post"},
        "/recursive/desk/state": {"get"},
        "/recursive/desk/items": {"get"},
        "/recursive/desk/pixels": {"get"},
        "/recursive/desk/leases": {"post"},
        "/recursive/desk/leases/release": {"post"},
        "/recursive/desk/verdicts": {"post"},
        "/recursive/desk/verdicts/{client_verdict_id}": {"delete"},
        "/recursive/desk/earlier": {"get"},
        "/recursive/desk/given": {"get"},
        "/recursive/desk/acceptance": {"get"},
        "/recursive/desk/events": {"get"},
        "/recursive/ohif/overlay": {"get"},
    }
    assert set(document["paths"]["/recursive/verdicts"]["post"]["responses"]) == {"201", "404", "409", "422"}
    assert list(document["paths"]).count("/infer/{model}") == 1  # the threaded twins do not show


@pytest.mark.parametrize(("method", "path"), [("post", "/reload"), ("put", "/model/recursive_ich")])
def test_stock_routes_that_would_let_anybody_in_are_closed(client, method, path):
    assert getattr(client, method)(path).status_code == 403


def test_rejecting_everything_is_known_to_the_ledger(post, app):
    post(verdict="reject")
    assert app.recursion.ledger.judgements.of_case("u0")[0].verdict is VerdictKind.REJECT
    assert app.recursion.ledger.rounds.current().state is RoundState.REVIEWING


def test_why_no_round_begins_is_in_the_status_until_one_is_asked_for(client, post, app):
    app.conductor.hold("the ledger is not as it was recorded: event 3 was changed")
    assert client.get("/recursive/status").json()["last_error"] == app.conductor.held
    post()
    assert client.post("/recursive/rounds").status_code == 202
    assert client.get("/recursive/status").json()["last_error"] is None
