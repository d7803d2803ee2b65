"""Names of cases: which texts can be one, and how a file's name becomes one."""

from __future__ import annotations

import re
import unicodedata
from itertools import product

from recursive_expand.errors import InputError

EXTENSIONS = (".nii.gz", ".nii", ".nrrd")
"""Image files that are cases, in lower case."""

_SPELLED = ("".join(letters) for name in EXTENSIONS for letters in product(*zip(name, name.upper(), strict=True)))
SPELLINGS = tuple(dict.fromkeys((*EXTENSIONS, *_SPELLED)))
"""The same as people write them, the usual ones first: looking for each is quicker than listing 25,000 files."""

MAX_LENGTH = 128
"""Longest case id, in characters."""

_NO_TEXT = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")  # control, direction, half and unknown characters, line ends
_NEW_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_id(text: str) -> str:
    """Return a case id from outside unchanged if it can name a file inside the studies folder and nowhere else.

    Raises:
        InputError: for an empty or over-long text, path separators, a leading dot, outer spaces and control characters.
    """
    shown = ascii(text[:40])
    if not text or len(text) > MAX_LENGTH:
        raise InputError(f"case id {shown}", f"must have 1 to {MAX_LENGTH} characters, not {len(text)}")
    # A colon names a drive or a stream on Windows.
    if any(mark in text for mark in "/\\:"):
        raise InputError(f"case id {shown}", "must not hold any of / \\ :")
    if text.startswith(".") or text != text.strip():
        raise InputError(f"case id {shown}", "must not begin with a dot, nor begin or end with a space")
    if any(unicodedata.category(character) in _NO_TEXT for character in text):
        raise InputError(f"case id {shown}", "must not hold control characters")
    return text


def check_new_id(text: str) -> str:
    """Like `check_id`, for ids that a client or an importer makes up: letters, digits, `.`, `_` and `-` only.

    Raises:
        InputError: as `check_id` does, and for any other character.
    """
    check_id(text)
    if not _NEW_ID.fullmatch(text):
        raise InputError(
            f"case id {text[:40]!a}", "must begin with a letter or digit; then letters, digits, '.', '_' or '-'"
        )
    return text


def split_name(name: str) -> tuple[str, str] | None:
    """Split an image's file name into case id and extension (as written), or None if it is no image file."""
    for extension in EXTENSIONS:
        if name.lower().endswith(extension):
            return name[: -len(extension)], name[-len(extension) :]
    return None
