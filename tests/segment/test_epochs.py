"""epochs.py: every example once in every epoch, of the synthetic ones others each time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recursive_expand.segment.epochs import replay_count, seen_in_epoch
from recursive_expand.segment.examples import Example


def _examples(synthetic):
    nothing = np.zeros((2, 2))
    one = Example("", nothing.astype(np.int16), nothing.astype(np.uint8), with_dice=False)
    return [replace(one, key=str(n), synthetic=each) for n, each in enumerate(synthetic)]


@pytest.mark.parametrize(("share", "others", "number"), [(0.5, 30, 30), (0.25, 30, 10), (0.0, 30, 0), (0.5, 0, 0)])
def test_the_share_is_of_all_slices(make_settings, share, others, number):
    settings = make_settings(pretrain="synthetic", replay_share=share)
    assert replay_count(settings, others) == number
    assert replay_count(settings.changed(pretrain="none"), others) == 0


@given(st.lists(st.booleans(), max_size=40), st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.integers(1, 12))
def test_synthetic_slices_take_turns_and_the_others_are_in_every_epoch(make_settings, synthetic, share, epochs):
    settings = make_settings(pretrain="synthetic", replay_share=share)
    others = {n for n, each in enumerate(synthetic) if not each}
    turns = Counter()
    for epoch in range(epochs):
        seen = seen_in_epoch(settings, _examples(synthetic), epoch)
        assert seen == sorted(set(seen)) and others <= set(seen)
        assert len(seen) - len(others) == min(replay_count(settings, len(others)), sum(synthetic))
        turns.update(set(seen) - others)
    if turns:  # none comes a second time before all were seen
        assert max(turns.values()) - min(turns[n] for n, each in enumerate(synthetic) if each) <= 1


def test_without_synthetic_slices_every_epoch_is_the_same(settings):
    assert seen_in_epoch(settings, _examples([False] * 5), 3) == [0, 1, 2, 3, 4]
