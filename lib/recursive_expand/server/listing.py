"""GET /datastore/?output=all: every case's labels, in the form that 3D Slicer's MONAILabelReviewer reads.

That module shows a case's mask only where the list has a label `final`, takes the tag of the one label with a
`segmentationMeta`, and breaks where one of its keys is missing. So a proposal that was not accepted has an entry
`final` without a file, and the meta stands on the tag that is to be looked at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recursive_expand.archives.identifiers import split_name
from recursive_expand.ledger import ListedCase, ProposalState, StandingVerdict, VerdictKind

META = "segmentationMeta"
APPROVED, FLAGGED = "approved", "flagged"
STATUS = {VerdictKind.ACCEPT: APPROVED, VerdictKind.REJECT: FLAGGED}
"""What the reviewer module calls a verdict."""


def listed(case: ListedCase, *, model: str, classes: Sequence[str]) -> dict[str, Any]:
    """A case as the list has it.

    Nothing of what others said stands on a proposal that still waits: it would lead the eye.

    Args:
        case: the case.
        model: what made the proposals; the reviewer module calls it the annotator.
        classes: the task's.
    """
    labels: dict[str, dict[str, Any]] = {tag: _label({}) for tag in case.tags}
    shown, verdict = _shown(case)
    if shown is not None:
        drawn = shown == "final" and verdict is None
        segments = [{"name": name, "idx": value} for value, name in enumerate(classes, start=1)]
        about = {"name": f"{case.case_id}.nii.gz", "client_id": "expert" if drawn else model, "label_info": segments}
        labels = {"final": _label(about)} | {tag: label for tag, label in labels.items() if tag != "final"}
    # The last one is what the reviewer module offers first.
    labels |= {f"version_{number}": _label({}) for number in case.rounds}
    if shown is not None:
        labels[shown]["info"][META] = _meta(verdict, case.notes.get(shown, {}))
    parts = split_name(case.name)
    image = {"ext": parts[1] if parts else "", "info": case.info | {"name": case.name}}
    return {"image": image, "labels": labels}


def _shown(case: ListedCase) -> tuple[str | None, StandingVerdict | None]:
    """The tag of the label that is to be looked at, and the verdict on it; no tag where there is nothing to see."""
    newest = case.rounds[-1] if case.rounds else None
    if case.newest is ProposalState.OPEN:
        return f"version_{newest}", None
    on_newest = next((one for one in reversed(case.verdicts) if one.round == newest), None)
    if on_newest is not None and on_newest.verdict is VerdictKind.REJECT:
        return f"version_{newest}", on_newest
    if "final" in case.tags:
        accepting = (one for one in reversed(case.verdicts) if one.verdict is VerdictKind.ACCEPT)
        return "final", next(accepting, None)
    return None, None


def _meta(verdict: StandingVerdict | None, note: Mapping[str, Any]) -> dict[str, Any]:
    """The five keys; level and comment are those that the module sent, where the verdict is the same reader's."""
    if verdict is None:
        return {"status": "", "approvedBy": "", "level": "", "comment": "", "editTime": ""}
    sent = note.get(META)
    own = sent if isinstance(sent, dict) and sent.get("approvedBy") == verdict.reviewer else {}
    return {
        "status": STATUS[verdict.verdict],
        "approvedBy": verdict.reviewer,
        "level": str(own.get("level") or ""),
        "comment": str(own.get("comment") or verdict.comment or ""),
        "editTime": verdict.ts,
    }


def _label(info: dict[str, Any]) -> dict[str, Any]:
    return {"ext": ".nii.gz", "info": dict(info)}
