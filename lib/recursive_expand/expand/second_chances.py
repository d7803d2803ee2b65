"""Second chances: what was rejected is proposed once more in its round, as far as f was sure of it."""

from __future__ import annotations

import logging

import numpy as np
from numpy.typing import NDArray

from recursive_expand.cases import LabelMap
from recursive_expand.errors import InputError
from recursive_expand.expand.freezing import Made, record
from recursive_expand.expand.frozen import frozen_ignore, frozen_label
from recursive_expand.expand.queue import order_for_review
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import OutdatedDraft, ProposalRecord, ProposalState, Rejected, RoundRecord
from recursive_expand.segment.cleaned import cleaned
from recursive_expand.segment.second_chance import second_chance

logger = logging.getLogger(__name__)


def second_chances_due(recursion: Recursion, round_: RoundRecord) -> list[Rejected]:
    """What of a round under review is to be proposed once more now: nothing before every first proposal is decided."""
    if recursion.ledger.queue.count(chance=0) or recursion.under(round_).settings.method.second_chance == "none":
        return []
    return recursion.ledger.proposals.without_second_chance(round_.round)


def propose_second_chances(recursion: Recursion, round_: RoundRecord) -> int:
    """Freeze and serve the second chances that are due, and put the queue in order.

    They follow from frozen masks and standing verdicts alone: whoever goes on after a kill makes the same. Where
    nothing is left of a mask, or hardly less than was rejected, that is recorded, and nobody is asked.

    Args:
        recursion: under the server's present settings.
        round_: under review.

    Returns:
        How many wait for a verdict now that did not before.
    """
    under, made = recursion.under(round_), 0
    for rejected in second_chances_due(recursion, round_):
        case_id = rejected.proposal.case_id
        try:
            made += _propose(under, rejected).state is ProposalState.OPEN
        except OutdatedDraft:
            continue  # judged otherwise just now: looked at again
        except InputError as error:
            logger.warning("Set aside %s", error)
            recursion.ledger.cases.set_aside(case_id, str(error))
    if made:
        queue, calibration = recursion.ledger.queue, recursion.ledger.rounds.calibration(round_.round)
        queue.reorder(*order_for_review(recursion, queue.candidates(), calibration))
        logger.info("Round %d: %d rejected proposals come once more", round_.round, made)
    return made


def rejected_region(recursion: Recursion, proposal: ProposalRecord) -> NDArray[np.bool_] | None:
    """(slices, rows, columns): what the case's first proposal of the round marked and this second chance does not.

    Somebody rejected a mask that held it: it may be blood or not, so that nothing is to be learned from it.

    Returns:
        None for a first proposal.
    """
    if not proposal.chance:
        return None
    of_case = recursion.ledger.proposals.of_case(proposal.case_id)
    first = next(one for one in of_case if (one.round, one.chance) == (proposal.round, 0))
    classes = recursion.settings.task.classes
    before, now = (frozen_label(recursion.workspace, one, classes).slices for one in (first, proposal))
    return (before > 0) & (now == 0)


def _propose(recursion: Recursion, rejected: Rejected) -> ProposalRecord:
    first, method = rejected.proposal, recursion.settings.method
    assert method.second_chance != "none"
    label = frozen_label(recursion.workspace, first, recursion.settings.task.classes)
    ignore = frozen_ignore(recursion.workspace, first)
    volume = recursion.volume(first.case_id)
    spacing = volume.geometry.spacing[1:]
    slices = np.zeros_like(label.slices)
    for number in rejected.slices:
        mask = second_chance(label.slices[number], ignore[number], method.second_chance)
        slices[number] = cleaned(mask, np.asarray(volume.hu[number]), spacing, method.refinement)
    known = {one.slice: one.confidence for one in recursion.ledger.proposals.marked(first.proposal_id)}
    confidence = np.full(len(slices), np.nan, np.float32)
    for number in rejected.slices:
        # The surest of the first mask: at least as sure as the whole.
        confidence[number] = np.nan if known[number] is None else known[number]
    made = Made(
        case_id=first.case_id,
        round_index=first.round,
        model_sha256=first.model_sha256,
        label=LabelMap.from_slices(slices, label.geometry, label.classes),
        ignore=ignore | ((label.slices > 0) & (slices == 0)),
        confidence=confidence,
        flip_dice=_for_all(rejected.flip_dice, len(slices)),
        snapshot_dice=_for_all(rejected.snapshot_dice, len(slices)),
    )
    empty = [number for number in rejected.slices if not slices[number].any()]
    return record(recursion, made, serve=True, follows=rejected.verdict_id, left_out=(*first.unchanged_slices, *empty))


def _for_all(dice: float | None, slices: int) -> NDArray[np.float32]:
    return np.full(slices, np.nan if dice is None else dice, np.float32)
