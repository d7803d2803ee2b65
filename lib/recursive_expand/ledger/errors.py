"""Refusals of the ledger, each with the sentence a client is shown."""

from recursive_expand.errors import RecursiveExpandError


class LedgerError(RecursiveExpandError):
    """The ledger refuses: the message says what is in the way and what to do."""


class UnknownCase(LedgerError):
    """No such case."""

    def __init__(self, case_id: str) -> None:
        super().__init__(f"there is no case {case_id!r} in this study; GET /datastore/?output=all lists them")


class UnknownVerdict(LedgerError):
    """No such verdict."""

    def __init__(self, verdict_id: int) -> None:
        super().__init__(f"there is no verdict {verdict_id}")


class StaleProposal(LedgerError):
    """The verdict is about a proposal that is not (or no longer) the case's current one."""


class OutdatedDraft(LedgerError):
    """A case was judged while its new proposal was made: the draft must be made again."""


class AlreadyDecided(LedgerError):
    """Somebody decided this proposal otherwise."""


class VerdictIdTaken(LedgerError):
    """A client-made verdict id that another verdict was given under."""

    def __init__(self, client_verdict_id: str, case_id: str) -> None:
        super().__init__(
            f"verdict id {client_verdict_id!r} was used for another verdict, on case {case_id!r}; make a new one"
        )


class NotYours(LedgerError):
    """Only the reviewer who gave a verdict can take it back."""


class NotWithdrawable(LedgerError):
    """The verdict cannot be taken back any more."""


class MovedOn(LedgerError):
    """A round is in another state than the transition starts from: somebody else was first."""


class OutdatedTrainingSet(LedgerError):
    """A verdict was taken back while a training set was built: it must be built again."""
