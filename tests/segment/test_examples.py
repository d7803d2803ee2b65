"""Tests of training examples."""

import dataclasses
import pickle

import numpy as np
import pytest

from recursive_expand.segment.examples import Example, examples_sha256


@pytest.mark.parametrize("flip", [1, -1])
def test_a_memory_mapped_image_is_pickled_as_its_place(tmp_path, flip):
    np.save(tmp_path / "case.npy", np.arange(4 * 60 * 50, dtype=np.int16).reshape(4, 60, 50))
    volume = np.load(tmp_path / "case.npy", mmap_mode="r").transpose(0, 2, 1)[:, ::flip]
    example = Example("case:2", volume[2], np.zeros((50, 60), np.uint8), True)
    pickled = pickle.dumps(dataclasses.replace(example, target=np.zeros((50, 60), np.uint8)))
    assert len(pickled) < 60 * 50 + 2000  # the target alone
    assert np.array_equal(pickle.loads(pickled).hu, volume[2])


def test_an_image_in_memory_is_pickled_whole(examples):
    again = pickle.loads(pickle.dumps(examples[0]))
    assert np.array_equal(again.hu, examples[0].hu)
    assert again.key == examples[0].key


def test_the_hash_tells_targets_and_losses(examples):
    changed = examples[0].target.copy()
    changed[0, 0] = 1
    others = [
        [dataclasses.replace(examples[0], target=changed), *examples[1:]],
        [dataclasses.replace(examples[0], with_dice=False), *examples[1:]],
        examples[1:],
    ]
    assert examples_sha256(examples) == examples_sha256(list(examples))
    assert len({examples_sha256(other) for other in [examples, *others]}) == 4


def test_image_and_target_must_be_one_slice():
    with pytest.raises(ValueError, match=r"example a:1: image \(4, 4\) and target \(4, 5\)"):
        Example("a:1", np.zeros((4, 4), np.int16), np.zeros((4, 5), np.uint8), False)
