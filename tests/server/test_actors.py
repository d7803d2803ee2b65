"""Who acts: names from wherever a client puts them, and from the token where one signs in."""

import json

import numpy as np
import pytest
from monailabel.config import settings

from recursive_expand.server.actors import LONGEST_NAME

WHO = "who are you? give a reviewer's name; a verdict can be taken back by the one who gave it"


@pytest.fixture
def verdict(client, app):
    """POST a reject of u0 with these fields and this query."""

    def _verdict(query=None, **fields):
        proposal = app.recursion.ledger.proposals.current("u0").sha256
        body = {"case_id": "u0", "proposal": proposal, "verdict": "reject"}
        return client.post("/recursive/verdicts", params=query, json=body | fields)

    return _verdict


@pytest.fixture
def label(client, proposed):
    """PUT an emptied label of u0 with these params and this query, as a client that says nothing else of itself."""

    def _label(query=None, **params):
        content = _emptied(proposed("u0"))
        return client.put(
            "/datastore/label",
            params={"image": "u0"} | (query or {}),
            data={"params": json.dumps(params)},
            files={"label": ("m.nii.gz", content)},
        )

    return _label


def _emptied(mask):
    import nibabel as nib

    return nib.Nifti1Image(np.zeros_like(mask), np.diag([-4.0, -4.0, 5.0, 1.0])).to_bytes()


@pytest.fixture
def by(app):
    """(reviewer, client, authenticated) of the only verdict in the ledger; none without one."""

    def _by():
        found = app.recursion.ledger.judgements.of_case("u0")
        return [(one.reviewer, one.client, one.authenticated) for one in found]

    return _by


NAMES = [
    ({"reviewer": "ann", "client": "viewer"}, "ann", "viewer"),
    ({"reviewer": "ann"}, "ann", "http"),
    ({"client": "viewer"}, "viewer", "viewer"),
    ({"reviewer": " ann ", "client": " "}, "ann", "http"),
    ({"reviewer": "Ärztin Øst"}, "Ärztin Øst", "http"),
]


@pytest.mark.parametrize(("fields", "reviewer", "client_name"), NAMES)
def test_names_in_a_json_body(verdict, by, fields, reviewer, client_name):
    answer = verdict(**fields)
    assert answer.status_code == 201
    assert (answer.json()["reviewer"], answer.json()["client"]) == (reviewer, client_name)
    assert by() == [(reviewer, client_name, False)]


@pytest.mark.parametrize(("params", "reviewer", "client_name"), [*NAMES, ({"client_id": "slicer"}, "slicer", "slicer")])
def test_names_in_a_form_s_params(label, by, params, reviewer, client_name):
    assert label(**params).status_code == 200
    assert by() == [(reviewer, client_name, False)]


@pytest.mark.parametrize("door", ["verdict", "label"])
def test_names_in_the_query(request, by, door):
    answer = request.getfixturevalue(door)({"reviewer": "ann", "client_id": "desk"})
    assert answer.status_code in (200, 201)
    assert by() == [("ann", "desk", False)]


def test_a_client_says_who_it_is_and_for_whom(label, by):
    assert label(client_id="slicer", reviewer="ann").status_code == 200
    assert by() == [("ann", "slicer", False)]


@pytest.mark.parametrize("fields", [{}, {"reviewer": ""}, {"reviewer": " ", "client": "\t"}, {"client": None}])
@pytest.mark.parametrize("door", ["verdict", "label"])
def test_without_any_name_nothing_is_taken(request, by, door, fields):
    answer = request.getfixturevalue(door)(**fields)
    assert (answer.status_code, answer.json()["detail"]) == (422, WHO)
    assert by() == []


@pytest.mark.parametrize("name", [7, ["ann"], {"name": "ann"}, True])
@pytest.mark.parametrize("door", ["verdict", "label"])
def test_a_name_that_is_no_text_is_refused(request, by, door, name):
    assert request.getfixturevalue(door)(reviewer=name).status_code == 422
    assert by() == []


def test_a_very_long_name_is_refused_or_cut(verdict, label, by):
    assert verdict(reviewer="a" * (LONGEST_NAME + 1)).status_code == 422
    assert label(reviewer="a" * (LONGEST_NAME + 1)).status_code == 422
    assert by() == []
    assert verdict({"reviewer": "a" * (LONGEST_NAME + 1)}).status_code == 201
    assert [len(reviewer) for reviewer, _, _ in by()] == [LONGEST_NAME]


@pytest.mark.parametrize("fields", [{}, {"reviewer": "dr.ann"}, {"client": "viewer"}])
@pytest.mark.parametrize("door", ["verdict", "label"])
def test_who_signed_in_is_the_reviewer(request, signed_in, by, door, fields):
    send = request.getfixturevalue(door)
    signed_in()
    answer = send(**fields)
    assert answer.status_code in (200, 201)
    if door == "verdict":
        assert (answer.json()["reviewer"], answer.json()["authenticated"]) == ("dr.ann", True)
    assert by() == [("dr.ann", fields.get("client", "http"), True)]


@pytest.mark.parametrize("how", ["body", "query"])
@pytest.mark.parametrize("door", ["verdict", "label"])
def test_nobody_signs_for_another(request, signed_in, by, door, how):
    send = request.getfixturevalue(door)
    signed_in()
    answer = send(reviewer="dr.bob") if how == "body" else send({"reviewer": "dr.bob"})
    assert answer.status_code == 403
    assert answer.json()["detail"] == "you are logged in as dr.ann; leave `reviewer` out, or give that name"
    assert by() == []


def test_a_verdict_is_taken_back_by_its_token(verdict, client, signed_in):
    signed_in("dr.ann")
    path = f"/recursive/verdicts/{verdict().json()['id']}"
    signed_in("dr.bob")
    assert client.delete(path).status_code == 403
    assert client.delete(path, params={"reviewer": "dr.ann"}).status_code == 403
    signed_in("dr.ann")
    answer = client.delete(path)
    assert (answer.status_code, answer.json()["withdrawn"] is not None) == (200, True)


@pytest.mark.parametrize("door", ["verdict", "label"])
def test_who_may_only_look_gives_no_verdict(request, signed_in, by, door):
    send = request.getfixturevalue(door)
    signed_in("dr.ann", settings.MONAI_LABEL_AUTH_ROLE_USER)
    assert send().status_code == 403
    assert by() == []


@pytest.mark.parametrize("where", ["query", "body"])
def test_a_verdict_is_taken_back_by_the_name_in_query_or_body(verdict, client, where):
    path = f"/recursive/verdicts/{verdict(reviewer='ann').json()['id']}"
    unnamed = client.delete(path)
    assert (unnamed.status_code, unnamed.json()["detail"]) == (422, WHO)
    assert client.delete(path, params={"reviewer": "bob"}).status_code == 403
    named = {"params": {"reviewer": "ann"}} if where == "query" else {"json": {"reviewer": "ann"}}
    answer = client.request("DELETE", path, **named)
    assert (answer.status_code, answer.json()["withdrawn"] is not None) == (200, True)
