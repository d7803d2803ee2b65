"""Errors whose message is meant for a person."""


class RecursiveExpandError(Exception):
    """An expected failure: the message is one line that names the offending value and the mend."""


class InputError(RecursiveExpandError):
    """A file or value from outside that cannot be used.

    Args:
        source: what is wrong, without folders: a file name, a CSV row, a DICOM folder entry.
        reason: one clause that says why, and what would mend it.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason
