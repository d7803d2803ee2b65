"""The ledger as one object: cases, proposals, verdicts and rounds over one store."""

from recursive_expand.ledger.cases import Cases
from recursive_expand.ledger.rounds import Rounds
from recursive_expand.ledger.verdicts import Verdicts


class Ledger(Cases, Rounds, Verdicts):
    """The only code that speaks SQL: see `Cases`, `Proposals`, `Verdicts` and `Rounds`."""
