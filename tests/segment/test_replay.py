"""replay.py: so many synthetic slices, each round its own, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.segment.replay import MOST_HEADS, replay_examples, replay_heads


@pytest.mark.parametrize(
    ("share", "others", "heads"),
    [(0.5, 30, 120), (0.25, 30, 40), (0.0, 30, 0), (0.5, 0, 0), (0.5, 1000, MOST_HEADS), (0.5, 5000, 5000)],
)
def test_every_epoch_has_new_heads_until_enough_are_painted(make_settings, share, others, heads):
    settings = make_settings(pretrain="synthetic", replay_share=share)
    assert replay_heads(settings, others, 4) == heads
    assert replay_heads(settings.changed(pretrain="none"), others, 4) == 0


def test_each_round_has_its_own_slices_the_same_every_time(make_settings):
    settings = make_settings(pretrain="synthetic", working_spacing=4.0)
    first, again, later = (list(replay_examples(settings, 3, round_index)) for round_index in (1, 1, 2))
    assert [one.key for one in first] == ["synthetic:1:0", "synthetic:1:1", "synthetic:1:2"]
    assert all(
        np.array_equal(a.hu, b.hu) and np.array_equal(a.target, b.target) for a, b in zip(first, again, strict=True)
    )
    assert not any(np.array_equal(a.hu, b.hu) for a, b in zip(first, later, strict=True))
    assert all(one.with_dice and one.spacing == (4.0, 4.0) and one.synthetic for one in first)
    assert set(np.unique([one.target for one in first])) <= {0, 1, 2, 255}
