"""false_positives.py: f is asked without the labels, by the model of the round before, and only when it is wanted."""

from __future__ import annotations

from recursive_expand.expand.false_positives import count_marked


def test_the_marks_are_f_s_whatever_the_labels_say(reviewing, changed, proposed):
    before = reviewing.ledger.rounds.current()
    assert count_marked(reviewing, before) is None
    mined = changed(reviewing, clean_slices="false_positives")
    assert count_marked(mined, None) is None
    slices = [("u0", 1), ("i0", 2), ("i0", 0), ("u0", 2)]
    counts = count_marked(mined, before)(slices)
    # Of u0 nothing is known, so its proposal is what f marks; of i0 slice 2 is labelled clean.
    expected = proposed(reviewing, "u0")
    assert [counts[0], counts[3]] == [int((expected[n] > 0).sum()) for n in (1, 2)]
    alone = [count_marked(mined, before)([one])[0] for one in slices]
    assert alone == counts
