"""Which case a client sees next."""

import pytest

from recursive_expand.expand.registration import register_cases
from recursive_expand.server.datastore import RecursiveDatastore
from recursive_expand.server.strategies import AnyCase, RecursiveExpand


@pytest.fixture
def ask(client):
    def _ask(strategy="recursive_expand", **params):
        return client.post(f"/activelearning/{strategy}", json=params).json()

    return _ask


def test_the_next_case_is_leased_to_its_client(ask):
    first = ask(client_id="ann")
    assert first["id"] == ask(client_id="ann")["id"]
    assert len({ask(client_id=name)["id"] for name in ("ann", "bob", "cid")}) == 3
    assert ask(client_id="dan") == {}


def test_clients_without_a_name_never_share_a_case(ask):
    assert len({ask()["id"] for _ in range(3)}) == 3
    assert ask() == {}


def test_a_case_given_back_goes_to_another(ask):
    first = ask(client_id="ann")["id"]
    assert ask(client_id="ann", skip=first)["id"] != first
    assert ask(client_id="bob")["id"] == first


@pytest.mark.parametrize(("strategy", "possible"), [("first", {"i0"}), ("random", {"i0", "i1", "u0"})])
def test_first_and_random_take_no_notice_of_leases(ask, strategy, possible):
    for name in ("ann", "bob", "cid"):
        ask(client_id=name)
    assert ask(strategy)["id"] in possible


@pytest.mark.parametrize("strategy", ["recursive_expand", "first", "random"])
def test_when_all_is_decided_nothing_is_left(ask, submit, proposed, strategy):
    for case_id in ("i0", "i1", "u0"):
        submit(case_id, proposed(case_id))
    assert ask(strategy, client_id="ann") == {}


def test_before_the_first_round_any_image_without_a_mask_can_be_drawn(recursion):
    register_cases(recursion)
    assert AnyCase(recursion, first=True)({}, RecursiveDatastore(recursion)) == {"id": "i0"}
    assert AnyCase(recursion, first=False)({}, RecursiveDatastore(recursion))["id"] in {"i0", "i1", "u0"}
    assert RecursiveExpand(recursion)({}, RecursiveDatastore(recursion)) == {}
