"""What f learns from each slice."""

import numpy as np
import pytest

from recursive_expand.archives.images import read_label
from recursive_expand.expand.examples import build_examples
from recursive_expand.expand.training_set import AcceptedSlices, TrainingSet
from recursive_expand.segment.examples import IGNORE, LABELLED, REJECTED


@pytest.fixture
def accepted(reviewing):
    """Slices of u0's proposal, as a training set names them."""

    def _accepted(*numbers, **values):
        sha256 = reviewing.ledger.proposals.of_round("u0", 0).sha256
        return AcceptedSlices("u0", 0, sha256, numbers, **values)

    return _accepted


def training_set(**values):
    empty = {"pixel": (), "validation": (), "accepted": (), "clean": (), "new_slices": 0}
    return TrainingSet(**{**empty, **values})


def test_expert_masks_are_targets_with_dice(reviewing):
    examples = build_examples(reviewing, training_set(pixel=(("p0", 3, ""),), validation=("p1",)), 1, None)
    mask = read_label(reviewing.archive.studies / "labels" / "final" / "p0.nii.gz").slices
    assert [(e.key, e.with_dice, e.spacing) for e in examples] == [(f"p0:{n}", True, (4.0, 4.0)) for n in range(3)]
    for number, example in enumerate(examples):
        assert np.array_equal(example.target, mask[number])
        assert np.array_equal(example.hu, reviewing.volume("p0").hu[number])


def test_the_paper_s_first_stage_is_without_dice(reviewing, changed):
    recursion = changed(reviewing, dice_loss="later_rounds")
    pixel = training_set(pixel=(("p0", 3, ""),))
    for round_index, with_dice in ((0, False), (1, True), (2, True)):
        examples = build_examples(recursion, pixel, round_index, None)
        assert [e.with_dice for e in examples] == [with_dice] * 3
    assert all(e.with_dice for e in build_examples(reviewing, pixel, 0, None))


def test_slices_that_joined_without_a_verdict_are_learnt_as_they_were_proposed(reviewing, changed, accepted, proposed):
    recursion = changed(reviewing, targets="previous", ignore_band=False)
    both = training_set(accepted=(accepted(0, new=True),), joined=(accepted(2, new=True),))
    examples = build_examples(recursion, both, 2, lambda *_: pytest.fail("not asked"))
    assert [(e.key, e.with_dice, e.accepted) for e in examples] == [("u0:0", False, True), ("u0:2", False, True)]
    for number, example in zip((0, 2), examples, strict=True):
        assert np.array_equal(example.target, proposed(reviewing, "u0")[number])


def test_the_paper_s_targets_are_the_previous_recursion_s_prediction(reviewing, changed, accepted):
    asked = []

    def predict(case_id, volume, slices):
        asked.append((case_id, slices))
        return np.full((len(slices), *volume.hu.shape[1:]), 4, np.uint8)

    recursion = changed(reviewing, targets="previous", ignore_band=False)
    examples = build_examples(recursion, training_set(accepted=(accepted(0, 2),)), 2, predict)
    assert asked == [("u0", (0, 2))]
    assert [(e.key, e.with_dice) for e in examples] == [("u0:0", False), ("u0:2", False)]
    assert all((e.target == 4).all() for e in examples)


def test_what_the_previous_recursion_brought_in_is_learnt_as_it_was_accepted(reviewing, changed, accepted, proposed):
    recursion = changed(reviewing, targets="previous", ignore_band=False)
    new = accepted(0, 2, new=True)
    # Round 2: the verdict may have come while round 1 was already under way.
    examples = build_examples(recursion, training_set(accepted=(new,)), 2, lambda *_: pytest.fail("not asked"))
    mask = proposed(reviewing, "u0")
    for number, example in zip((0, 2), examples, strict=True):
        assert np.array_equal(example.target, mask[number])


@pytest.mark.parametrize("ignore_band", [True, False])
def test_frozen_targets_leave_the_ignore_band_out(reviewing, changed, accepted, proposed, monkeypatch, ignore_band):
    mask = proposed(reviewing, "u0")
    ignore = np.random.default_rng(0).random(mask.shape) < 0.3
    monkeypatch.setattr("recursive_expand.expand.examples.frozen_ignore", lambda *_: ignore)
    recursion = changed(reviewing, targets="frozen", ignore_band=ignore_band)
    examples = build_examples(
        recursion, training_set(accepted=(accepted(0, 2),)), 1, lambda *_: pytest.fail("not asked")
    )
    for number, example in zip((0, 2), examples, strict=True):
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


def test_of_rejected_slices_only_the_region_is_taught(reviewing, changed, accepted, proposed):
    both = training_set(accepted=(accepted(0, 2),), rejected=(accepted(1),))
    examples = build_examples(changed(reviewing, rejects="not_confident"), both, 1, None)
    mask = proposed(reviewing, "u0")[1]
    [example] = [example for example in examples if example.key == "u0:1"]
    assert mask.any()
    assert np.array_equal(example.target, np.where(mask > 0, REJECTED, IGNORE))
    assert not example.with_dice and not example.accepted
    assert len(build_examples(changed(reviewing, rejects="ignore"), both, 1, None)) == 2


def test_a_proposal_that_is_not_the_recorded_one_is_not_trained_on(reviewing, changed):
    other = AcceptedSlices("u0", 0, "0" * 64, (0,))
    with pytest.raises(AssertionError):
        build_examples(changed(reviewing, targets="frozen"), training_set(accepted=(other,)), 1, None)


def test_targets_of_an_attempt_before_are_gone(reviewing):
    leftover = reviewing.workspace.targets(1) / "gone.pixel.npy"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"")
    build_examples(reviewing, training_set(), 1, None)
    assert not leftover.exists()


def test_bleeds_are_painted_and_pasted_into_hosts(reviewing, changed):
    recursion = changed(reviewing, painted_share=1.0, pasted_share=1.0)
    both = training_set(pixel=(("p0", 3, ""),), hosts=(("i0", (0, 2)), ("i1", (2,))))
    examples = build_examples(recursion, both, 0, None)
    assert [e.key.split(":")[0] for e in examples] == ["p0"] * 3 + ["painted"] * 3 + ["pasted"] * 3
    for example in examples[3:]:
        assert example.with_dice and isinstance(example.hu, np.memmap) and isinstance(example.target, np.memmap)
    again = build_examples(recursion, both, 0, None)
    for one, same in zip(examples, again, strict=True):
        assert one.key == same.key and np.array_equal(one.hu, same.hu) and np.array_equal(one.target, same.target)
    assert len(build_examples(reviewing, both, 0, None)) == 3  # under settings that want none


def test_labels_are_taught_over_the_region_inside(reviewing, changed):
    recursion = changed(reviewing, slice_label_weight=0.5)
    wanted = training_set(labelled=(("i0", 1, ("subdural", "epidural")),))
    [example] = build_examples(recursion, wanted, 0, None)
    assert example.key == "i0:1" and example.labels == (True, False, False, False, True)
    assert not example.with_dice and not example.accepted
    assert set(np.unique(example.target)) == {LABELLED, IGNORE}
    skull = np.flatnonzero(example.hu[24] > 500)
    assert (example.target[24, : skull[0]] == IGNORE).all() and (example.target[24, 20:28] == LABELLED).all()
    assert build_examples(reviewing, wanted, 0, None) == []
