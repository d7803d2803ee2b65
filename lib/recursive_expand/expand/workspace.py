"""The workspace: the one folder in which a recursion keeps what it makes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Workspace:
    """Names of the files in a workspace.

    Attributes:
        root: the folder.
    """

    root: Path

    @classmethod
    def of(cls, studies: str, *, override: str | None = None) -> Workspace:
        """`<studies>/.recursive` for a folder, a user-data folder named for the URL for a PACS, or `override`."""
        if override:
            return cls(Path(override).expanduser().resolve())
        if re.match(r"https?://", studies):
            name = re.sub(r"[^A-Za-z0-9]+", "-", studies.split("://", 1)[1]).strip("-")[:60]
            digest = hashlib.sha256(studies.encode()).hexdigest()[:8]
            return cls(Path(platformdirs.user_data_dir("recursive-expand")) / f"{name}-{digest}")
        return cls(Path(studies).resolve() / ".recursive")

    @property
    def ledger(self) -> Path:
        """The SQLite file."""
        return self.root / "ledger.sqlite"

    @property
    def cache(self) -> Path:
        """Voxels as memory-mapped arrays; can be deleted, it is made again."""
        return self.root / "cache"

    @property
    def pacs(self) -> Path:
        """What is known of a PACS, and what was made of it: its listing, images for clients, notes of objects."""
        return self.root / "pacs"

    @property
    def models(self) -> Path:
        """Weights, each named by its SHA-256."""
        return self.root / "models"

    @property
    def progress(self) -> Path:
        """How far the round in flight is."""
        return self.root / "progress.json"

    @property
    def server_lock(self) -> Path:
        """Held by the one server of this workspace."""
        return self.root / "server.lock"

    @property
    def round_lock(self) -> Path:
        """Held by the one process that runs a round."""
        return self.root / "round.lock"

    @property
    def not_ready(self) -> Path:
        """Why the last attempt at a round did not begin: what a person has to mend."""
        return self.root / "not_ready.txt"

    def read_not_ready(self) -> str | None:
        """The content of `not_ready`, None where the last attempt began."""
        try:
            return self.not_ready.read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def model(self, sha256: str) -> Path:
        """The weights with this hash."""
        return self.models / f"{sha256}.safetensors"

    def checkpoint(self, round_index: int) -> Path:
        """Where a round's training can be taken up again."""
        return self.root / "checkpoints" / f"round_{round_index:04d}.safetensors"

    def targets(self, round_index: int) -> Path:
        """Training targets of a round; can be deleted after it."""
        return self.cache / f"targets_{round_index:04d}"

    @property
    def refined(self) -> Path:
        """What g made of accepted slices before they joined, named for the case, the round and the content."""
        return self.root / "refined"

    @property
    def proposals(self) -> Path:
        """Frozen proposals, each named for its content (`frozen.freeze_files`)."""
        return self.root / "proposals"
