"""What the ledger answers with: one frozen record per table row."""

from recursive_expand.ledger.records.cases import CaseRecord, CaseState
from recursive_expand.ledger.records.proposals import (
    CalibrationSlice,
    Candidate,
    Features,
    JudgedProposal,
    ProposalDraft,
    ProposalRecord,
    ProposalState,
    ProposedSlice,
    Rejected,
)
from recursive_expand.ledger.records.rounds import RoundRecord, RoundState
from recursive_expand.ledger.records.verdicts import (
    QUICK_SECONDS,
    Actor,
    Judgement,
    ReadingFacts,
    VerdictKind,
    VerdictRecord,
)

__all__ = [
    "QUICK_SECONDS",
    "Actor",
    "CalibrationSlice",
    "Candidate",
    "CaseRecord",
    "CaseState",
    "Features",
    "JudgedProposal",
    "Judgement",
    "ProposalDraft",
    "ProposalRecord",
    "ProposalState",
    "ProposedSlice",
    "ReadingFacts",
    "Rejected",
    "RoundRecord",
    "RoundState",
    "VerdictKind",
    "VerdictRecord",
]
