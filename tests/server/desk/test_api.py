"""The desk's routes: items without leases, pixels as bytes, leases, verdicts that can be sent again."""

import json

import numpy as np
import pytest
from monailabel.config import settings

from recursive_expand.expand.frozen import frozen_label
from recursive_expand.server.desk.pixels import encode, runs

READING = {
    "session": "session-1", "seed": 0, "position": 0, "first_paint": 1000.0, "first_input": None, "decided": 1000.2,
    "visible_seconds": 0.2, "slices_seen": [0, 1], "window_level": 40, "window_width": 80, "zoom": 1, "overlay": True,
    "overlay_off_seconds": 0, "view": "sheet", "input_device": "keyboard", "client_version": "0",
}  # fmt: skip


@pytest.fixture
def post(client, app):
    """POST a verdict of the desk on a case's current proposal."""

    def _post(case_id="u0", client_id="verdict-1", **fields):
        sha256 = app.recursion.ledger.proposals.current(case_id).sha256
        body = {"id": client_id, "case_id": case_id, "proposal": sha256, "verdict": "accept", "reviewer": "ann"}
        return client.post("/recursive/desk/verdicts", json=body | {"client": "desk", "reading": READING} | fields)

    return _post


def decode(content):
    """What the page's `decode` reads."""
    assert content[:8] == b"DESK0001"
    length = int.from_bytes(content[8:12], "little")
    header = json.loads(content[12 : 12 + length])
    shape = (len(header["numbers"]), header["rows"], header["columns"])
    start = 12 + length
    assert start % 8 == 0
    hu = np.frombuffer(content, "<i2", int(np.prod(shape)), start).reshape(shape)
    after = start + hu.nbytes + (-hu.nbytes % 4)
    found = np.frombuffer(content, "<u4", header["runs"] * 3, after).reshape(-1, 3)
    assert after + found.nbytes == len(content)
    mask = np.zeros(hu.size, np.uint8)
    for first, count, value in found:
        mask[first : first + count] = value
    return header, hu, mask.reshape(shape)


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 4, 4)])
def test_pixels_arrive_as_they_were_sent(shape):
    rng = np.random.default_rng(0)
    hu = rng.integers(-1024, 3000, shape).astype(np.int16)
    mask = rng.integers(0, 3, shape).astype(np.uint8)
    numbers = list(range(shape[0]))[::2]
    header, got, marked = decode(encode(hu, mask, numbers, {"note": "ü"}))
    assert header["note"] == "ü" and header["numbers"] == numbers
    np.testing.assert_array_equal(got, hu[numbers])
    np.testing.assert_array_equal(marked, mask[numbers])


def test_an_empty_mask_has_no_runs():
    assert runs(np.zeros((2, 3, 3), np.uint8)).shape == (0, 3)
    assert runs(np.zeros((0, 3, 3), np.uint8)).shape == (0, 3)


def test_items_are_shown_without_a_lease_and_without_what_leads_the_eye(client, app):
    items = client.get("/recursive/desk/items?reviewer=ann").json()
    assert [item["case_id"] for item in items] == [p.case_id for p, _ in app.recursion.ledger.queue.page(now=0)]
    asked = {"case_id", "proposal", "model_sha256", "round", "second_look", "slices", "classes", "image_labels"}
    assert items[0].keys() == asked
    assert [reader for _, reader in app.recursion.ledger.queue.page(now=0)] == [None] * 3
    labels = {item["case_id"]: item["image_labels"] for item in items}
    assert labels["i1"]["0"] == ["intraparenchymal"] and labels["u0"] == {}


def test_a_lease_keeps_a_case_from_others_until_it_is_given_back(client):
    body = {"case_ids": ["u0", "nobody"], "reviewer": "ann", "client": "desk"}
    answer = client.post("/recursive/desk/leases", json=body).json()
    assert answer == {"cases": {"u0": "held", "nobody": "gone"}, "seconds": 900.0}
    assert client.post("/recursive/desk/leases", json=body | {"reviewer": "bob"}).json()["cases"]["u0"] == "taken"
    assert "u0" not in [item["case_id"] for item in client.get("/recursive/desk/items?reviewer=bob").json()]
    assert client.post("/recursive/desk/leases/release", json=body | {"reviewer": "bob"}).json() == {"released": 0}
    assert client.post("/recursive/desk/leases/release", json=body).json() == {"released": 1}
    assert "u0" in [item["case_id"] for item in client.get("/recursive/desk/items?reviewer=bob").json()]
    assert client.post("/recursive/desk/leases", json={"case_ids": ["u0"]}).status_code == 422


def test_slices_and_mask_are_the_cases_own(client, app):
    recursion = app.recursion
    proposal = recursion.ledger.proposals.current("u0")
    query = {"case_id": "u0", "proposal": proposal.sha256}
    answer = client.get("/recursive/desk/pixels", params=query)
    assert answer.headers["cache-control"] == "no-store"
    header, hu, mask = decode(answer.content)
    assert header["numbers"] == list(proposal.slices) and header["slices"] == 3
    label = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes)
    np.testing.assert_array_equal(hu, recursion.volume("u0").hu[list(proposal.slices)])
    np.testing.assert_array_equal(mask, label.slices[list(proposal.slices)])
    part, *_ = decode(
        client.get("/recursive/desk/pixels", params=query | {"which": "all", "first": 1, "count": 1}).content
    )
    assert (part["numbers"], part["total"]) == ([1], 3)
    assert client.get("/recursive/desk/pixels", params=query | {"proposal": "0" * 64}).status_code == 409
    assert client.get("/recursive/desk/pixels", params=query | {"case_id": "nobody"}).status_code == 404


