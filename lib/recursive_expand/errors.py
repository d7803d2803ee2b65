"""Errors whose message is meant for a person."""

import errno

MAX_LINE = 1000
"""Longest text of a line, in characters: a cell of a megabyte is not for a log."""


def shown(text: str) -> str:
    """A text from outside as it may stand in a terminal, a log or the status.

    Args:
        text: whatever a file name, a cell or a header held.

    Returns:
        One line of at most `MAX_LINE` characters; line breaks, control and direction characters and undecodable bytes
        as escapes.

    Example:
        >>> shown("a\\x1b[2J")
        'a\\\\x1b[2J'
    """
    if len(text) > MAX_LINE:
        text = f"{text[: MAX_LINE - 30]}... ({len(text)} characters)"
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() else ascii(mark)[1:-1] for mark in text)


class RecursiveExpandError(Exception):
    """An expected failure: the message is one line that names the offending value and the mend."""


class Unreachable(RecursiveExpandError):
    """A service that cannot be used now: the same may work later, and nothing is wrong with what was asked for."""


class DiskFull(RecursiveExpandError):
    """There is no space left: nothing was recorded."""


def out_of_space(error: OSError) -> bool:
    """Whether the system refused to write for want of space or quota."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class InputError(RecursiveExpandError):
    """A file or value from outside that cannot be used.

    Args:
        source: what is wrong, without folders: a file name, a CSV row, a DICOM folder entry.
        reason: one clause that says why, and what would mend it.
    """

    def __init__(self, source: str, reason: str) -> None:
        self.source = shown(source)
        self.reason = shown(reason)
        super().__init__(f"{self.source}: {self.reason}")
