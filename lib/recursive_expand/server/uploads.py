"""Files that clients send: each lies in a folder of its own for as long as it is needed, and no longer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi import HTTPException, UploadFile
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from recursive_expand.archives.identifiers import split_name
from recursive_expand.errors import InputError
from recursive_expand.server.inputs import MAX_NAME_BYTES

MAX_FILE_BYTES = 2 * 2**30
"""Longest file that is taken."""
CHUNK_BYTES = 2**20

_present: set[str] = set()
"""Paths of the uploads that a request is being answered with."""


@contextmanager
def uploaded(file: UploadFile, *, limit: int = MAX_FILE_BYTES, folder: Path | None = None) -> Iterator[Path]:
    """A client's file on this machine, for as long as the block runs.

    Nothing of the sender's name is used but its extension.

    Args:
        file: the upload.
        limit: bytes.
        folder: where it is kept meanwhile; the system's temporary folder if not given.

    Yields:
        Path of the file, named `upload` with the extension that was sent (.nii.gz if none was).

    Raises:
        InputError: a name that no file could have.
        HTTPException: 413, the file is longer than `limit`.
    """
    name = file.filename or ""
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES or any(mark in name for mark in "\x00\r\n"):
        raise InputError(f"upload {name[:40]!a}", f"has no usable file name; at most {MAX_NAME_BYTES} bytes, no NUL")
    with tempfile.TemporaryDirectory(prefix="recursive-", dir=folder, ignore_cleanup_errors=True) as directory:
        path = Path(directory) / f"upload{_extension(name)}"
        with path.open("xb") as target:
            while chunk := file.file.read(CHUNK_BYTES):
                if target.tell() + len(chunk) > limit:
                    raise HTTPException(413, f"the file is over {limit} bytes")
                target.write(chunk)
        _present.add(str(path))
        try:
            yield path
        finally:
            _present.discard(str(path))


def is_upload(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file of an `uploaded` block that is running, and so may be read for its client."""
    return os.fspath(path) in _present


class SentOnce(FileResponse):
    """A temporary file as an answer; it is removed when it is sent, and also when it cannot be."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)


def _extension(name: str) -> str:
    parts: Any = split_name(name)
    if parts is not None:
        return parts[1]
    suffix = Path(name).suffix
    return suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 8 else ("" if name else ".nii.gz")
