"""What several readers' judgements of a slice come to."""

from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.expand.consensus import consensus
from recursive_expand.ledger import Judgement


def judgement(verdict_id, number, accepted):
    return Judgement("a", 0, "s" * 64, verdict_id, f"reader {verdict_id}", number, accepted, None)


many = st.lists(
    st.builds(judgement, st.integers(1, 5), st.integers(0, 4), st.booleans()),
    unique_by=lambda one: (one.verdict_id, one.slice),  # a verdict judges a slice once
)


def test_the_first_judgement_of_a_slice_counts():
    found = consensus([judgement(2, 0, False), judgement(1, 0, True), judgement(2, 1, False)], "first")
    assert found == {0: True, 1: False}


def test_of_nobody_s_judgement_nothing_is_settled():
    assert consensus([]) == {}


@given(many, st.randoms())
def test_the_order_in_which_they_are_given_does_not_matter(given_, random):
    shuffled = list(given_)
    random.shuffle(shuffled)
    assert consensus(shuffled) == consensus(given_)


@given(many)
def test_every_judged_slice_is_settled_as_its_first_reader_said(given_):
    found = consensus(given_)
    assert list(found) == sorted({one.slice for one in given_})
    for number, accepted in found.items():
        first = min((one for one in given_ if one.slice == number), key=lambda one: one.verdict_id)
        assert accepted is first.accepted


@given(many, st.integers(6, 9), st.booleans())
def test_a_later_reader_changes_nothing_that_is_settled(given_, verdict_id, accepted):
    later = [judgement(verdict_id, number, accepted) for number in range(5)]
    assert consensus([*given_, *later]).items() >= consensus(given_).items()
