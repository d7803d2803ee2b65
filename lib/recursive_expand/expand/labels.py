"""Verdicts as label objects in the archive: accepted masks as `final`, rejected ones as `rejected`."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from recursive_expand.archives.archive import TAGS
from recursive_expand.cases import LabelMap
from recursive_expand.errors import InputError, Unreachable
from recursive_expand.expand.frozen import frozen_label
from recursive_expand.expand.recursion import Recursion
from recursive_expand.ledger import ProposalRecord, VerdictKind, VerdictRecord

logger = logging.getLogger(__name__)


def label_info(verdicts: list[VerdictRecord], tag: str) -> dict[str, Any] | None:
    """What a case's label object says about the newest verdict behind it; None where no verdict makes one.

    Args:
        verdicts: the case's standing verdicts, oldest first.
        tag: `final` or `rejected`.
    """
    for verdict in reversed(verdicts):
        if tag == "final" and verdict.verdict is VerdictKind.ACCEPT:
            return _info(verdict, VerdictKind.ACCEPT) | {"rejected_slices": list(verdict.rejected_slices)}
        if tag == "rejected" and (verdict.rejected_slices or verdict.verdict is VerdictKind.REJECT):
            return _info(verdict, VerdictKind.REJECT) | {"slices": list(verdict.rejected_slices)}
    return None


def write_labels(recursion: Recursion, case_id: str) -> None:
    """Make a case's label objects show its standing verdicts: all accepted slices, the last rejected ones.

    They are derived from the ledger alone, so repeating it changes nothing.

    Raises:
        InputError: a frozen proposal or the archive's image is missing or damaged.
        OSError: the archive cannot be written to.
    """
    ledger, archive = recursion.ledger, recursion.archive
    verdicts = ledger.judgements.of_case(case_id)
    by_id = {one.proposal_id: one for one in ledger.proposals.of_case(case_id)} if verdicts else {}
    accepted = [(by_id[v.proposal_id], v.accepted_slices) for v in verdicts if v.verdict is VerdictKind.ACCEPT]
    rejected = [
        (by_id[v.proposal_id], v.rejected_slices)
        for v in verdicts
        if v.rejected_slices or v.verdict is VerdictKind.REJECT
    ]
    for tag, parts in (("final", accepted), ("rejected", rejected[-1:])):
        info = label_info(verdicts, tag)
        if info is not None and parts:
            archive.put_label(case_id, tag, _together(recursion, parts), info)
        elif tag == "rejected" or not ledger.cases.get(case_id).has_expert_mask:
            archive.remove_label(case_id, tag)


def deliver(recursion: Recursion, case_id: str) -> bool:
    """Write a case's label objects if the outbox has an entry of it, one writer at a time.

    Returns:
        Whether the archive shows the verdicts; where not, the entry waits, with the reason, and is tried again.
    """
    outbox = recursion.ledger.outbox
    with recursion.lock(case_id):
        while (entry := outbox.newest(case_id)) is not None:
            try:
                write_labels(recursion, case_id)
            except (InputError, Unreachable, OSError) as error:
                reason = f"cannot be written ({error.strerror})" if isinstance(error, OSError) else str(error)
                logger.warning("The labels of case %s are written later: %s", case_id, reason)
                outbox.failed(case_id, reason, time.time())
                return False
            outbox.sent(case_id, entry)
    return True


def heal(recursion: Recursion) -> int:
    """Queue the cases whose label objects are not those that their verdicts make: files that were lost or left behind.

    An expert's mask is nobody's but the expert's: the archive keeps it.

    Returns:
        How many cases differ.
    """
    cases, differing = recursion.ledger.cases, set()
    for tag in TAGS:
        differing |= set(cases.ids(tag=tag, labelled=True)) ^ recursion.archive.labelled(tag)
    known = sorted(differing & set(cases.ids()))
    if known:
        recursion.ledger.outbox.add(known)
        logger.warning("The labels of %d cases are not those of their verdicts: written anew", len(known))
    return len(known)


def deliver_due(recursion: Recursion, stop: Callable[[], bool] = lambda: False) -> int:
    """Drain the outbox: all entries that may be tried now; returns how many cases were written."""
    written = 0
    for case_id in recursion.ledger.outbox.due(time.time()):
        if stop():
            break
        done = deliver(recursion, case_id)
        written += done
        if not done and not recursion.archive.immediate:
            break  # the archive may be down, and each try may take long
    return written


def _together(recursion: Recursion, parts: list[tuple[ProposalRecord, tuple[int, ...]]]) -> LabelMap:
    """One mask of some slices of some proposals of a case, the later ones over the earlier ones."""
    classes = recursion.settings.task.classes
    frozen = [(frozen_label(recursion.workspace, proposal, classes), list(numbers)) for proposal, numbers in parts]
    slices = frozen[-1][0].kept(()).slices.copy()
    for label, numbers in frozen:
        slices[numbers] = label.slices[numbers]
    return LabelMap.from_slices(slices, frozen[-1][0].geometry, classes)


def _info(verdict: VerdictRecord, kind: VerdictKind) -> dict[str, Any]:
    return {
        "verdict": kind,
        "round": verdict.round,
        "model_sha256": verdict.model_sha256,
        **({} if verdict.tool is None else {"tool": verdict.tool}),
        "proposal_sha256": verdict.proposal_sha256,
        "reviewer": verdict.reviewer,
        "client": verdict.client,
        "authenticated": verdict.authenticated,
        "reason": verdict.reason,
        "ts": verdict.ts,
    }