def test_the_same_id_is_the_same_verdict(client, post, app):
    first = post()
    assert (first.status_code, first.json()["client"], first.json()["seconds"]) == (201, "desk", 0.2)
    assert post().json() == first.json()
    facts = app.recursion.ledger.readings.facts(first.json()["id"])
    assert facts.quick and facts.slices_seen == (0, 1)
    taken = client.delete("/recursive/desk/verdicts/verdict-1?reviewer=ann")
    assert (taken.status_code, taken.json()["withdrawn"] is not None) == (200, True)
    assert client.delete("/recursive/desk/verdicts/verdict-1?reviewer=ann").json() == taken.json()
    # What was on its way twice does not come to life again.
    assert post().json()["withdrawn"] is not None
    assert app.recursion.ledger.judgements.of_case("u0") == []
    assert post(client_id="verdict-2", verdict="reject", reason="artefact").status_code == 201
    assert app.recursion.ledger.audit.verify() is None


def test_an_id_belongs_to_one_verdict_and_one_reader(client, post):
    post()
    assert post("i0").status_code == 409
    assert post(reviewer="bob").status_code == 409
    assert client.delete("/recursive/desk/verdicts/verdict-1?reviewer=bob").status_code == 403
    assert client.delete("/recursive/desk/verdicts/verdict-9?reviewer=ann").status_code == 404


@pytest.mark.parametrize(
    "fields", [{"id": "x"}, {"id": "a b c d e f"}, {"reading": {}}, {"reading": READING | {"zoom": 0}}]
)
def test_what_does_not_fit_is_refused(post, app, fields):
    assert post(**fields).status_code == 422
    assert app.recursion.ledger.judgements.of_case("u0") == []


def test_earlier_proposals_are_shown_after_ones_own_verdict_only(client, post):
    assert client.get("/recursive/desk/earlier?case_id=u0&reviewer=ann").status_code == 409
    post()
    assert client.get("/recursive/desk/earlier?case_id=u0&reviewer=bob").status_code == 409
    assert client.get("/recursive/desk/earlier?case_id=u0&reviewer=ann").json() == []


def test_the_state_holds_what_may_be_seen_while_reading(client):
    state = client.get("/recursive/desk/state").json()
    assert (state["state"], state["remaining"], state["round"]) == ("reviewing", 3, 0)
    assert not {"confidence", "score", "verdicts", "accepted"} & state.keys()


def test_the_state_tells_who_is_signed_in_and_whether_they_may_judge(client, signed_in):
    def told():
        state = client.get("/recursive/desk/state").json()
        return state["reader"], state["may_judge"]

    assert told() == (None, True)
    signed_in("dr.bob", settings.MONAI_LABEL_AUTH_ROLE_USER)
    assert told() == ("dr.bob", False)
    signed_in("dr.ann", settings.MONAI_LABEL_AUTH_ROLE_USER, settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)
    assert told() == ("dr.ann", True)


def test_events_carry_the_status(client):
    lines = client.get("/recursive/desk/events?once=true").text.split("\n\n")
    status = json.loads(lines[1].removeprefix("data: "))
    assert status["undecided"] == 3 and "disk_free_gb" in status and "workspace" not in status


def test_the_page_loads_nothing_from_elsewhere_and_no_other_files(client):
    for path in ("/review/", "/review/progress", "/review/files/desk.js", "/review/files/vendor/uPlot.esm.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http" not in client.get("/review/").text
    assert client.get("/review", follow_redirects=False).headers["location"] == "/review/"
    for name in ("../server/app.py", "%2e%2e/cases.py", "vendor/uPlot.LICENSE", ""):
        assert client.get(f"/review/files/{name}").status_code in (404, 403)


def test_the_pages_own_requests_pass_and_another_sites_do_not(client):
    body = {"case_ids": ["u0"], "reviewer": "ann"}
    own = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/recursive/desk/leases", json=body, headers=own).status_code == 200
    other = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    assert client.post("/recursive/desk/leases", json=body, headers=other).status_code == 403
    assert client.get("/recursive/desk/events", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_many_at_once_are_refused_unless_the_setting_allows_it(client, post, make_app, app):
    bulk = {"reading": READING | {"bulk": True}}
    answer = post(**bulk)
    assert (answer.status_code, "one by one" in answer.json()["detail"]) == (403, True)
    assert client.get("/recursive/desk/state").json()["bulk_accept"] is False
    make_app(app.recursion, bulk_accept="true")
    assert post(**bulk).status_code == 201
    newest = client.get("/recursive/rounds").json()[-1]
    assert (newest["quick"], newest["bulk"]) == (1, 1)


def test_ones_own_verdicts_are_told_as_long_as_they_can_be_taken_back(client, post, app, next_round):
    post()
    post("i0", "verdict-2", verdict="reject", reason="artefact")
    given = client.get("/recursive/desk/given?reviewer=ann").json()
    assert [(one["id"], one["item"]["case_id"], one["verdict"], one["reason"]) for one in given] == [
        ("verdict-1", "u0", "accept", None),
        ("verdict-2", "i0", "reject", "artefact"),
    ]
    assert client.get("/recursive/desk/given?reviewer=bob").json() == []
    client.delete("/recursive/desk/verdicts/verdict-1?reviewer=ann")
    assert [one["id"] for one in client.get("/recursive/desk/given?reviewer=ann").json()] == ["verdict-2"]
    next_round()
    assert client.get("/recursive/desk/given?reviewer=ann").json() == []
