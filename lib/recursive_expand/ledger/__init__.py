"""The ledger: the durable, append-only record of cases, rounds, proposals and verdicts."""

from recursive_expand.ledger.audit import Difference
from recursive_expand.ledger.cases import CaseEntry
from recursive_expand.ledger.errors import (
    AlreadyDecided,
    LedgerError,
    MovedOn,
    NotWithdrawable,
    NotYours,
    OutdatedDraft,
    OutdatedTrainingSet,
    StaleProposal,
    UnknownCase,
    UnknownVerdict,
)
from recursive_expand.ledger.ledger import Ledger
from recursive_expand.ledger.outbox import OutboxCount
from recursive_expand.ledger.records import (
    Actor,
    Candidate,
    CaseRecord,
    CaseState,
    Features,
    JudgedProposal,
    Judgement,
    ProposalDraft,
    ProposalRecord,
    ProposalState,
    ProposedSlice,
    RoundRecord,
    RoundState,
    VerdictKind,
    VerdictRecord,
)

__all__ = [
    "Actor",
    "AlreadyDecided",
    "Candidate",
    "CaseEntry",
    "CaseRecord",
    "CaseState",
    "Difference",
    "Features",
    "JudgedProposal",
    "Judgement",
    "Ledger",
    "LedgerError",
    "MovedOn",
    "NotWithdrawable",
    "NotYours",
    "OutboxCount",
    "OutdatedDraft",
    "OutdatedTrainingSet",
    "ProposalDraft",
    "ProposalRecord",
    "ProposalState",
    "ProposedSlice",
    "RoundRecord",
    "RoundState",
    "StaleProposal",
    "UnknownCase",
    "UnknownVerdict",
    "VerdictKind",
    "VerdictRecord",
]
