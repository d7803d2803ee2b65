"""replay.py: so many synthetic slices, each round its own, the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.segment.replay import replay_count, replay_examples


@pytest.mark.parametrize(("share", "others", "number"), [(0.5, 30, 30), (0.25, 30, 10), (0.0, 30, 0), (0.5, 0, 0)])
def test_the_share_is_of_all_slices(make_settings, share, others, number):
    settings = make_settings(pretrain="synthetic", replay_share=share)
    assert replay_count(settings, others) == number
    assert replay_count(settings.changed(pretrain="none"), others) == 0


def test_each_round_has_its_own_slices_the_same_every_time(make_settings):
    settings = make_settings(pretrain="synthetic", working_spacing=4.0)
    first, again, later = (list(replay_examples(settings, 3, round_index)) for round_index in (1, 1, 2))
    assert [one.key for one in first] == ["synthetic:1:0", "synthetic:1:1", "synthetic:1:2"]
    assert all(
        np.array_equal(a.hu, b.hu) and np.array_equal(a.target, b.target) for a, b in zip(first, again, strict=True)
    )
    assert not any(np.array_equal(a.hu, b.hu) for a, b in zip(first, later, strict=True))
    assert all(one.with_dice and one.spacing == (4.0, 4.0) for one in first)
    assert set(np.unique([one.target for one in first])) <= {0, 1, 2, 255}
