"""Synthetic slices that f never learns from."""

from __future__ import annotations

import numpy as np
import pytest

from recursive_expand.phantom.varied_stream import VariedSlices
from recursive_expand.segment import unseen
from recursive_expand.segment.replay import replay_examples
from recursive_expand.segment.unseen import unseen_count, unseen_examples


@pytest.fixture
def two(monkeypatch):
    monkeypatch.setattr(unseen, "UNSEEN", 2)


@pytest.fixture
def coarse(make_settings):
    return make_settings(pretrain="synthetic", working_spacing=4.0, threads=1)


def test_they_are_the_same_in_every_round_and_none_of_the_replay(two, coarse):
    first, again = list(unseen_examples(coarse)), list(unseen_examples(coarse))
    assert [one.key for one in first] == ["synthetic:0", "synthetic:1"]
    for one, same in zip(first, again, strict=True):
        assert np.array_equal(one.hu, same.hu) and np.array_equal(one.target, same.target)
    for other in replay_examples(coarse, 2, 0):
        assert not any(np.array_equal(one.hu, other.hu) for one in first)


def test_a_process_paints_them_once(two, coarse, monkeypatch):
    first = list(unseen_examples(coarse))
    monkeypatch.setattr(VariedSlices, "stream", lambda *_args: pytest.fail("painted again"))
    assert all(one.hu is same.hu for one, same in zip(first, unseen_examples(coarse), strict=True))


def test_there_are_none_whose_likes_f_does_not_know(coarse):
    assert unseen_count(coarse) == unseen.UNSEEN
    assert list(unseen_examples(coarse.changed(pretrain="none"))) == []
    other = coarse.model_copy(update={"task": coarse.task.model_copy(update={"classes": ("spleen",)})})
    assert list(unseen_examples(other)) == []
