"""A whole file, unless it is larger than such a file can sensibly be."""

from __future__ import annotations

import os
from pathlib import Path

from recursive_expand.errors import InputError


def read_bounded(path: Path, most: int) -> bytes:
    """The content of a file of at most `most` bytes.

    Raises:
        InputError: for a larger one; none of it is read.
        OSError: where it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise InputError(path.name, f"has {size} bytes; no more than {most} are read")
        return file.read(size)
