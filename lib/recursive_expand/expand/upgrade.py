"""What a ledger of version 0.1.0 did not hold, and its frozen masks tell: voxels by slice and class."""

from __future__ import annotations

import logging

from recursive_expand.errors import InputError
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.workspace import Workspace
from recursive_expand.ledger import Ledger, LedgerError, ProposedSlice

logger = logging.getLogger(__name__)


def count_frozen_masks(ledger: Ledger, workspace: Workspace, classes: tuple[str, ...]) -> int:
    """Count the voxels of proposals that a migration could only give their sums; once a ledger.

    Args:
        ledger: just opened.
        workspace: where the frozen masks are.
        classes: the task's class names.

    Returns:
        Number of proposals counted. A mask that cannot be read keeps its sums, and is tried again next time.
    """
    counted = 0
    for proposal in ledger.proposals.uncounted():
        try:
            by_slice = frozen_label(workspace, proposal, classes).slice_voxels()
            marked = [ProposedSlice(number, *entry) for number, found in by_slice.items() for entry in found.items()]
            ledger.proposals.recount(proposal.proposal_id, marked)
        except (InputError, LedgerError) as error:
            logger.warning("A proposal of round %d is not counted: %s", proposal.round, error)
            continue
        counted += 1
    return counted
