"""Tests of batches."""

import dataclasses

import numpy as np
import pytest
import torch

from recursive_expand.segment.batches import WorkingGrid, epoch_order, make_batch, training_box
from recursive_expand.segment.box import Box
from recursive_expand.segment.examples import IGNORE, LABELLED, REJECTED, Example


def test_every_example_once_in_batches_of_nearly_one_size():
    batches = epoch_order(9, 4, seed=0, round_index=0, epoch=0)
    assert sorted(i for batch in batches for i in batch) == list(range(9))
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert batches == epoch_order(9, 4, seed=0, round_index=0, epoch=0)
    assert batches != epoch_order(9, 4, seed=0, round_index=0, epoch=1)


def test_the_whole_slice_without_cropping_and_the_head_with_it(make_settings, examples):
    whole = training_box(examples[0], make_settings(training={"crop_to_region": False}))
    assert whole == Box(0, 64, 0, 64)
    example = _wide(examples[0])
    box = training_box(example, make_settings())
    assert box.shape < example.hu.shape
    assert box.c0 % 4 == 0


def test_the_box_holds_a_mask_outside_the_head(make_settings, examples):
    example = _wide(examples[0])
    target = example.target.copy()
    target[2, 150] = 1
    box = training_box(dataclasses.replace(example, target=target), make_settings())
    assert box.r0 <= 2 and box.c1 > 150


def test_padding_is_air_that_no_loss_counts(settings):
    small = Example("a:0", np.full((10, 9), 40, np.int16), np.ones((10, 9), np.uint8), True)
    large = Example("a:1", np.full((13, 6), 40, np.int16), np.ones((13, 6), np.uint8), False)
    examples = [small, large]
    batch = make_batch(examples, [Box.whole(e.hu.shape) for e in examples], settings, round_index=0, epoch=0)
    assert batch.hu.shape == batch.target.shape == (2, 16, 12)
    assert batch.hu.dtype == torch.int16
    assert (batch.hu[0, 10:] == -1024).all() and (batch.target[0, :, 9:] == IGNORE).all()
    assert [int((target != IGNORE).sum()) for target in batch.target] == [90, 78]
    assert batch.with_dice.tolist() == [True, False]


def test_the_working_grid_is_coarser(make_settings):
    example = Example("a:0", np.full((32, 32), 40, np.int16), np.ones((32, 32), np.uint8), True, spacing=(0.5, 0.5))
    batch = make_batch([example], [Box.whole((32, 32))], make_settings(working_spacing=1.0), round_index=0, epoch=0)
    assert (batch.target != IGNORE).sum() == 16 * 16
    assert (batch.hu == 40).sum() == 16 * 16


def _wide(example):
    pad = ((0, 0), (0, 100))
    hu = np.pad(example.hu, pad, constant_values=-1000)
    return dataclasses.replace(example, hu=hu, target=np.pad(example.target, pad))


@pytest.mark.parametrize("part", [REJECTED, LABELLED])
def test_augmented_slices_of_which_a_part_counts_teach_nothing_else(make_settings, part):
    target = np.full((32, 32), IGNORE, np.uint8)
    target[10:20, 8:16] = part
    example = Example("a:0", np.full((32, 32), 40, np.int16), target, False)
    settings = make_settings(training={"augment": True})
    for epoch in range(8):
        batch = make_batch([example], [Box.whole((32, 32))], settings, round_index=1, epoch=epoch)
        assert set(batch.target.unique().tolist()) == {part, IGNORE}


def test_what_is_kept_between_epochs_changes_no_batch(make_settings, make_head):
    settings = make_settings(training={"augment": True}, working_spacing=1.0)
    slices = [make_head(bleed=(24, 26 + 4 * i), seed=i) for i in range(3)]
    examples = [Example(f"a:{i}", hu, mask, True, spacing=(0.5, 0.5)) for i, (hu, mask) in enumerate(slices)]
    boxes = [Box.whole(e.hu.shape) for e in examples]
    kept = WorkingGrid(settings, most_bytes=2 * 32 * 32 * 3)  # two of the three
    for epoch in range(3):
        run = {"round_index": 0, "epoch": epoch}
        with_kept, without = (make_batch(examples, boxes, settings, grid=grid, **run) for grid in (kept, None))
        assert torch.equal(with_kept.hu, without.hu) and torch.equal(with_kept.target, without.target)
    again = [
        kept.read(example, box)[0] is kept.read(example, box)[0] for example, box in zip(examples, boxes, strict=True)
    ]
    assert again == [True, True, False]
