"""Freezing: what was made of a case becomes its proposal, files first, then the ledger."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import LabelMap
from recursive_expand.expand.frozen import freeze_files, frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.expand.triage import triage_features
from recursive_expand.expand.unchanged import unchanged_slices
from recursive_expand.ledger import OutdatedDraft, ProposalDraft, ProposalRecord, ProposedSlice, VerdictRecord


@dataclass(frozen=True)
class Made:
    """What f and g, or another tool, made of a case in a round: plain values, which another machine can send.

    Attributes:
        case_id: the case.
        round_index: the round.
        model_sha256: of the weights; of an imported mask, of the file that it was imported from.
        label: the mask.
        ignore: (slices, rows, columns) bool: the ignore band.
        confidence: (slices,) float32, mean probability of each slice's mask; nan where it is empty or not known.
        flip_dice: (slices,) float32, see `Prediction`.
        tool: who made an imported mask; None for f and g.
    """

    case_id: str
    round_index: int
    model_sha256: str
    label: LabelMap
    ignore: NDArray[np.bool_]
    confidence: NDArray[np.float32]
    flip_dice: NDArray[np.float32]
    tool: str | None = None


def freeze(recursion: Recursion, made: Made, *, serve: bool = False) -> ProposalRecord:
    """Freeze what was made, with regard to what experts said of the case, also while it was made.

    Args:
        recursion: under the round's settings.
        made: what was made.
        serve: queue it at once (outside a round's bulk proposing).

    Returns:
        The case's proposal of this round: this one, or the one that another process froze first.
    """
    while True:
        try:
            return _freeze(recursion, made, serve=serve)
        except OutdatedDraft:
            continue


def _freeze(recursion: Recursion, made: Made, *, serve: bool) -> ProposalRecord:
    ledger = recursion.ledger
    existing = ledger.proposals.of_round(made.case_id, made.round_index)
    if existing is not None:
        return existing
    return record(recursion, made, serve=serve)


def record(
    recursion: Recursion, made: Made, *, serve: bool, follows: int | None = None, left_out: Collection[int] = ()
) -> ProposalRecord:
    """Freeze what was made once, as the verdicts are at this moment.

    Args:
        recursion: under the round's settings.
        made: what was made.
        serve: queue it at once.
        follows: of a second chance, the verdict whose rejection it answers.
        left_out: numbers of the slices that it leaves out of what is still to be decided.

    Raises:
        OutdatedDraft: a verdict on the case was given or taken back meanwhile.
    """
    ledger = recursion.ledger
    verdicts = ledger.judgements.of_case(made.case_id)
    label, whole, same = _without_what_was_judged(recursion, made, verdicts)
    marked = _marked(label, made.confidence)
    draft = ProposalDraft(
        case_id=made.case_id,
        sha256=label.sha256,
        model_sha256=made.model_sha256,
        file=freeze_files(recursion.workspace, label, made.ignore),
        marked=marked,
        confidence=_mean_confidence(marked),
        unchanged_slices=tuple(sorted({*same, *left_out})),
        unchanged=whole,
        features=triage_features(label, flip_dice=made.flip_dice),
        tool=made.tool,
        chance=0 if follows is None else 1,
        follows=follows,
    )
    judged = [verdict.verdict_id for verdict in verdicts]
    if follows is not None and follows not in judged:
        raise OutdatedDraft(f"verdict {follows} on case {made.case_id!r} was taken back; what it rejected waits again")
    return ledger.proposals.freeze(made.round_index, draft, serve=serve, judged=judged)


def _without_what_was_judged(
    recursion: Recursion, made: Made, verdicts: Sequence[VerdictRecord]
) -> tuple[LabelMap, bool, tuple[int, ...]]:
    """Empty the slices that were accepted before, or hardly differ from what was rejected.

    Returns:
        (the mask, whether all of it is unchanged, numbers of the slices that are).
    """
    rejected = []
    by_id = {}
    if verdicts:
        by_id = {one.proposal_id: one for one in recursion.ledger.proposals.of_case(made.case_id)}
    accepted = [number for verdict in verdicts for number in verdict.accepted_slices]
    # Most cases were never judged: a copy of 8 MB for nothing takes as long as reading the image.
    label = made.label.emptied(accepted) if accepted else made.label
    for verdict in verdicts:
        if verdict.rejected_slices:
            proposal = by_id[verdict.proposal_id]
            judged = frozen_label(recursion.workspace, proposal, recursion.settings.task.classes)
            rejected.append((judged.slices, verdict.rejected_slices))
    whole, same = unchanged_slices(label.slices, rejected, dice=recursion.settings.method.unchanged_dice)
    return label.emptied(same) if same and not whole else label, whole, same


def _marked(label: LabelMap, confidence: NDArray[np.float32]) -> tuple[ProposedSlice, ...]:
    """What a mask marks, class by class."""
    marked = [
        ProposedSlice(number, name, voxels, None if np.isnan(confidence[number]) else float(confidence[number]))
        for number, by_class in label.slice_voxels().items()
        for name, voxels in by_class.items()
    ]
    return tuple(sorted(marked, key=lambda one: (label.classes.index(one.class_name), one.slice)))


def _mean_confidence(marked: Sequence[ProposedSlice]) -> float:
    """The mean of the slices' confidence, weighted by their voxels; 0 for an empty mask."""
    by_slice: dict[int, tuple[float, int]] = {}
    for one in marked:
        known = by_slice.get(one.slice, (0.0, 0))
        by_slice[one.slice] = (one.confidence or 0.0, known[1] + one.voxels)
    if not by_slice:
        return 0.0
    values, weights = zip(*(by_slice[number] for number in sorted(by_slice)), strict=True)
    return float(np.average(np.array(values, np.float32), weights=np.array(weights, np.int64)))
