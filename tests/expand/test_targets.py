"""What f learns from each slice."""

import dataclasses

import numpy as np
import pytest

from recursive_expand.archives.images import read_mask
from recursive_expand.expand.frozen import freeze_files, frozen_mask
from recursive_expand.expand.targets import build_examples
from recursive_expand.expand.training_set import AcceptedSlices, TrainingSet
from recursive_expand.segment.examples import IGNORE, REJECTED

ACCEPTED = AcceptedSlices("u0", 0, "s" * 64, (0, 2))
REJECTED_SLICES = AcceptedSlices("u0", 0, "s" * 64, (1,))


def training_set(**values):
    empty = {"pixel": (), "validation": (), "accepted": (), "clean": (), "verdict_ids": (), "new_slices": 0}
    return TrainingSet(**{**empty, **values})


def under(study, **training):
    task = study.task.model_copy(update={"training": study.task.training.model_copy(update=training)})
    return dataclasses.replace(study, task=task)


def to_slices(study, native, case_id="u0"):
    return study.volume(study.ledger.case(case_id)).geometry.orientation.to_slices(native)


def test_expert_masks_are_targets_with_dice(reviewing):
    examples = build_examples(reviewing, training_set(pixel=(("p0", 3, ""),), validation=("p1",)), 1, None)
    mask = to_slices(reviewing, read_mask(reviewing.archive.studies / "labels" / "final" / "p0.nii.gz"), "p0")
    assert [(e.key, e.with_dice, e.spacing) for e in examples] == [(f"p0:{n}", True, (4.0, 4.0)) for n in range(3)]
    for number, example in enumerate(examples):
        assert np.array_equal(example.target, mask[number])
        assert np.array_equal(example.hu, reviewing.volume(reviewing.ledger.case("p0")).hu[number])


def test_the_paper_s_targets_are_the_previous_recursion_s_prediction(reviewing):
    asked = []

    def predict(case_id, volume, slices):
        asked.append((case_id, slices))
        return np.full((len(slices), *volume.hu.shape[1:]), 4, np.uint8)

    study = under(reviewing, targets="previous", ignore_band=False)
    examples = build_examples(study, training_set(accepted=(ACCEPTED,)), 2, predict)
    assert asked == [("u0", (0, 2))]
    assert [(e.key, e.with_dice) for e in examples] == [("u0:0", False), ("u0:2", False)]
    assert all((e.target == 4).all() for e in examples)


def test_what_the_previous_recursion_brought_in_is_learnt_as_it_was_accepted(reviewing):
    study = under(reviewing, targets="previous", ignore_band=False)
    new = dataclasses.replace(ACCEPTED, new=True)
    # Round 2: the verdict may have come while round 1 was already under way.
    examples = build_examples(study, training_set(accepted=(new,)), 2, lambda *_: pytest.fail("not asked"))
    mask = to_slices(reviewing, frozen_mask(reviewing.workspace, 0, "u0"))
    for number, example in zip(ACCEPTED.slices, examples, strict=True):
        assert np.array_equal(example.target, mask[number])


@pytest.mark.parametrize("ignore_band", [True, False])
def test_frozen_targets_leave_the_ignore_band_out(reviewing, ignore_band):
    case = reviewing.ledger.case("u0")
    mask = to_slices(reviewing, frozen_mask(reviewing.workspace, 0, "u0")).copy()
    ignore = np.random.default_rng(0).random(mask.shape) < 0.3
    freeze_files(reviewing.workspace, 0, "u0", mask, ignore, reviewing.volume(case).geometry)
    study = under(reviewing, targets="frozen", ignore_band=ignore_band)
    examples = build_examples(study, training_set(accepted=(ACCEPTED,)), 1, lambda *_: pytest.fail("not asked"))
    for number, example in zip(ACCEPTED.slices, examples, strict=True):
        expected = np.where(ignore[number], IGNORE, mask[number]) if ignore_band else mask[number]
        assert np.array_equal(example.target, expected)
        assert example.accepted and not example.with_dice


def test_clean_slices_are_all_background(reviewing):
    examples = build_examples(reviewing, training_set(clean=(("i0", (2,)),)), 1, None)
    assert [(e.key, e.with_dice, bool(e.target.any())) for e in examples] == [("i0:2", False, False)]
    assert not any(e.accepted for e in examples)


def test_targets_lie_in_files_not_in_memory(reviewing):
    [example] = build_examples(reviewing, training_set(pixel=(("p0", 3, ""),)), 1, None)[:1]
    assert isinstance(example.target.base, np.memmap) or isinstance(example.target, np.memmap)
    assert list(reviewing.workspace.targets(1).iterdir()) == [reviewing.workspace.targets(1) / "p0.pixel.npy"]


def test_of_rejected_slices_only_the_region_is_taught(reviewing):
    both = training_set(accepted=(ACCEPTED,), rejected=(REJECTED_SLICES,))
    examples = build_examples(under(reviewing, rejects="not_confident"), both, 1, None)
    mask = to_slices(reviewing, frozen_mask(reviewing.workspace, 0, "u0"))[1]
    [example] = [example for example in examples if example.key == "u0:1"]
    assert mask.any()
    assert np.array_equal(example.target, np.where(mask > 0, REJECTED, IGNORE))
    assert not example.with_dice and not example.accepted
    assert len(build_examples(under(reviewing, rejects="ignore"), both, 1, None)) == len(ACCEPTED.slices)
