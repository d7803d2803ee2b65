"""Patients as salted pseudonyms: the salt is made once a workspace, and no table of hashes tells who they are."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from recursive_expand.archives.atomic import write_atomic


def salt_of(folder: Path) -> bytes:
    """The folder's salt, made on first use; only the owner may read it."""
    path = folder / "salt"
    if not path.exists():
        write_atomic(path, secrets.token_hex(32).encode())
        path.chmod(0o600)
    return path.read_bytes()


def pseudonym(salt: bytes, patient: str, issuer: str = "") -> str | None:
    """A name for a patient that tells nothing; None where the PACS names none."""
    if not patient.strip():
        return None
    return "p" + hashlib.blake2b(f"{issuer.strip()}|{patient.strip()}".encode(), key=salt[:64]).hexdigest()[:16]
