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
    VerdictIdTaken,
)
from recursive_expand.ledger.ledger import Ledger
from recursive_expand.ledger.listing import ListedCase, StandingVerdict
from recursive_expand.ledger.outbox import OutboxCount
from recursive_expand.ledger.propagation import Cluster, Propagated
from recursive_expand.ledger.queue import Hold
from recursive_expand.ledger.records import (
    Actor,
    CalibrationSlice,
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
    ReadingFacts,
    Rejected,
    RoundRecord,
    RoundState,
    VerdictKind,
    VerdictRecord,
)

__all__ = [
    "Actor",
    "AlreadyDecided",
    "CalibrationSlice",
    "Candidate",
    "CaseEntry",
    "CaseRecord",
    "CaseState",
    "Cluster",
    "Difference",
    "Features",
    "Hold",
    "JudgedProposal",
    "Judgement",
    "Ledger",
    "LedgerError",
    "ListedCase",
    "MovedOn",
    "NotWithdrawable",
    "NotYours",
    "OutboxCount",
    "OutdatedDraft",
    "OutdatedTrainingSet",
    "Propagated",
    "ProposalDraft",
    "ProposalRecord",
    "ProposalState",
    "ProposedSlice",
    "ReadingFacts",
    "Rejected",
    "RoundRecord",
    "RoundState",
    "StaleProposal",
    "StandingVerdict",
    "UnknownCase",
    "UnknownVerdict",
    "VerdictIdTaken",
    "VerdictKind",
    "VerdictRecord",
]
