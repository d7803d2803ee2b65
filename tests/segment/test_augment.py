"""Tests of augmentation."""

import numpy as np
import torch

from recursive_expand.segment.augment import augment, example_rng


def _slice(make_head):
    hu, mask = make_head(bleed=(30, 24))
    return torch.from_numpy(hu), torch.from_numpy(mask)


def test_the_same_seed_gives_the_same_slice_and_another_epoch_another(make_head):
    hu, mask = _slice(make_head)
    first, again, later = (augment(hu, mask, example_rng(0, 1, epoch, "a:3")) for epoch in (4, 4, 5))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], later[0])


def test_mask_and_image_move_together(make_head):
    hu, mask = _slice(make_head)
    for epoch in range(12):
        image, target = augment(hu, mask, example_rng(0, 0, epoch, "a:3"))
        assert image.dtype == torch.int16 and target.dtype == torch.uint8
        assert image.shape == hu.shape
        blood = image[target == 2].float()
        assert 55 < blood.mean() < 90  # 70 HU, shifted and scaled a little
        assert abs(float((target == 2).sum() / (mask == 2).sum()) - 1) < 0.4


def test_air_stays_air_and_nothing_is_invented(make_head):
    hu = torch.full((40, 40), -1024, dtype=torch.int16)
    hu[10:30, 10:30] = 35
    target = torch.zeros_like(hu, dtype=torch.uint8)
    target[12:18, 12:18] = 255
    for epoch in range(8):
        image, moved = augment(hu, target, example_rng(0, 0, epoch, "b:0"))
        assert int(image[0, 0]) == -1024
        assert set(np.unique(moved.numpy())) <= {0, 255}
