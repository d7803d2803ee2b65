"""Tests of the working grid."""

import torch

from recursive_expand.segment.resample import target_to_working, to_native, to_working, working_shape


def test_the_working_grid_is_coarser_but_never_finer():
    assert working_shape((512, 400), (0.5, 0.5), 1.0) == (256, 200)
    assert working_shape((512, 400), (2.0, 0.5), 1.0) == (512, 200)
    assert working_shape((512, 400), None, 1.0) == (512, 400)
    assert working_shape((512, 400), (0.5, 0.5), None) == (512, 400)


def test_hu_are_averaged_and_logits_return_to_the_native_grid():
    hu = torch.arange(16, dtype=torch.int16).reshape(1, 4, 4)
    assert to_working(hu, (2, 2)).tolist() == [[[2.5, 4.5], [10.5, 12.5]]]
    assert to_working(hu, (4, 4)) is hu
    assert to_native(torch.rand(1, 3, 2, 2), (4, 4)).shape == (1, 3, 4, 4)


def test_targets_keep_their_values():
    target = torch.tensor([[[0, 0, 2, 2], [0, 0, 2, 2], [255, 255, 1, 1], [255, 255, 1, 1]]], dtype=torch.uint8)
    assert target_to_working(target, (2, 2)).tolist() == [[[0, 2], [255, 1]]]
