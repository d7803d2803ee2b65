"""The ledger: the durable, append-only record of cases, rounds, proposals and verdicts."""

from recursive_expand.ledger.cases import CaseEntry
from recursive_expand.ledger.errors import (
    AlreadyDecided,
    LedgerError,
    NotWithdrawable,
    NotYours,
    OutdatedDraft,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
)
from recursive_expand.ledger.ledger import Ledger
from recursive_expand.ledger.records import (
    Candidate,
    CaseRecord,
    CaseState,
    JudgedProposal,
    ProposalDraft,
    ProposalRecord,
    ProposalState,
    RoundRecord,
    RoundState,
    VerdictKind,
    VerdictRecord,
)

__all__ = [
    "AlreadyDecided",
    "Candidate",
    "CaseEntry",
    "CaseRecord",
    "CaseState",
    "JudgedProposal",
    "Ledger",
    "LedgerError",
    "NotWithdrawable",
    "NotYours",
    "OutdatedDraft",
    "ProposalDraft",
    "ProposalRecord",
    "ProposalState",
    "RoundRecord",
    "RoundState",
    "StaleProposal",
    "UnknownCase",
    "UnknownVerdict",
    "VerdictKind",
    "VerdictRecord",
]
