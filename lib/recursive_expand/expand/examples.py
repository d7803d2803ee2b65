"""What f learns from each slice of the training set: the paper's section 3, third stage."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from recursive_expand.archives.atomic import atomic_path
from recursive_expand.cases import Volume
from recursive_expand.expand.frozen import frozen_ignore, frozen_label
from recursive_expand.expand.progress import Progress
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.refined import refined_slices
from recursive_expand.expand.second_chances import rejected_region
from recursive_expand.expand.targets import PredictSlices, taught_as_accepted
from recursive_expand.expand.training_set import AcceptedSlices, TrainingSet
from recursive_expand.ledger import ProposalRecord
from recursive_expand.segment.composites import CleanSlice, painted_examples, pasted_examples
from recursive_expand.segment.context import seen_slices
from recursive_expand.segment.examples import IGNORE, LABELLED, REJECTED, Example
from recursive_expand.segment.regions.registry import region_named
from recursive_expand.segment.replay import replay_examples, replay_heads

_PORTION = 64
"""Synthetic slices that are written at a time."""


def build_examples(
    recursion: Recursion,
    training_set: TrainingSet,
    round_index: int,
    predict: PredictSlices | None,
    *,
    epochs: int = 1,
    progress: Progress | None = None,
) -> list[Example]:
    """Examples of a round: pixel slices with cross-entropy + Dice (in round 0 as `Training.dice_loss` says), accepted,
    joined and clean ones with cross-entropy alone; of rejected ones the rejected region; clean ones with bleeds painted
    or pasted in; others with their labels alone; with a pretrained start synthetic slices among them, others in every
    epoch. None without a slice of the archive.

    Targets are kept as memory-mapped files, so that memory does not grow with the number of slices.

    Args:
        recursion: under the round's settings.
        training_set: what the round trains on.
        round_index: the round.
        predict: what `targets: previous` and `targets: teacher` take their targets from; None in round 0.
        epochs: of the training.
        progress: shows how many of the synthetic slices are painted.
    """
    shutil.rmtree(recursion.workspace.targets(round_index), ignore_errors=True)
    examples = []
    with_dice = round_index > 0 or recursion.settings.method.training.dice_loss == "every_round"
    for case_id, _, _ in training_set.pixel:
        case = recursion.ledger.cases.get(case_id)
        volume = recursion.volume(case_id)
        targets = _keep(recursion, round_index, f"{case_id}.pixel", recursion.expert_label(case).slices)
        examples += [
            _example(recursion, case_id, volume, n, targets[n], with_dice=with_dice) for n in range(case.slices)
        ]
    for accepted in training_set.proposed:
        volume = recursion.volume(accepted.case_id)
        masks = _accepted_targets(recursion, accepted, volume, predict)
        # A round has two proposals of a case where one was a second chance.
        name = f"{accepted.case_id}.{accepted.proposal_sha256}{'.joined' if accepted in training_set.joined else ''}"
        targets = _keep(recursion, round_index, name, masks)
        for n, target in zip(accepted.slices, targets, strict=True):
            examples.append(_example(recursion, accepted.case_id, volume, n, target, accepted=True))
    # A round that failed may go on under settings that want none.
    wanted = training_set.rejected if recursion.settings.method.training.rejects == "not_confident" else ()
    for rejected in wanted:
        volume = recursion.volume(rejected.case_id)
        masks = _frozen_slices(recursion, rejected.proposal(recursion.ledger))[list(rejected.slices)]
        regions = np.where(masks > 0, np.uint8(REJECTED), np.uint8(IGNORE))
        targets = _keep(recursion, round_index, f"{rejected.case_id}.{rejected.proposal_sha256}.rejected", regions)
        examples += [
            _example(recursion, rejected.case_id, volume, n, t) for n, t in zip(rejected.slices, targets, strict=True)
        ]
    for case_id, numbers in training_set.clean:
        volume = recursion.volume(case_id)
        background = np.broadcast_to(np.uint8(0), volume.hu.shape[1:])
        examples += [_example(recursion, case_id, volume, n, background) for n in numbers]
    examples += _composites(recursion, training_set, round_index, examples)
    examples += _labelled(recursion, training_set, round_index)
    return examples + _replayed(
        recursion, round_index, replay_heads(recursion.settings, len(examples), epochs), progress
    )


def _composites(
    recursion: Recursion, training_set: TrainingSet, round_index: int, donors: Sequence[Example]
) -> list[Example]:
    """Slices labelled clean with bleeds painted or pasted in, on memory-mapped files."""
    settings, training = recursion.settings, recursion.settings.method.training
    hosts = []
    for case_id, numbers in training_set.hosts:
        volume = recursion.volume(case_id)
        hosts += [CleanSlice(f"{case_id}:{n}", volume.hu[n], volume.geometry.spacing[1:]) for n in numbers]
    painted, pasted = (
        int(share * training_set.with_masks) for share in (training.painted_share, training.pasted_share)
    )
    kept = []
    for how, made in (
        ("painted", painted_examples(settings, hosts, painted, round_index) if painted and hosts else ()),
        ("pasted", pasted_examples(settings, hosts, donors, pasted, round_index) if pasted else ()),
    ):
        for number, one in enumerate(made):
            hu = _keep(recursion, round_index, f"{how}.{number}.image", one.hu)
            target = _keep(recursion, round_index, f"{how}.{number}.target", one.target)
            kept.append(replace(one, hu=hu, target=target))
    return kept


def _labelled(recursion: Recursion, training_set: TrainingSet, round_index: int) -> list[Example]:
    """Slices of which their labels are taught, wherever in the region what they name may be."""
    task = recursion.settings.task
    examples = []
    # A round that failed may go on under settings that want none.
    wanted = training_set.labelled if recursion.settings.method.training.slice_label_weight else ()
    for case_id, number, present in wanted:
        volume = recursion.volume(case_id)
        inside = region_named(task.region).inside(volume.hu[number], volume.geometry.spacing[1:])
        where = np.ones(volume.hu.shape[1:], np.bool_) if inside is None else inside
        target = _keep(
            recursion, round_index, f"{case_id}.{number}.labels", np.where(where, LABELLED, IGNORE).astype(np.uint8)
        )
        one = _example(recursion, case_id, volume, number, target)
        examples.append(replace(one, labels=tuple(name in present for name in task.classes)))
    return examples


def _replayed(recursion: Recursion, round_index: int, number: int, progress: Progress | None) -> list[Example]:
    """Synthetic slices on memory-mapped files."""
    if not number:
        return []
    if progress is not None:
        progress.begin("painting synthetic heads", number)
    made = replay_examples(recursion.settings, number, round_index)
    kept: list[Example] = []
    while portion := list(islice(made, _PORTION)):
        name = f"synthetic.{len(kept)}"
        images = _keep(recursion, round_index, f"{name}.images", np.stack([one.hu for one in portion]))
        targets = _keep(recursion, round_index, f"{name}.targets", np.stack([one.target for one in portion]))
        kept += [replace(one, hu=hu, target=mask) for one, hu, mask in zip(portion, images, targets, strict=True)]
        if progress is not None:
            progress.step(len(kept), "slices")
    return kept


def _example(
    recursion: Recursion,
    case_id: str,
    volume: Volume,
    number: int,
    target: NDArray[np.uint8],
    *,
    with_dice: bool = False,
    accepted: bool = False,
) -> Example:
    spacing = volume.geometry.spacing[1:]
    context = recursion.settings.method.context
    beside = seen_slices(number, len(volume.hu), context)
    neighbours = tuple(volume.hu[n] for n in beside[:context] + beside[context + 1 :])
    return Example(f"{case_id}:{number}", volume.hu[number], target, with_dice, spacing, accepted, neighbours)


def _accepted_targets(
    recursion: Recursion, accepted: AcceptedSlices, volume: Volume, predict: PredictSlices | None
) -> NDArray[np.uint8]:
    proposal = accepted.proposal(recursion.ledger)
    if predict is not None and not taught_as_accepted(recursion.settings.method.training, accepted):
        masks = predict(accepted.case_id, volume, accepted.slices)
    else:
        masks = _as_accepted(recursion, accepted, proposal)
    rejected = rejected_region(recursion, proposal)
    if rejected is not None:
        masks[rejected[list(accepted.slices)]] = IGNORE
    return masks


def _as_accepted(recursion: Recursion, accepted: AcceptedSlices, proposal: ProposalRecord) -> NDArray[np.uint8]:
    training, numbers = recursion.settings.method.training, list(accepted.slices)
    frozen = _frozen_slices(recursion, proposal)[numbers]
    masks = frozen.copy() if accepted.refined_sha256 is None else refined_slices(recursion, accepted)[numbers]
    if training.ignore_band:
        # Where g disagrees with f, the mask is at odds with the probabilities.
        masks[frozen_ignore(recursion.workspace, proposal)[numbers] | (masks != frozen)] = IGNORE
    return masks


def _frozen_slices(recursion: Recursion, proposal: ProposalRecord) -> NDArray[np.uint8]:
    return frozen_label(recursion.workspace, proposal, recursion.settings.task.classes).slices


def _keep(recursion: Recursion, round_index: int, name: str, masks: NDArray) -> NDArray:
    folder = recursion.workspace.targets(round_index)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npy"
    with atomic_path(path, fsync=False) as temporary, temporary.open("wb") as file:
        np.save(file, np.ascontiguousarray(masks))
    return np.load(path, mmap_mode="r")
